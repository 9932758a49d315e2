"""The servers: Postrider, and the others from Debian's packages, each in a root of its own below the work folder.

Exim, Sendmail and OpenSMTPD conflict with one another as packages; so their files are unpacked into a folder, with the
libraries that they are linked to, and run there by chroot. Postfix is installed (the tests need it, too) and runs from scratch
folders. Settings are what an operator of a busy relay would choose, see README.md; durability is left as it is.
All offer STARTTLS with the same certificate (ECDSA P-256)."""

import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time

import unpack
from measure import Process

HERE = pathlib.Path(__file__).resolve().parent
START_SECONDS = 30


def port_open(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def make_certificate(work):
    """tls.pem and tls.key in the work folder; made once."""
    if not (work / "tls.pem").exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "3650", "-subj", "/CN=relay.bench.example", "-addext",
                        "subjectAltName=DNS:relay.bench.example", "-keyout", str(work / "tls.key"), "-out",
                        str(work / "tls.pem")], check=True, capture_output=True)


def files_below(folder, wanted):
    """How many names below a folder are wanted; folders come and go meanwhile."""
    found = 0
    for _, _, names in os.walk(folder, onerror=lambda _: None):
        found += sum(1 for name in names if wanted(name))
    return found


class Server:
    """One running instance. hold: mail is accepted and stays."""

    name = durability = ""
    idle_connections = 400
    fresh = False  # a start of its own for each row of the relay
    cell_factor = 1  # of a row's time
    no_tls = None  # why not

    def __init__(self, work, port, sink):
        self.work, self.home, self.port, self.sink = work, work / self.name, port, sink
        self.process = None

    def start(self, hold=False):
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.home.chmod(0o755)
        self.prepare(hold)
        begun = time.monotonic()
        with open(self.home / "console", "ab") as log:
            self.process = Process(self.command(), log, cwd=self.home)
        while not port_open(self.port):
            if not self.process.running() or time.monotonic() > begun + START_SECONDS:
                raise RuntimeError(f"{self.name} does not start: {(self.home / 'console').read_text()[-2000:]}")
            time.sleep(0.01)
        self.ready_seconds = time.monotonic() - begun

    def stop(self):
        if self.process:
            self.process.stop(5)
        self.process = None
        shutil.rmtree(self.home, ignore_errors=True)

    def write(self, name, text, mode=0o644):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def filled(self, name):
        """A file of conf/ with this server's values."""
        text = (HERE / "conf" / name).read_text()
        for key, value in {"HOME": self.home, "PORT": self.port, "SINK": self.sink, "WORK": self.work}.items():
            text = text.replace(f"@{key}@", str(value))
        return text


class Postrider(Server):
    name = "Postrider"
    durability = "fdatasync before 250, in groups"
    program = None  # set by run.py
    more = ""  # lines for the configuration

    def version(self):
        return subprocess.run([self.program, "version"], capture_output=True, text=True).stdout.split()[-1]

    def config(self, via):
        self.write("postrider.conf", f"""hostname = "relay.bench.example"
data = "{self.home}/data"
listener "mx" {{ address = {{"127.0.0.1:{self.port}"}} }}
relay {{ from = {{"127.0.0.0/8"}}  via = "{via}" }}
tls {{ certificate = "{self.work}/tls.pem"  key = "{self.work}/tls.key" {self.more} }}
""")

    def prepare(self, hold):
        self.config("hold" if hold else f"smtp://127.0.0.1:{self.sink}")

    def command(self):
        return [self.program, "serve", "-c", str(self.home / "postrider.conf")]

    def tell(self, *words):
        return subprocess.run([self.program, words[0], "-c", str(self.home / "postrider.conf"), *words[1:]], check=True,
                              capture_output=True, text=True).stdout

    def queued(self):
        return json.loads(self.tell("top", "--json"))["queue_messages"]

    def release(self):
        self.config(f"smtp://127.0.0.1:{self.sink}")
        self.tell("reload")
        self.tell("queue", "release", "--all")


