"""Debian's Exim: its package conflicts with Postfix's, so its files are unpacked once, below build/, and run from there.
Here it is a client: a message is given to it by SMTP on its standard input (exim -bs), and it sends it on at once;
peers.py has it as a server."""

import functools
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = "exim4-daemon-heavy"

CONF = """\
primary_hostname = exim.example
exim_user = nobody
exim_group = nogroup
exim_path = {program}
spool_directory = {home}/spool
log_file_path = {home}/log/%slog
acl_smtp_rcpt = accept
acl_smtp_data = accept
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
never_users =
keep_environment =
begin acl
accept:
  accept
begin routers
out:
  driver = manualroute
  route_list = * 127.0.0.1
  transport = smtp
  self = send
begin transports
smtp:
  driver = smtp
  port = {port}
  hosts_try_chunking = *
  hosts_try_prdr = *
{settings}
begin retry
* * F,1h,1m
{more}
"""


def user_exists(name):
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


@functools.cache
def exim_program():
    """Its path, or None where the package cannot be had. The user that Debian built it for is made where it is missing.
    Of its two packages the one that can ask Dovecot for passwords."""
    folder = ROOT / "build/peers" / PACKAGE
    program = folder / "usr/sbin/exim4"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        got = subprocess.run(["apt-get", "download", "-q", PACKAGE], cwd=folder, capture_output=True)
        package = next(folder.glob(f"{PACKAGE}_*.deb"), None)
        if got.returncode != 0 or not package:
            return None
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        package.unlink()
    if os.geteuid() == 0 and not user_exists("Debian-exim"):
        subprocess.run(["adduser", "--system", "--group", "--quiet", "--home", "/var/spool/exim4", "--no-create-home",
                        "--allow-bad-names", "Debian-exim"], check=True, capture_output=True)
    return str(program)


class Exim:
    """Sends everything to a port of this machine. None of it stays running. settings: of its transport; more: sections
    of the configuration."""

    def __init__(self, port, settings="", more=""):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="postrider-exim-"))
        self.home.chmod(0o755)
        self.said = ""
        for name in ("spool", "log"):
            (self.home / name).mkdir()
            shutil.chown(self.home / name, "nobody", "nogroup")
        (self.home / "conf").write_text(CONF.format(home=self.home, port=port, program=exim_program(), settings=settings,
                                                    more=more))

    def send(self, dialogue):
        done = subprocess.run([exim_program(), "-C", str(self.home / "conf"), "-odi", "-bs"],
                              input=dialogue.replace("\n", "\r\n").encode(), capture_output=True, timeout=120)
        # Without its privileges (it is run with a configuration of ours) it logs deliveries to stderr.
        self.said += done.stderr.decode(errors="replace")
        assert b"\n250 OK id=" in done.stdout, (done, self.log())

    def log(self):
        path = self.home / "log/mainlog"
        return (path.read_text(errors="replace") if path.exists() else "") + self.said

    def remove(self):
        shutil.rmtree(self.home, ignore_errors=True)
