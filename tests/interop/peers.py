"""Other people's servers as next hops, each an instance of its own in a scratch folder on loopback ports: Exim, Dovecot's
LMTP and submission, OpenSMTPD and Sendmail (from unpacked packages, by chroot), nodemailer's smtp-server."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from exim import ROOT, exim_program
from node import free_port, wait_until

sys.path.append(str(ROOT / "bench"))
import unpack  # noqa: E402

PACKAGES = ROOT / "build/peers/packages"

EXIM_MAIN = """\
primary_hostname = mx.exim.example
exim_path = {program}
spool_directory = {home}/spool
log_file_path = {home}/%slog
pid_file_path = {home}/pid
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
exim_user = Debian-exim
exim_group = Debian-exim
never_users =
keep_environment =
{main}
chunking_advertise_hosts = *
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
prdr_enable = true
message_size_limit = 100M
acl_smtp_rcpt = anybody
acl_smtp_data = anybody
domainlist local_domains = exim.example
begin acl
anybody:
{acl}
begin routers
onward:
  driver = manualroute
  domains = ! +local_domains
  transport = remote
  route_list = * 127.0.0.1::{onward}
  self = send
box:
  driver = accept
  transport = maildir
begin transports
remote:
  driver = smtp
  hosts_try_chunking = *
maildir:
  driver = appendfile
  maildir_format
  directory = {home}/mail/eve
  create_directory
  user = Debian-exim
  group = Debian-exim