class PostriderKeysInReceiver(Postrider):
    """The comparison of the STARTTLS row: no process of its own for the private key."""

    name = "Postrider-keys-in-receiver"
    more = 'keys = "receiver"'


class Postfix(Server):
    name = "Postfix"
    durability = "fsync of the message's file before 250"
    idle_connections = 100  # a process for each

    def version(self):
        return subprocess.run(["postconf", "-d", "-h", "mail_version"], capture_output=True, text=True).stdout.strip()

    def prepare(self, hold):
        for name in ("etc", "queue", "data"):
            (self.home / name).mkdir()
        os.chown(self.home / "data", pwd.getpwnam("postfix").pw_uid, -1)
        main = self.filled("postfix-main.cf")
        if hold:
            main += "smtpd_client_restrictions = check_client_access static:HOLD\n"
        self.write("etc/main.cf", main)
        self.write("etc/master.cf", self.filled("postfix-master.cf"))

    def command(self):
        return ["/usr/sbin/postfix", "-c", str(self.home / "etc"), "start-fg"]

    def queued(self):
        return sum(files_below(self.home / "queue" / part, lambda _: True)
                   for part in ("incoming", "active", "deferred", "hold"))

    def release(self):
        etc = str(self.home / "etc")
        subprocess.run(["postconf", "-c", etc, "-e", "smtpd_client_restrictions="], check=True)
        subprocess.run(["postfix", "-c", etc, "reload"], check=True, capture_output=True)
        subprocess.run(["postsuper", "-c", etc, "-H", "ALL"], check=True, capture_output=True)
        subprocess.run(["postqueue", "-c", etc, "-f"], check=True, capture_output=True)


class Chrooted(Server):
    """A server from unpacked packages. packages: to be downloaded; binaries: whose libraries go along."""

    packages = binaries = accounts = ()
    cache = None  # set by run.py: downloaded packages

    @classmethod
    def fetch(cls):
        """Packages that are not there yet; so that no network is asked while clocks run."""
        for package in cls.packages:
            unpack.download(cls.cache, package)

    def version(self):
        return next(self.cache.glob(f"{self.packages[0]}_*.deb")).name.split("_")[1].replace("%3a", ":")

    def prepare(self, hold):
        unpack.root(self.home, self.cache, self.packages, self.binaries, self.accounts)
        self.write("etc/tls.pem", (self.work / "tls.pem").read_text())
        self.write("etc/tls.key", (self.work / "tls.key").read_text(), 0o600)
        self.configure(hold)

    def inside(self, *command):
        return ["chroot", str(self.home), *command]

    def tell(self, *command):
        subprocess.run(self.inside(*command), check=True, capture_output=True)


