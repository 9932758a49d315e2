"""Other people's servers as next hops, each an instance of its own in a scratch folder on loopback ports: Exim, Dovecot's
LMTP and submission, aiosmtpd."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile

from exim import exim_program
from node import free_port, wait_until

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
tls_advertise_hosts =
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
  accept
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

    def spawn(self, *words, port):
        with (self.home / "out").open("ab") as out:
            self.process = subprocess.Popen(words, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                            start_new_session=True)
        wait_until(lambda: answers(port), 20, self.log)
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
    """Takes mail for exim.example, sends all else on to the port `onward`."""

    user = "Debian-exim"

    def __init__(self, onward=25):
        super().__init__()
        self.port = free_port()
        self.conf = self.home / "exim.conf"
        self.conf.write_text(EXIM_MAIN.format(home=self.home, port=self.port, onward=onward, program=exim_program()))
        self.conf.chmod(0o644)
        (self.home / "spool").mkdir()
        os.chown(self.home / "spool", pwd.getpwnam(self.user).pw_uid, -1)

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
