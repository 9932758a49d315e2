"""TLS as server: STARTTLS and implicit TLS, certificates by name and kind, resumption, clients' certificates, what
must never be executed, certificates that change or are bad, and where the private keys are."""

import os
import pathlib
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time

import pytest
from authority import Authority, openssl
from node import PROGRAM, free_port, wait_until
from postfix import Postfix

MAIL = b"From: a@example.net\r\nSubject: tls\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def settings(ca, *pairs, implicit=None, **more):
    """The text of a configuration's end: tls { } and a listener that begins with TLS."""
    keys = {"certificate": ", ".join(f'"{p}"' for p, _ in pairs), "key": ", ".join(f'"{k}"' for _, k in pairs)}
    lines = [f"{name} = {{{value}}}" for name, value in keys.items()]
    lines += [f"{name} = {value}" for name, value in more.items()]
    listener = f'listener "tls" {{ address = {{"127.0.0.1:{implicit}"}} tls = implicit }}\n' if implicit else ""
    return f"{listener}tls {{ {' '.join(lines)} }}"


def trusting(ca, **more):
    context = ssl.create_default_context(cafile=str(ca.cert))
    for name, value in more.items():
        setattr(context, name, value)
    return context


def s_client(port, *words, smtp=True, say="QUIT\r\n"):
    start = ["-starttls", "smtp"] if smtp else []
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *start, "-ign_eof", *map(str, words)],
                          input=say.encode(), capture_output=True, timeout=30)
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def dialogue(port):
    s = socket.create_connection(("127.0.0.1", port), 10)
    f = s.makefile("rwb")
    assert f.readline().startswith(b"220 ")
    return s, f


def say(f, line):
    f.write(line + b"\r\n")
    f.flush()
    lines = [f.readline()]
    while lines[-1][3:4] == b"-":
        lines.append(f.readline())
    return b"".join(lines)


# ---- what works ----


def test_starttls_and_implicit__smtplib_verifies(node, authority):
    port = free_port()
    n = node(more=settings(authority, authority.issue("mx.example.org"), implicit=port)).start()
    with smtplib.SMTP("localhost", n.port, timeout=20) as client:
        context = trusting(authority, check_hostname=False)
        client.starttls(context=context)
        assert not client.has_extn("starttls") and client.ehlo()[0] == 250 and not client.has_extn("starttls")
        client.sendmail("a@example.net", ["b@example.org"], MAIL)
    with smtplib.SMTP_SSL("localhost", port, timeout=20, context=trusting(authority, check_hostname=False)) as client:
        client.sendmail("a@example.net", ["b@example.org"], MAIL)
    text = b"".join(n.await_mail("b", 2))
    found = re.findall(rb"with ESMTPS\s+\(version=TLSv1\.3 cipher=TLS_\w+\)\s+id", text)
    assert len(found) == 2, text
    rows = n.events("tls")
    assert len(rows) == 2 and rows[0]["version"] == "TLSv1.3" and rows[0]["resumed"] == "no", rows
    assert n.await_events("message-accepted", 2)[0]["tls"] == "TLSv1.3"


