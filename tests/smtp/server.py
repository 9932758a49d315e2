"""A server of its own for a test: configuration in a scratch folder, started, awaited, stopped."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("POSTRIDER", str(ROOT / "build" / "postrider"))
# In a sanitized build a finding ends the process by a signal, so that its supervisor, or the caller, sees it, too.
os.environ.setdefault("ASAN_OPTIONS", "abort_on_error=1")
os.environ.setdefault("UBSAN_OPTIONS", "abort_on_error=1:print_stacktrace=1")
REPORTS = ("Sanitizer: ", "Sanitizer:DEADLYSIGNAL", "runtime error: ", "Assertion `")
PORTS = iter(range(11000 + os.getpid() % 400, 11999))

USERS = """\
# those who receive mail
alice:
bob:
Carol:
postmaster:
"""
ALIASES = """\
team: alice, bob
abuse: postmaster
world: alice, jürgen@any.example
"""

CONFIG = """\
hostname = "mx.example.org"
data = "data"
grace = "{grace}"
listener "mx" {{ address = {{"127.0.0.1:{port}", "[::1]:{port}"}} }}
domain "example.org" {{
  users = "file:users"  aliases = "file:aliases"  deliver = "maildir:mail/{{domain}}/{{local}}"
}}
domain "any.example" {{ users = "any"  deliver = "maildir:mail/{{domain}}/{{local}}" }}
relay {{ from = {{"127.0.0.2/32"}}  {via} }}
limits {{ {limits} }}
log {{ format = "json"  level = "info" }}
{more}
"""

CONFIGS = {
    "default": {"via": 'via = "smtp://127.0.0.1:9"'},
    "small": {
        "limits": 'message_size = "64K"  recipients = 100  errors = 3  hops = 5',
        "via": 'via = "smtp://127.0.0.1:9"',
    },
    "timeouts": {"limits": 'command_timeout = "1s"  data_timeout = "1s"'},
    "bare": {"limits": 'bare_newlines = {"127.0.0.3/32"}'},
    "novia": {},
    "routed": {"more": 'route ".partner.example" { via = "smtp://127.0.0.1:9" }'},
    "idn": {"more": 'domain "xn--bcher-kva.example" { users = "any"  deliver = "maildir:mail/{domain}/{local}" }'},
    "limited": {"limits": "transactions = 2  recipient_domains = 2  line_length = 998", "more": 'queue { future_release = 0 }'},
    "lmtp": {"more": 'listener "lmtp" { role = lmtp  address = {"127.0.0.1:@second@", "unix:lmtp.sock"}  tls = none }'},
    "told": {
        "more": 'domain "told.example" { users = "file:users"  aliases = "file:aliases"'
        '  deliver = "maildir:mail/{domain}/{local}"  vrfy = true  expn = true  etrn = true }\n'
        'route ".waits.example" { via = "smtp://127.0.0.1:9"  etrn = true }'
    },
    "proxied": {
        "more": 'listener "behind" { address = {"127.0.0.1:@second@"}  proxy = {"127.0.0.4/32"}'
        '  xclient = {"127.0.0.5/32"}  xforward = {"127.0.0.6/32"} }',
        "via": 'via = "smtp://127.0.0.1:9"',
    },
    "few": {"limits": "connections = 4", "more": "processes { receivers = 1 }"},
}


def free_port():
    for port in PORTS:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


def role_pid(server, role):
    for pid in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            command = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
            parent = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
            if role in command and parent == server.process.pid:
                return int(pid)
    raise AssertionError(f"no {role} process")


class Server:
    def __init__(self, folder, config="default", **changes):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.second = free_port()  # of a further listener: @second@ in "more"
        self.host = "127.0.0.1"
        self.values = {"grace": "3s", "limits": "", "via": "", "more": "", "port": self.port}
        self.values |= CONFIGS[config] | changes
        self.conf = self.folder / "postrider.conf"
        self.log_path = self.folder / "log"
        self.process = None
        (self.folder / "users").write_text(USERS)
        (self.folder / "aliases").write_text(ALIASES)
        self.write_config()

    def write_config(self, **changes):
        self.values |= changes
        values = self.values | {"more": self.values["more"].replace("@second@", str(self.second))}
        self.conf.write_text(CONFIG.format(**values))

    def start(self):
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "serve", "-c", str(self.conf)], stderr=log, stdout=log, stdin=subprocess.DEVNULL
            )
        self.await_ready()
        return self

    def await_ready(self, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"server ended with {self.process.returncode}:\n{self.log()}")
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1) as s:
                s.settimeout(2)
                if s.recv(200).startswith(b"220 "):
                    return
            time.sleep(0.02)
        raise RuntimeError(f"server not ready:\n{self.log()}")

    def stop(self, sig=signal.SIGTERM, seconds=20):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"server did not stop:\n{self.log()}") from None
        finally:
            self.check_reports()

    def forget(self):
        """The spool goes (its segments are large); configuration, log and mailboxes stay to be looked at."""
        shutil.rmtree(self.folder / "data" / "spool", ignore_errors=True)

    def check_reports(self):
        """Sanitizers and assertions speak on stderr: in the log, among everything else."""
        lines = self.log().splitlines()
        found = [i for i, line in enumerate(lines) if any(report in line for report in REPORTS)]
        assert not found, "\n".join(lines[found[0] : found[0] + 60])

    def check_log(self):
        """Nobody died, and nobody tried what it may not."""
        self.check_reports()
        ended = [row for row in self.events("process-ended") if row.get("level") == "error" or "violation" in row]
        assert not ended, f"{ended}\n{self.log()[-4000:]}"

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def events(self, name=None):
        rows = []
        for line in self.log().splitlines():
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if name is None or row.get("event") == name:
                    rows.append(row)
        return rows

    def await_events(self, name, count=1, seconds=10):
        end = time.monotonic() + seconds
        while len(rows := self.events(name)) < count:
            assert time.monotonic() < end, f"want {count} {name}, got {rows}\n{self.log()[-4000:]}"
            time.sleep(0.02)
        return rows

    def mailbox(self, user, domain="example.org"):
        new = self.folder / "mail" / domain / user / "new"
        return sorted(new.iterdir()) if new.is_dir() else []

    def await_mail(self, user, count=1, domain="example.org", seconds=10):
        """The messages of a mailbox, as soon as there are `count`; LF line ends as stored."""
        end = time.monotonic() + seconds
        while len(found := self.mailbox(user, domain)) < count:
            assert time.monotonic() < end, f"want {count} for {user}, got {len(found)}\n{self.log()[-4000:]}"
            time.sleep(0.02)
        return [path.read_bytes() for path in found]