class Exim(Chrooted):
    name = "Exim"
    durability = "fsync of two spool files before 250"
    packages = ("exim4-daemon-light", "exim4-base")
    binaries = ("usr/sbin/exim4",)
    accounts = (("Debian-exim", 39101),)
    runners = ()

    def configure(self, hold):
        self.write("etc/exim4/exim4.conf", ("queue_only = true\n" if hold else "") + self.filled("exim.conf"))
        # Exim reads the key with its own rights.
        os.chown(self.home / "etc/tls.key", 39101, 39101)
        for name in ("var/spool/exim4", "var/log/exim4"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
            os.chown(self.home / name, 39101, 39101)

    def command(self):
        return self.inside("/usr/sbin/exim4", "-bdf", "-q30m", "-oX", f"127.0.0.1.{self.port}")

    def queued(self):
        return files_below(self.home / "var/spool/exim4/input", lambda name: name.endswith("-H"))

    def release(self):
        """As many queue runners as an operator in a hurry would start."""
        path = self.home / "etc/exim4/exim4.conf"
        path.write_text(path.read_text().replace("queue_only = true\n", ""))
        self.runners = [subprocess.Popen(self.inside("/usr/sbin/exim4", "-q"), stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL, start_new_session=True) for _ in range(8)]

    def stop(self):
        for runner in self.runners:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(runner.pid, signal.SIGKILL)
            runner.wait()
        self.runners = []
        super().stop()


class OpenSMTPD(Chrooted):
    name = "OpenSMTPD"
    durability = "no fsync before 250"
    packages = ("opensmtpd",)
    binaries = ("usr/sbin/smtpd", "usr/sbin/smtpctl")
    accounts = (("opensmtpd", 39102), ("opensmtpq", 39103))
    # When it has had nothing to deliver, it waits up to ten seconds before it connects again, and in the first second it
    # keeps to one connection: so each row begins with a start, and is longer.
    fresh, cell_factor = True, 2
    no_tls = "OpenSMTPD 6.8 with OpenSSL 3 cannot sign with an ECDSA key (\"EVP lib\")"

    def configure(self, hold):
        self.write("etc/smtpd.conf", self.filled("smtpd.conf"))
        # As its package's installation does.
        os.chown(self.home / "usr/sbin/smtpctl", 0, 39103)
        (self.home / "usr/sbin/smtpctl").chmod(0o2755)
        (self.home / "var/lib/opensmtpd/empty").mkdir(parents=True, exist_ok=True)
        (self.home / "var/spool").mkdir(parents=True, exist_ok=True)

    def start(self, hold=False):
        super().start(hold)
        end = time.monotonic() + 5
        while hold:  # its control socket comes a moment after its port
            try:
                return self.tell("/usr/sbin/smtpctl", "pause", "mta")
            except subprocess.CalledProcessError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def command(self):
        return self.inside("/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf")

    def queued(self):
        """A folder of the queue is a message: its envelopes beside its text."""
        return files_below(self.home / "var/spool/smtpd/queue", lambda name: name == "message")

    def release(self):
        self.tell("/usr/sbin/smtpctl", "resume", "mta")


class Sendmail(Chrooted):
    """Each session has a process, which delivers what it took before it answers; held mail waits for queue runners."""

    name = "Sendmail"
    durability = "fsync of two spool files before 250"
    idle_connections = 100  # a process for each
    packages = ("sendmail-bin", "sendmail-cf", "libwrap0", "libnsl2", "libtirpc3", "libsasl2-2")
    binaries = ("usr/libexec/sendmail/sendmail",)
    accounts = (("smmta", 39111), ("smmsp", 39112))
    runners = None

    def configure(self, hold):
        mode = "queue" if hold else "interactive"
        self.write("etc/mail/sendmail.mc", self.filled("sendmail.mc").replace("@MODE@", mode))
        made = subprocess.run(["m4", f"-D_CF_DIR_={self.home}/usr/share/sendmail/cf/", str(self.home / "etc/mail/sendmail.mc")],
                              capture_output=True, text=True, check=True)
        self.write("etc/mail/sendmail.cf", made.stdout)
        self.write("etc/mail/service.switch", "hosts files\naliases files\n")
        for number in range(8):
            (self.home / f"var/spool/mqueue/q{number}").mkdir(parents=True, mode=0o700)
        (self.home / "var/spool/mqueue").chmod(0o700)

    def command(self):
        return self.inside("/usr/libexec/sendmail/sendmail", "-bD")

    def queued(self):
        return files_below(self.home / "var/spool/mqueue", lambda name: name.startswith("qf"))

    def release(self):
        """The runners of the queue's group, one a folder; they go into the background, and end with their keeper."""
        with open(self.home / "console", "ab") as log:
            self.runners = Process(self.inside("/usr/libexec/sendmail/sendmail", "-q"), log)

    def stop(self):
        if self.runners:
            self.runners.stop(0)
        self.runners = None
        super().stop()


KINDS = (Postrider, Postfix, Exim, Sendmail, OpenSMTPD)
