"""Debian's Postfix as a next hop: an instance of its own from scratch folders, on a high port of loopback,
with one Maildir for everybody of postfix.example. Needs root, as Postfix does."""

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile

from node import free_port, wait_until

MAIN = """\
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {home}/log
maillog_file_prefixes = {home}
myhostname = mx.postfix.example
mydestination =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtputf8_enable = no
virtual_mailbox_domains = postfix.example
virtual_mailbox_base = {home}/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_mailbox_limit = 0
mailbox_size_limit = 0
message_size_limit = 100000000
"""
MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    def __init__(self, more="", services=""):
        """more: further settings, of which the last one said counts; services: further lines of master.cf."""
        # Not below pytest's folder: Postfix's own users must be able to pass through.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="postrider-postfix-"))
        self.home.chmod(0o755)
        self.port = free_port()
        owner = pwd.getpwnam("nobody")
        for name in ("etc", "queue", "data", "mail"):
            (self.home / name).mkdir()
        os.chown(self.home / "data", pwd.getpwnam("postfix").pw_uid, -1)
        os.chown(self.home / "mail", owner.pw_uid, owner.pw_gid)
        self.main = {}
        self.set(MAIN.format(home=self.home, uid=owner.pw_uid, gid=owner.pw_gid) + more)
        (self.home / "etc/master.cf").write_text(MASTER.format(port=self.port) + services)

    def set(self, text):
        """Lines NAME = VALUE; later ones count."""
        for line in filter(None, text.splitlines()):
            name, _, value = line.partition("=")
            self.main[name.strip()] = value.strip()
        (self.home / "etc/main.cf").write_text("".join(f"{name} = {value}\n" for name, value in self.main.items()))

    def command(self, word):
        return subprocess.run(["/usr/sbin/postfix", "-c", str(self.home / "etc"), word], capture_output=True,
                              text=True, timeout=60)

    def start(self):
        done = self.command("start")
        wait_until(self.answers, 20, lambda: f"{done} {self.log()}")
        return self

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                return s.recv(100).startswith(b"220")
        except OSError:
            return False

    def stop(self):
        self.command("stop")
        shutil.rmtree(self.home, ignore_errors=True)

    def log(self):
        path = self.home / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def mailbox(self, user):
        """The messages that were delivered to user@postfix.example."""
        mark, found = f"\nDelivered-To: {user}@postfix.example\n".encode(), []
        new = self.home / "mail/box/new"
        for path in sorted(new.iterdir()) if new.is_dir() else []:
            with path.open("rb") as f:
                if mark in f.read(2000):
                    found.append(path)
        return found

    def await_mail(self, user, seconds=20):
        wait_until(lambda: self.mailbox(user), seconds, lambda: self.log()[-3000:])
        return [path.read_bytes() for path in self.mailbox(user)]