def test_clients__submit_over_tls(node, authority):
    port = free_port()
    n = node(more=settings(authority, authority.issue("localhost", "mx.example.org"), implicit=port)).start()
    mail = str(n.folder / "mail.txt")
    (n.folder / "mail.txt").write_bytes(MAIL)
    root = str(authority.cert)
    commands = [
        ["swaks", "--server", "127.0.0.1", "--port", n.port, "--tls", "--tls-verify", "--tls-ca-path", root, "--to",
         "c@example.org", "--from", "a@example.net"],
        ["swaks", "--server", "127.0.0.1", "--port", port, "--tls-on-connect", "--to", "c@example.org", "--from",
         "a@example.net"],
        ["curl", "-sS", "--ssl-reqd", "--cacert", root, "--url", f"smtp://localhost:{n.port}", "--mail-from",
         "a@example.net", "--mail-rcpt", "c@example.org", "--upload-file", mail],
        ["curl", "-sS", "--cacert", root, "--url", f"smtps://localhost:{port}", "--mail-from", "a@example.net",
         "--mail-rcpt", "c@example.org", "--upload-file", mail],
    ]
    for tls, p in (("on", n.port), ("off", port)):
        commands.append(["msmtp", "--file=/dev/null", "--host=localhost", f"--port={p}", "--tls=on",
                         f"--tls-starttls={tls}", f"--tls-trust-file={root}", "--from=a@example.net", "c@example.org"])
    for command in commands:
        if not shutil.which(command[0]):
            pytest.skip(f"{command[0]} is missing")
        done = subprocess.run(list(map(str, command)), input=MAIL if command[0] == "msmtp" else b"",
                              capture_output=True, timeout=60)
        assert done.returncode == 0, (command, done.stdout[-1500:], done.stderr[-1500:])
    assert len(n.await_mail("c", len(commands))) == len(commands)
    assert all(b"with ESMTPS" in text for text in n.await_mail("c", len(commands)))


