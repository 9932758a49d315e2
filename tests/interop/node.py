"""Whole servers for tests of the interop and crash folders: any configuration, any user, several at once,
with an eye on their processes: none may be left behind, none may die unless the test killed it."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "smtp"))
from server import PROGRAM, Server  # noqa: E402

PORTS = iter(range(14000 + os.getpid() % 300, 14999))

ANYBODY = """\
hostname = "{name}"
data = "data"
grace = "5s"
listener "mx" {{ address = {{"127.0.0.1:{port}"}} }}
domain "{domain}" {{ users = "any"  deliver = "maildir:mail/{{domain}}/{{local}}" }}
relay {{ from = {{"127.0.0.0/8"}}  {via} }}
queue {{ {queue} }}
limits {{ {limits} }}
log {{ format = "json" }}
{spool}
{more}
"""
# Of an ordinary server's 64 MiB each has a dozen; tests by the hundred would fill a disk with zeros.
SMALL = 'spool { segment_size = "4M" }'


def free_port():
    for port in PORTS:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


def wait_until(condition, seconds=10, say=lambda: ""):
    """The condition's first true value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds} s: {say()}"
        time.sleep(0.01)
    return value


def stat_of(pid):
    """(parent, state, start time) of a process, or None."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), fields[0], int(fields[19])


class Node(Server):
    """A server in a folder of its own. Configuration: a text with PORT in it, or the values of ANYBODY."""

    def __init__(self, folder, text=None, prefix=(), **values):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = values.pop("port", None) or free_port()
        self.host = "127.0.0.1"
        self.prefix = list(prefix)
        self.conf = self.folder / "postrider.conf"
        self.log_path = self.folder / "log"
        self.process = None
        self.deaths_expected = False
        self.rows, self.parsed = [], 0
        self.text = text
        self.values = {"name": "mx.example.org", "domain": "example.org", "via": "", "queue": "", "limits": "",
                       "more": "", "spool": SMALL,
                       "port": self.port} | values
        self.write_config()

    def write_config(self, **changes):
        self.values |= changes
        text = self.text.replace("PORT", str(self.port)) if self.text else ANYBODY.format(**self.values)
        self.conf.write_text(text)

    def spawn(self):
        """Started, not awaited."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen([*self.prefix, PROGRAM, "serve", "-c", str(self.conf)], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder)
        return self

    def start(self):
        ready = len(self.events("ready"))
        self.spawn()
        wait_until(lambda: self.process.poll() is not None or len(self.events("ready")) > ready, 30, self.log)
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log()[-4000:]}"
        return self

    def refused_start(self):
        """(exit status, what it said) of a start that must fail."""
        done = subprocess.run([*self.prefix, PROGRAM, "serve", "-c", str(self.conf)], capture_output=True, text=True,
                              timeout=30, stdin=subprocess.DEVNULL, cwd=self.folder)
        return done.returncode, done.stderr

    def events(self, name=None):
        """As far as the log goes now; each line is parsed once."""
        if self.log_path.exists():
            with self.log_path.open("rb") as f:
                f.seek(self.parsed)
                octets = f.read()
            whole = octets.rfind(b"\n") + 1
            self.parsed += whole
            for line in octets[:whole].splitlines():
                with contextlib.suppress(ValueError):
                    self.rows.append(json.loads(line))
        return [row for row in self.rows if name is None or row.get("event") == name]

    def children(self, role=None):
        """pids of the role processes, by the kernel's view."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            stat = stat_of(entry.name)
            if not stat or stat[0] != self.process.pid or stat[1] == "Z":
                continue
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if role is None or (len(words) > 2 and words[2] == role.encode()):
                    found.append(int(entry.name))
        return found

    def stop(self, sig=signal.SIGTERM, seconds=30):
        born = {pid: stat_of(pid) for pid in self.children()} if self.process.poll() is None else {}
        status = super().stop(sig, seconds)
        for pid, stat in born.items():
            now = stat_of(pid)
            gone = lambda pid=pid, stat=stat: (now := stat_of(pid)) is None or now[2] != stat[2] or now[1] == "Z"
            if now:
                wait_until(gone, 5, lambda pid=pid: f"process {pid} outlived the server")
        return status

    def kill_all(self):
        """As a power cut for the processes: all at once, the supervisor last to know."""
        pids = [self.process.pid, *self.children()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for pid in pids[1:]:
            wait_until(lambda pid=pid: (stat_of(pid) or (0, "Z"))[1] == "Z", 5, lambda: "killed processes stay")

    def check_log(self):
        """Nobody died but by the test's hand, and nobody tried what it may not."""
        violations = [row for row in self.events("process-ended") if "violation" in row]
        assert not violations, violations
        if not self.deaths_expected:
            deaths = [row for row in self.events("process-ended") if row.get("level") == "error"]
            assert not deaths, f"{deaths}\n{self.log()[-4000:]}"

    def mailbox(self, user, domain=None):
        return super().mailbox(user, domain or self.values["domain"])

    def await_mail(self, user, count=1, domain=None, seconds=10):
        return super().await_mail(user, count, domain or self.values["domain"], seconds)

    # ---- the command line ----

    def run(self, *words, input=None, check=True):
        done = subprocess.run([PROGRAM, words[0], "-c", str(self.conf), *words[1:]], capture_output=True,
                              input=input, timeout=60, cwd=self.folder)
        if check:
            assert done.returncode == 0, (words, done.returncode, done.stdout, done.stderr)
        return done

    def queue(self, *filters):
        """Rows of `queue list --json`."""
        out = self.run("queue", "list", "--json", *filters).stdout
        return [json.loads(line) for line in out.splitlines()]

    def await_queue(self, condition, seconds=10):
        """Rows as soon as they satisfy."""
        rows = []

        def satisfied():
            rows[:] = self.queue()
            return condition(rows)

        wait_until(satisfied, seconds, lambda: f"{rows[:3]} ({len(rows)})\n{self.log()[-3000:]}")
        return rows

    def await_empty(self, seconds=10):
        self.await_queue(lambda rows: not rows, seconds)

    def top(self):
        return json.loads(self.run("top", "--json").stdout)