"""
DOVECOT_MAIN = """\
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
protocols = lmtp submission
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{home}/mail/%n
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
default_internal_user = dovecot
default_login_user = dovenull
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={home}/mail/%n allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
  unix_listener {home}/lmtp {{
    mode = 0666
  }}
}}
service submission-login {{
  inet_listener submission {{
    address = 127.0.0.1
    port = {submission}
  }}
}}
submission_relay_host = 127.0.0.1
submission_relay_port = {onward}
hostname = mx.dovecot.example
"""


OPENSMTPD_MAIN = """\
smtp max-message-size 100M
table anybody {{ "@" = nobody }}
listen on 127.0.0.1 port {port} hostname mx.opensmtpd.example
action "box" maildir "/mail/%{{rcpt.user}}" virtual <anybody>
action "onward" relay host smtp://127.0.0.1:{onward} helo mx.opensmtpd.example
match from any for domain "opensmtpd.example" action "box"
match from any for any action "onward"
"""
# Sendmail's own m4 files make a configuration of it. Eve is its only user: `box` puts what comes for her into a Maildir.
SENDMAIL_MC = """\
include(`{home}/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mx.sendmail.example')dnl
define(`confCW_FILE', `-o /etc/mail/local-host-names')dnl
define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl
define(`confDEF_USER_ID', `nobody:nogroup')dnl
define(`confPID_FILE', `/run/sendmail.pid')dnl
define(`confTO_IDENT', `0')dnl
define(`confPRIVACY_FLAGS', `')dnl
define(`confDONT_PROBE_INTERFACES', `true')dnl
define(`confDELIVERY_MODE', `background')dnl
define(`confMIN_QUEUE_AGE', `0')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confBAD_RCPT_THROTTLE', `0')dnl
define(`confLOG_LEVEL', `9')dnl
undefine(`ALIAS_FILE')dnl
define(`QUEUE_DIR', `/var/spool/mqueue')dnl
define(`STATUS_FILE', `/run/statistics')dnl
define(`LOCAL_MAILER_PATH', `/bin/box')dnl
define(`LOCAL_MAILER_ARGS', `box $u')dnl
define(`SMART_HOST', `relay:[127.0.0.1]')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {onward}')dnl
FEATURE(`nouucp', `nospecial')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`accept_unqualified_senders')dnl
FEATURE(`promiscuous_relay')dnl
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Name=MTA, Addr=127.0.0.1, Port={port}')dnl
LOCAL_DOMAIN(`sendmail.example')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
"""
SENDMAIL_BOX = """\
#!/bin/sh
for user; do :; done
box=/mail/$user
mkdir -p $box/tmp $box/new && cat >$box/tmp/$$ && mv $box/tmp/$$ $box/new/$$
"""


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as s:
        return s.recv(100).startswith(b"220")
    return False


class Peer:
    """A program in the foreground, and what it delivered into Maildirs below home/mail."""

    user = "nobody"

    def __init__(self):
        # Not below pytest's folder: the peer's own users must be able to pass through.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="postrider-peer-"))
        self.home.chmod(0o755)
        owner = pwd.getpwnam(self.user)
        (self.home / "mail").mkdir()
        os.chown(self.home, owner.pw_uid, owner.pw_gid)
        os.chown(self.home / "mail", owner.pw_uid, owner.pw_gid)
        self.process = None

    def spawn(self, *words, port=None, ready=None):
        """ready: else it answers on its port."""
        with (self.home / "out").open("ab") as out:
            self.process = subprocess.Popen(words, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                            start_new_session=True)
        wait_until(ready or (lambda: answers(port)), 20, self.log)
        return self

    def log(self):
        logs = [p for p in self.home.glob("*") if p.is_file() and "conf" not in p.name]
        return "".join(f"{p.name}:\n{p.read_text(errors='replace')[-3000:]}" for p in logs)

    def mailbox(self, user):
        new = self.home / "mail" / user / "new"
        return sorted(new.iterdir()) if new.is_dir() else []

    def await_mail(self, user, count=1, seconds=20):
        wait_until(lambda: len(self.mailbox(user)) >= count, seconds, self.log)
        return [p.read_bytes() for p in self.mailbox(user)]

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


class Exim(Peer):
    """Takes mail for exim.example, sends all else on to the port `onward`. main, acl, more: further settings, what its ACL
    says, further sections."""

    user = "Debian-exim"

    def __init__(self, onward=25, main="tls_advertise_hosts =", acl="  accept", more=""):
        super().__init__()
        self.port = free_port()
        self.conf = self.home / "exim.conf"
        self.conf.write_text(EXIM_MAIN.format(home=self.home, port=self.port, onward=onward, program=exim_program(),
                                              main=main, acl=acl) + more)
        self.conf.chmod(0o644)
        (self.home / "spool").mkdir()
        os.chown(self.home / "spool", pwd.getpwnam(self.user).pw_uid, -1)

    def mainlog(self):
        path = self.home / "mainlog"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self):
        return self.spawn(exim_program(), "-C", str(self.conf), "-bdf", "-q1m", port=self.port)


class Dovecot(Peer):
    """LMTP by TCP and by unix socket; submission, which hands on to the port `onward`."""

    def __init__(self, onward=25):
        super().__init__()
        owner = pwd.getpwnam(self.user)
        self.lmtp, self.submission, self.onward = free_port(), free_port(), onward
        (self.home / "dovecot.conf").write_text(DOVECOT_MAIN.format(
            home=self.home, uid=owner.pw_uid, gid=owner.pw_gid, lmtp=self.lmtp, submission=self.submission,
            onward=onward))

    def start(self):
        return self.spawn("/usr/sbin/dovecot", "-F", "-c", str(self.home / "dovecot.conf"), port=self.lmtp)


class Chrooted(Peer):
    """From unpacked packages, in a root of its own."""

    user = "root"
    packages = binaries = accounts = ours = ()

    def __init__(self, onward=25):
        super().__init__()
        self.port, self.onward = free_port(), onward
        (self.home / "mail").chmod(0o777)
        try:
            unpack.root(self.home, PACKAGES, self.packages, self.binaries, self.accounts, self.ours)
        except (OSError, subprocess.CalledProcessError):
            self.stop()
            raise
        self.configure()

    def write(self, name, text, mode=0o644):
        (self.home / name).parent.mkdir(parents=True, exist_ok=True)
        (self.home / name).write_text(text)
        (self.home / name).chmod(mode)

    def start(self):
        return self.spawn("chroot", str(self.home), *self.command, port=self.port)

    @classmethod
    def missing(cls):
        """Its packages cannot be had."""
        try:
            for package in cls.packages:
                unpack.download(PACKAGES, package)
        except (OSError, StopIteration, subprocess.CalledProcessError):
            return True
        return False


class OpenSMTPD(Chrooted):
    """Takes mail for opensmtpd.example into Maildirs, sends all else on to the port `onward`."""

    packages = ("opensmtpd",)
    binaries = ("usr/sbin/smtpd", "usr/libexec/opensmtpd/mail.maildir")
    accounts = (("opensmtpd", 39102), ("opensmtpq", 39103))
    ours = ("bin/sh",)
    command = ("/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf")

    def configure(self):
        self.write("etc/smtpd.conf", OPENSMTPD_MAIN.format(port=self.port, onward=self.onward))
        (self.home / "var/lib/opensmtpd/empty").mkdir(parents=True, exist_ok=True)
        (self.home / "var/spool").mkdir(parents=True, exist_ok=True)


class Sendmail(Chrooted):
    """Takes mail for eve@sendmail.example, sends all else on to the port `onward`."""

    packages = ("sendmail-bin", "sendmail-cf", "libwrap0", "libnsl2", "libtirpc3", "libsasl2-2")
    binaries = ("usr/libexec/sendmail/sendmail",)
    accounts = (("smmta", 39111), ("smmsp", 39112), ("eve", 39113))
    ours = ("bin/sh", "bin/cat", "bin/mv", "bin/mkdir")
    command = ("/usr/libexec/sendmail/sendmail", "-bD", "-q1m", "-X", "/transcript")

    def configure(self):
        self.write("etc/mail/sendmail.mc", SENDMAIL_MC.format(home=self.home, port=self.port, onward=self.onward))
        made = subprocess.run(["m4", f"-D_CF_DIR_={self.home}/usr/share/sendmail/cf/", str(self.home / "etc/mail/sendmail.mc")],
                              capture_output=True, text=True, check=True)
        self.write("etc/mail/sendmail.cf", made.stdout)
        self.write("etc/mail/service.switch", "hosts files\naliases files\n")
        self.write("bin/box", SENDMAIL_BOX, 0o755)
        (self.home / "var/spool/mqueue").mkdir(parents=True, exist_ok=True)
        (self.home / "var/spool/mqueue").chmod(0o700)


class NodeServer(Peer):
    """nodemailer's smtp-server: mail for anybody into Maildirs by local part."""

    folder = ROOT / "build/peers/node"

    def __init__(self):
        super().__init__()
        self.port = free_port()

    def start(self):
        return self.spawn("node", str(pathlib.Path(__file__).parent / "smtp_server.js"),
                          str(self.folder / "node_modules/smtp-server"), str(self.port), str(self.home / "mail"),
                          port=self.port)

    @classmethod
    def missing(cls):
        """It cannot be had."""
        if not (cls.folder / "node_modules/smtp-server").exists():
            cls.folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                subprocess.run(["npm", "install", "--prefix", str(cls.folder), "--no-audit", "--no-fund", "smtp-server@3"],
                               capture_output=True, timeout=120)
        return not (cls.folder / "node_modules/smtp-server").exists()