def test_certificates__by_name_and_by_kind(node, authority):
    both = [authority.issue("mx.example.org", kind=kind) for kind in ("rsa", "ec")]
    other = authority.issue("mail.example.net", "*.wild.example", kind="ec")
    n = node(more=settings(authority, *both, other)).start()
    table = [
        (["-servername", "mx.example.org"], "CN = mx.example.org", "ECDSA"),
        (["-servername", "mx.example.org", "-sigalgs", "RSA-PSS+SHA256"], "CN = mx.example.org", "RSA-PSS"),
        (["-servername", "mail.example.net"], "CN = mail.example.net", "ECDSA"),
        (["-servername", "a.wild.example"], "CN = mail.example.net", "ECDSA"),
        (["-servername", "unknown.example"], "CN = mx.example.org", "ECDSA"),
        (["-noservername"], "CN = mx.example.org", "ECDSA"),
        (["-noservername", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "CN = mx.example.org", "RSA"),
        (["-noservername", "-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], "CN = mx.example.org", "ECDSA"),
    ]
    for words, subject, kind in table:
        out = s_client(n.port, "-CAfile", authority.cert, *words)
        assert subject in out and f"Peer signature type: {kind}" in out and "Verify return code: 0" in out, (words, out)


def test_versions__old_ones_are_refused(node, authority):
    n = node(more=settings(authority, authority.issue("mx.example.org"))).start()
    for words in (["-tls1"], ["-tls1_1"], ["-tls1_2", "-cipher", "AES128-SHA"], ["-tls1_2", "-cipher", "NULL"]):
        out = s_client(n.port, *words, "-cipher", "ALL:@SECLEVEL=0" if len(words) == 1 else words[2] + ":@SECLEVEL=0")
        assert "Cipher is (NONE)" in out, (words, out)
    assert any(row["reason"] in ("unsupported protocol", "no shared cipher") for row in n.events("tls-failed"))
    # Renegotiation is off: the connection ends or goes on, but nothing is agreed anew.
    out = s_client(n.port, "-tls1_2", say="R\nQUIT\r\n")
    assert "no renegotiation" in out.lower() or "DONE" in out or "221" in out, out


def test_presets__modern_and_old(node, authority):
    pairs = [authority.issue("mx.example.org", kind=kind) for kind in ("rsa", "ec")]
    modern = node("modern", more=settings(authority, *pairs, ciphers="modern")).start()
    assert "Cipher is (NONE)" in s_client(modern.port, "-tls1_2")
    assert "TLSv1.3" in s_client(modern.port)
    old = node("old", more=settings(authority, *pairs, ciphers="old")).start()
    for words in (["-tls1"], ["-tls1_1", "-cipher", "ECDHE-RSA-AES256-SHA:@SECLEVEL=0"]):
        out = s_client(old.port, "-cipher", "ALL:@SECLEVEL=0", *words)
        assert re.search(r"Cipher is ECDHE", out), (words, out)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_resumption__by_any_receiver_and_not_after_a_restart(node, authority, tmp_path, version):
    n = node(more=settings(authority, authority.issue("mx.example.org")) + "\nprocesses { receivers = 3 }").start()
    session = tmp_path / "session"
    s_client(n.port, version, "-sess_out", session)
    resumed = ["Reused, " in s_client(n.port, version, "-sess_in", session) for _ in range(9)]
    assert all(resumed), resumed
    n.stop()
    n.start()
    assert "Reused, " not in s_client(n.port, version, "-sess_in", session)


def test_ocsp__is_stapled(node, authority):
    leaf = authority.issue("mx.example.org")
    n = node(more=settings(authority, leaf, ocsp=f'"{authority.staple(leaf)}"')).start()
    assert "OCSP Response Status: successful" in s_client(n.port, "-status")


def test_client_certificates__requested_and_required(node, authority):
    shown = authority.issue("alice", use="clientAuth")
    stranger = Authority(authority.folder / "other").issue("mallory", use="clientAuth")
    server = authority.issue("mx.example.org")
    roots = f'"{authority.cert}"'
    asking = node("asking", more=settings(authority, server, client="request", client_ca=roots)).start()
    requiring = node("requiring", more=settings(authority, server, client="require", client_ca=roots)).start()

    def submit(n, pair=None):
        context = trusting(authority, check_hostname=False)
        if pair:
            context.load_cert_chain(*map(str, pair))
        with smtplib.SMTP("localhost", n.port, timeout=20) as client:
            client.starttls(context=context)
            return client.ehlo()[0]

    for pair in (None, shown, stranger):
        assert submit(asking, pair) == 250
    rows = asking.await_events("tls", 3)
    assert "fingerprint" not in rows[0]
    assert rows[1]["fingerprint"] == shown.fingerprint() and rows[1]["verified"] == "yes"
    assert rows[1]["subject"] == "CN=alice" and rows[2]["verified"] == "no" and not rows[2].get("subject")
    assert submit(requiring, shown) == 250
    for pair in (None, stranger):
        with pytest.raises((ssl.SSLError, OSError, smtplib.SMTPException)):
            submit(requiring, pair)


# ---- what must not be ----


def test_injection__what_is_pipelined_behind_starttls_is_not_executed(node, authority):
    n = node(more=settings(authority, authority.issue("mx.example.org"))).start()
    s, f = dialogue(n.port)
    say(f, b"EHLO client.example")
    s.sendall(b"STARTTLS\r\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<a@example.org>\r\n")
    assert f.readline().startswith(b"503 5.5.1")
    assert f.readline() == b""
    # In a segment of its own, before the handshake: a broken record, no command.
    s, f = dialogue(n.port)
    assert say(f, b"STARTTLS").startswith(b"220 ")
    s.sendall(b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<a@example.org>\r\n")
    rest = f.read()
    assert b"250" not in rest, rest
    wait_until(lambda: len(n.events("session-end")) == 2)
    # Two receivers log by themselves: in any order.
    assert sorted(row["reason"] for row in n.events("session-end")) == ["starttls-injection", "tls"]


def test_starttls__forgets_what_was_said_before(node, authority):
    n = node(more=settings(authority, authority.issue("mx.example.org"))).start()
    s, f = dialogue(n.port)
    assert b"STARTTLS" in say(f, b"EHLO client.example")
    assert say(f, b"STARTTLS now").startswith(b"501 5.5.4")
    assert say(f, b"MAIL FROM:<a@example.net>").startswith(b"250")
    assert say(f, b"STARTTLS").startswith(b"220 2.0.0")
    with trusting(authority, check_hostname=False).wrap_socket(s) as secure, secure.makefile("rwb") as t:
        assert say(t, b"RCPT TO:<b@example.org>").startswith(b"503")
        assert say(t, b"MAIL FROM:<a@example.net>").startswith(b"503")
        assert b"STARTTLS" not in say(t, b"EHLO client.example")
        assert say(t, b"STARTTLS").startswith(b"503 5.5.1")
        assert say(t, b"QUIT").startswith(b"221")


def test_handshake__has_an_end(node, authority):
    n = node(more=settings(authority, authority.issue("mx.example.org"), handshake_timeout="1s")).start()
    s, f = dialogue(n.port)
    began = time.monotonic()
    assert say(f, b"STARTTLS").startswith(b"220 ")
    assert f.read() == b"" and 0.5 < time.monotonic() - began < 8
    assert n.await_events("tls-failed")[0]["error"]


def test_none__offers_nothing(node):
    n = node(more="")
    n.text = n.conf.read_text().replace('address = {"127.0.0.1:', 'tls = none address = {"127.0.0.1:')
    n.write_config()
    n.start()
    s, f = dialogue(n.port)
    assert b"STARTTLS" not in say(f, b"EHLO client.example")
    assert say(f, b"STARTTLS").startswith(b"502 5.5.1")
    assert not (n.folder / "data" / "tls").exists()


def test_no_certificate__one_is_made(node):
    n = node().start()
    out = s_client(n.port)
    assert "CN = mx.example.org" in out and "TLSv1.3" in out, out
    key = n.folder / "data" / "tls" / "self-made.key"
    assert key.stat().st_mode & 0o777 == 0o600
    before = key.read_bytes()
    n.stop()
    n.start()
    assert key.read_bytes() == before, "it is kept"
    n.stop()
    n.write_config(name="new.example.org")
    n.start()
    assert "CN = new.example.org" in s_client(n.port)


# ---- certificates that change, and bad ones ----


def serial_of(port):
    return re.search(r"serial=(\w+)", subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=s_client(port).encode(), capture_output=True).stdout.decode())[1]


def test_renewal__is_taken_in_by_itself_and_by_reload(node, authority, tmp_path):
    pem, key = tmp_path / "live.pem", tmp_path / "live.key"

    def install(kind="ec"):
        new = authority.issue("mx.example.org", kind=kind, file="renewed")
        shutil.copy(new.chain, pem)
        time.sleep(0.2)  # a moment in which they do not fit
        shutil.copy(new.key, key)

    install()
    n = node(more=settings(authority, (pem, key))).start()
    first = serial_of(n.port)
    # A session that is under way goes on, and may still begin TLS.
    s, f = dialogue(n.port)
    install("rsa")
    n.await_events("certificates-loaded", 1)
    wait_until(lambda: serial_of(n.port) != first)
    assert say(f, b"STARTTLS").startswith(b"220")
    with trusting(authority, check_hostname=False).wrap_socket(s) as secure, secure.makefile("rwb") as t:
        assert say(t, b"EHLO a.example").startswith(b"250")
    second = serial_of(n.port)
    install()
    n.process.send_signal(signal.SIGHUP)
    wait_until(lambda: serial_of(n.port) != second)


def certbot_renews(folder, leaf, count):
    """As certbot leaves it: live/NAME has links into archive/NAME, which are turned one by one."""
    live, archive = folder / "live/mx.example.org", folder / "archive/mx.example.org"
    live.mkdir(parents=True, exist_ok=True)
    archive.mkdir(parents=True, exist_ok=True)
    for name, source in (("privkey", leaf.key), ("fullchain", leaf.chain)):
        shutil.copy(source, archive / f"{name}{count}.pem")
        (live / f"{name}.new").symlink_to(f"../../archive/mx.example.org/{name}{count}.pem")
        os.replace(live / f"{name}.new", live / f"{name}.pem")
    return live / "fullchain.pem", live / "privkey.pem"


def lego_renews(folder, leaf, count):
    """As lego does: in place."""
    folder = folder / "certificates"
    folder.mkdir(exist_ok=True)
    shutil.copy(leaf.chain, folder / "mx.example.org.crt")
    shutil.copy(leaf.key, folder / "mx.example.org.key")
    return folder / "mx.example.org.crt", folder / "mx.example.org.key"


@pytest.mark.parametrize(("renews", "option"), [(certbot_renews, "--deploy-hook"), (lego_renews, "--renew-hook")],
                         ids=["certbot", "lego"])
def test_renewal__by_the_hook_of_the_docs(node, authority, tmp_path, renews, option):
    hook = re.search(f"{option} '([^']+)'", (pathlib.Path(__file__).parents[2] / "docs/tls.md").read_text())[1]
    n = node(more=settings(authority, renews(tmp_path, authority.issue("mx.example.org"), 1))).start()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/postrider").symlink_to(PROGRAM)
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "POSTRIDER_CONFIG": str(n.conf)}
    for count, kind in ((2, "rsa"), (3, "ec")):
        leaf = authority.issue("mx.example.org", kind=kind)
        renews(tmp_path, leaf, count)
        done = subprocess.run(["sh", "-c", hook], env=environment, capture_output=True, timeout=60)
        assert done.returncode == 0, done
        assert len(n.await_events("reloaded", count - 1)) == count - 1
        wait_until(lambda leaf=leaf: int(serial_of(n.port), 16) == int(leaf.serial(), 16))
    assert not n.events("certificates-refused") and not n.events("reload-failed")
    renews(tmp_path, authority.issue("mx.example.org", end="20210101000000Z"), 4)
    refused = subprocess.run(["sh", "-c", hook], env=environment, capture_output=True, timeout=60)
    assert refused.returncode == 78, refused
    assert b"expired on 2021-" in refused.stderr, refused
    assert n.await_events("reload-failed")
    assert int(serial_of(n.port), 16) == int(leaf.serial(), 16)


BAD = {
    "expired": "expired on 2021-",
    "early": "is not valid before 2049-",
    "mismatch": "no key fits the certificate",
    "no key": "cannot be read: No such file",
    "garbage": "there is no certificate in it",
    "encrypted": "it is encrypted",
    "weak": "has a key of 1024 bits",
    "ed25519": "has a key that is neither RSA nor ECDSA, which few mail servers can use: get one with",
}


def bad_pair(authority, what, tmp_path):
    pem, key = authority.issue("mx.example.org", file=what.replace(" ", "-"))
    if what == "expired":
        return authority.issue("mx.example.org", file="expired", end="20210101000000Z")
    if what == "early":
        return authority.issue("mx.example.org", file="early", begin="20490101000000Z", end="20491201000000Z")
    if what == "ed25519":
        return authority.issue("mx.example.org", kind="ed25519", file="ed25519")
    if what == "mismatch":
        return pem, authority.issue("mx.example.org", file="another").key
    if what == "no key":
        return pem, tmp_path / "none.key"
    if what == "garbage":
        pem.write_text("hello\n")
    if what == "encrypted":
        openssl("pkcs8", "-topk8", "-in", key, "-out", tmp_path / "e.key", "-passout", "pass:secret")
        return pem, tmp_path / "e.key"
    if what == "weak":
        openssl("req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", tmp_path / "w.key", "-out",
                tmp_path / "w.pem", "-subj", "/CN=mx.example.org", "-days", "9")
        return tmp_path / "w.pem", tmp_path / "w.key"
    return pem, key


def test_bad_ones__check_and_serve_say_which(node, authority, tmp_path):
    for what, words in BAD.items():
        pair = bad_pair(authority, what, tmp_path)
        n = node(what.replace(" ", "-"), more=settings(authority, pair))
        done = n.run("check", check=False)
        said = done.stderr.decode()
        assert done.returncode == 78 and words in said and f"{n.conf}:" in said, (what, said)
        status, said = n.refused_start()
        assert status == 78 and words in said, (what, status, said)


def test_bad_ones__a_key_that_may_not_be_read(node, authority):
    """Said by `check` of a user who may not read it, with what to do; and a server of his does not start."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        pair = [pathlib.Path(shutil.copy(f, folder)) for f in authority.issue("mx.example.org", file="secret")]
        pair[1].chmod(0o000)
        n = node(more=settings(authority, pair))
        conf = folder / "postrider.conf"
        conf.write_text(n.conf.read_text().replace('data = "data"', f'data = "{folder}/data"'))
        who = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        done = subprocess.run([PROGRAM, "check", "-c", conf], capture_output=True, text=True, timeout=30, cwd="/", **who)
        assert done.returncode == 78 and "secret.key" in done.stderr, done
        line = next(x for x in done.stderr.splitlines() if "secret.key" in x)
        assert "Permission denied" in line and "root" in line, line


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("how", ["quit", "quit-slow", "timeout", "errors", "drain"])
def test_close_notify__however_a_session_ends(node, authority, version, how):
    """RFC 8446 6.1, RFC 5246 7.2.1: without it, an end cannot be told from a cut, and GnuTLS's clients complain."""
    port = free_port()
    n = node(more=settings(authority, authority.issue("mx.example.org"), implicit=port),
             limits='command_timeout = "1s"' if how == "timeout" else "").start()
    context = trusting(authority, check_hostname=False, maximum_version=getattr(ssl.TLSVersion, version))
    raw = socket.create_connection(("127.0.0.1", port), 20)
    with context.wrap_socket(raw, suppress_ragged_eofs=False) as secure:
        assert secure.recv(4096).startswith(b"220 ")
        secure.sendall(b"EHLO client.example\r\n")
        assert b"250" in secure.recv(4096)
        if how == "quit":
            secure.sendall(b"QUIT\r\n")
        elif how == "quit-slow":
            secure.sendall(b"QU")
            time.sleep(0.2)
            secure.sendall(b"IT\r\n")
        elif how == "errors":
            for _ in range(30):
                secure.sendall(b"NONSENSE\r\n")
                if secure.recv(4096).startswith(b"421"):
                    break
        elif how == "drain":
            n.process.send_signal(signal.SIGTERM)
        while secure.recv(4096):  # SSLEOFError: no close_notify
            pass


def test_bad_ones__a_reload_keeps_the_old_one(node, authority, tmp_path):
    good = authority.issue("mx.example.org", file="good")
    pem, key = tmp_path / "live.pem", tmp_path / "live.key"
    for source, target in zip(good, (pem, key), strict=True):
        shutil.copy(source, target)
    n = node(more=settings(authority, (pem, key))).start()
    first = serial_of(n.port)
    shutil.copy(bad_pair(authority, "expired", tmp_path).chain, pem)
    rows = n.await_events("certificates-refused", 2)
    assert "no key fits" in rows[0]["text"] or "expired" in rows[0]["text"], rows
    assert serial_of(n.port) == first
    n.process.send_signal(signal.SIGHUP)
    n.await_events("reload-failed", 1)
    assert serial_of(n.port) == first
    shutil.copy(good.chain, pem)
    n.process.send_signal(signal.SIGHUP)
    n.await_events("reloaded")


# ---- another server ----


def test_postfix__sends_over_verified_tls(node, authority, root):
    if not shutil.which("/usr/sbin/postfix"):
        pytest.skip("Postfix is missing")
    n = node(more=settings(authority, authority.issue("mx.example.org"), client="request")).start()
    p = Postfix()
    shutil.copy(authority.cert, p.home / "etc" / "root.pem")
    with (p.home / "etc/main.cf").open("a") as f:
        f.write(f"relayhost = [127.0.0.1]:{n.port}\nsmtp_tls_security_level = verify\nsmtp_tls_loglevel = 1\n"
                f"smtp_tls_CAfile = {p.home}/etc/root.pem\nsmtp_tls_verify_cert_match = mx.example.org\n")
    with (p.home / "etc/master.cf").open("a") as f:
        f.write("tlsmgr unix - - n 1000? 1 tlsmgr\n")
    try:
        p.start()
        with smtplib.SMTP("127.0.0.1", p.port, timeout=20) as client:
            client.sendmail("a@example.net", ["b@example.org"], MAIL)
        text = n.await_mail("b", 1, seconds=30)[0]
        assert b"with ESMTPS" in text and b"by mx.postfix.example" in text, text
        wait_until(lambda: "status=sent" in p.log(), 20, p.log)
        assert "Verified TLS connection established" in p.log(), p.log()[-3000:]
    finally:
        p.stop()
