"""Drives Debian's Thunderbird, headless, through Marionette: it submits one message by STARTTLS or TLS at once, and a
screenshot of what it shows is kept. Not among the tests: the package is too large to install for them.

    thunderbird.py PORT starttls|implicit USER PASSWORD CA.pem SCREENSHOT.png
"""

import base64
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

PREFS = """\
user_pref("mail.accountmanager.accounts", "account1");
user_pref("mail.accountmanager.defaultaccount", "account1");
user_pref("mail.account.account1.identities", "id1");
user_pref("mail.account.account1.server", "server1");
user_pref("mail.server.server1.type", "none");
user_pref("mail.server.server1.hostname", "Local Folders");
user_pref("mail.server.server1.userName", "nobody");
user_pref("mail.server.server1.name", "Local Folders");
user_pref("mail.identity.id1.useremail", "{user}");
user_pref("mail.identity.id1.fullName", "Alice");
user_pref("mail.identity.id1.smtpServer", "smtp1");
user_pref("mail.identity.id1.valid", true);
user_pref("mail.identity.id1.fcc", false);
user_pref("mail.identity.id1.compose_html", false);
user_pref("mail.smtpservers", "smtp1");
user_pref("mail.smtp.defaultserver", "smtp1");
user_pref("mail.smtpserver.smtp1.type", "smtp");
user_pref("mail.smtpserver.smtp1.hostname", "localhost");
user_pref("mail.smtpserver.smtp1.port", {port});
user_pref("mail.smtpserver.smtp1.username", "{user}");
user_pref("mail.smtpserver.smtp1.authMethod", 3);
user_pref("mail.smtpserver.smtp1.try_ssl", {security});
user_pref("mail.provider.suppress_dialog_on_startup", true);
user_pref("mail.spotlight.firstRunDone", true);
user_pref("mail.winsearch.firstRunDone", true);
user_pref("mail.rights.version", 1);
user_pref("mail.shell.checkDefaultClient", false);
user_pref("app.donation.eoy.version.viewed", 999);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("app.update.enabled", false);
user_pref("marionette.port", {marionette});
"""

PREPARE = """
const [pem, user, password, done] = arguments;
(async () => {
  Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).addCertFromBase64(pem, "CTu,,");
  const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
  login.init("smtp://localhost", null, "smtp://localhost", user, password, "", "");
  await Services.logins.addLoginAsync(login);
  const {MailServices} = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
  const params = Cc["@mozilla.org/messengercompose/composeparams;1"].createInstance(Ci.nsIMsgComposeParams);
  params.composeFields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(Ci.nsIMsgCompFields);
  Object.assign(params.composeFields, {to: user, subject: "from Thunderbird", body: "It works.\\n"});
  params.identity = MailServices.accounts.allIdentities[0];
  params.type = Ci.nsIMsgCompType.New;
  params.format = Ci.nsIMsgCompFormat.PlainText;
  MailServices.compose.OpenComposeWindowWithParams(null, params);
  return "ok";
})().then(done, e => done("error: " + e));
"""
COMPOSER = 'return !!Services.wm.getMostRecentWindow("msgcompose")?.gMsgCompose?.editor;'
SEND = 'Services.wm.getMostRecentWindow("msgcompose").goDoCommand("cmd_sendNow"); return "ok";'
GONE = 'return !Services.wm.getMostRecentWindow("msgcompose");'
TITLES = 'return Array.from(Services.wm.getEnumerator(null)).map(w => w.document.title + " " + w.location.href);'


class Marionette:
    def __init__(self, port):
        end = time.monotonic() + 90
        while True:
            try:
                self.s = socket.create_connection(("127.0.0.1", port), 60)
                break
            except OSError:
                assert time.monotonic() < end, "Thunderbird does not listen"
                time.sleep(0.5)
        self.id = 0
        self.read()

    def read(self):
        length = b""
        while not length.endswith(b":"):
            octet = self.s.recv(1)
            assert octet, "Thunderbird hung up"
            length += octet
        body = b""
        while len(body) < int(length[:-1]):
            body += self.s.recv(65536)
        return json.loads(body)

    def ask(self, command, **parameters):
        self.id += 1
        text = json.dumps([0, self.id, command, parameters])
        self.s.sendall(f"{len(text)}:{text}".encode())
        _, _, error, result = self.read()
        assert not error, error
        return result

    def run(self, script, *words, wait=False):
        name = "WebDriver:ExecuteAsyncScript" if wait else "WebDriver:ExecuteScript"
        return self.ask(name, script=script, args=list(words))["value"]

    def until(self, script, seconds=60):
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, self.run(TITLES)
            time.sleep(0.2)

    def shoot(self, path):
        path.write_bytes(base64.b64decode(self.ask("WebDriver:TakeScreenshot", full=False)["value"]))


def main(port, way, user, password, ca, picture):
    with tempfile.TemporaryDirectory(prefix="postrider-thunderbird-") as profile:
        with socket.create_server(("127.0.0.1", 0)) as s:
            marionette = s.getsockname()[1]
        (pathlib.Path(profile) / "user.js").write_text(PREFS.format(
            user=user, port=port, security={"starttls": 2, "implicit": 3}[way], marionette=marionette))
        program = subprocess.Popen(["thunderbird", "--headless", "--no-remote", "--profile", profile, "--marionette",
                                    "--remote-allow-system-access"], stdin=subprocess.DEVNULL)
        try:
            m = Marionette(marionette)
            m.ask("WebDriver:NewSession", capabilities={})
            m.ask("Marionette:SetContext", value="chrome")
            pem = "".join(line for line in pathlib.Path(ca).read_text().splitlines() if "-----" not in line)
            said = m.run(PREPARE, pem, user, password, wait=True)
            assert said == "ok", said
            m.until(COMPOSER)
            main_window = m.ask("WebDriver:GetWindowHandle")["value"]
            composer = next(h for h in m.ask("WebDriver:GetWindowHandles") if h != main_window)
            m.ask("WebDriver:SwitchToWindow", handle=composer)
            m.shoot(pathlib.Path(picture))
            m.ask("WebDriver:SwitchToWindow", handle=main_window)
            m.run(SEND)
            m.until(GONE)
        finally:
            program.terminate()
            program.wait(30)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
