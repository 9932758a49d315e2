"""What a server costs: CPU of all its processes, dead ones included, and their memory.

A server runs below a keeper, a small process that is its subreaper: whatever the server forks and leaves behind is
reaped there and stays in the keeper's account. So CPU is exact for servers that fork for each message, too."""

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
TICK = os.sysconf("SC_CLK_TCK")


def keeper():
    """Entry point of the keeper: argv is the server's command. Ends when the server has ended and all are reaped."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = subprocess.Popen(sys.argv[2:])
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return
        except InterruptedError:
            pass


class Process:
    """A server's tree of processes."""

    def __init__(self, command, log, **values):
        self.keeper = subprocess.Popen([sys.executable, __file__, "keeper", *command], stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL, start_new_session=True, **values)

    def tree(self):
        """pid -> fields of /proc/PID/stat behind the name, the keeper's included."""
        rows, children = {}, {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                rows[int(entry)] = fields
                children.setdefault(int(fields[1]), []).append(int(entry))
        found, todo = {}, [self.keeper.pid]
        while todo:
            pid = todo.pop()
            if pid in rows:
                found[pid] = rows[pid]
                todo += children.get(pid, [])
        return found

    def cpu_usec(self):
        """User and system time of the living and of all that were reaped."""
        return sum(int(f) for fields in self.tree().values() for f in fields[11:15]) * 1_000_000 // TICK

    def memory_kib(self):
        """Proportional set size of all processes, the keeper left out."""
        total = 0
        for pid in self.tree():
            if pid == self.keeper.pid:
                continue
            try:
                text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        return total

    def running(self):
        return self.keeper.poll() is None

    def stop(self, seconds=15):
        if self.running():
            self.keeper.terminate()
        end = time.monotonic() + seconds
        while self.running() and time.monotonic() < end:
            time.sleep(0.05)
        for pid in self.tree():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.keeper.wait()


def disk(folder, seconds=1.0):
    """What the disk does alone: fdatasyncs a second of one 4 KiB record each, and records a second in groups of 20. On a
    file that is written with zeros and synced before, as segments of a spool are."""
    path, rates = folder / "disk", {}
    record, room = b"x" * 4096, 32 << 20
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(fd, bytes(room), 0)
        os.fsync(fd)
        for group in (1, 20):
            at = done = 0
            begun = time.monotonic()
            while time.monotonic() - begun < seconds:
                os.pwrite(fd, record * group, at)
                os.fdatasync(fd)
                done += group
                at = (at + 4096 * group) % (room - 4096 * group)
            rates[group] = done / (time.monotonic() - begun)
    finally:
        os.close(fd)
        path.unlink()
    return {"fdatasyncs a second": rates[1], "4 KiB records a second in groups of 20": rates[20]}


if __name__ == "__main__" and sys.argv[1:2] == ["keeper"]:
    keeper()
