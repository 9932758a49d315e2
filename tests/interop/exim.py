"""Debian's Exim as a client: its package conflicts with Postfix's, so its files are unpacked into a scratch folder and
run from there. A message is given to it by SMTP on its standard input (exim -bs), and it sends it on at once."""

import pathlib
import shutil
import subprocess
import tempfile

CONF = """\
primary_hostname = exim.example
exim_user = nobody
exim_group = nogroup
exim_path = {home}/root/usr/sbin/exim4
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
begin retry
* * F,1h,1m
"""


class Exim:
    """Sends everything to a port of this machine. None of it stays running."""

    def __init__(self, port):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="postrider-exim-"))
        self.home.chmod(0o755)
        self.said = ""
        for name in ("spool", "log"):
            (self.home / name).mkdir()
            shutil.chown(self.home / name, "nobody", "nogroup")
        (self.home / "conf").write_text(CONF.format(home=self.home, port=port))

    def unpack(self):
        """False: the package cannot be had."""
        got = subprocess.run(["apt-get", "download", "-q", "exim4-daemon-light"], cwd=self.home, capture_output=True)
        if got.returncode != 0:
            return False
        package = next(self.home.glob("*.deb"))
        return subprocess.run(["dpkg-deb", "-x", package, self.home / "root"]).returncode == 0

    def send(self, dialogue):
        program = str(self.home / "root/usr/sbin/exim4")
        done = subprocess.run([program, "-C", str(self.home / "conf"), "-odi", "-bs"],
                              input=dialogue.replace("\n", "\r\n").encode(), capture_output=True, timeout=120)
        # Without its privileges (it is run with a configuration of ours) it logs deliveries to stderr.
        self.said += done.stderr.decode(errors="replace")
        assert b"\n250 OK id=" in done.stdout, (done, self.log())

    def log(self):
        path = self.home / "log/mainlog"
        return (path.read_text(errors="replace") if path.exists() else "") + self.said

    def remove(self):
        shutil.rmtree(self.home, ignore_errors=True)
