#!/usr/bin/python3
"""How Postrider's figures change with what it has to hold: `make bench-scale`. Connections, queued messages (with the start
after a kill), next hops, sizes of messages, cores; and the start with nothing. Writes bench/SCALING.md, scaling.svg and
scaling.json.

Every step is bounded by time; a step that cannot finish says so in its row and the next one runs.

usage: scale.py PROGRAM WORKFOLDER [--small] [--only start,connections,queued,hops,size,cores] [--out FOLDER]
       scale.py --report JSON [--out FOLDER]      draws page and chart again"""

import argparse
import contextlib
import json
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

import cells
import measure
import run
import scale_report
import servers

FILES = 200_000
IDLE_EACH = 8_000  # sessions of one generator
LARGE, SMALL = False, True
STEPS = {  # small or not: what is tried
    "connections": {LARGE: (10, 100, 1_000, 10_000, 20_000), SMALL: (10, 100, 1_000)},
    "queued": {LARGE: (1_000, 10_000, 100_000, 1_000_000), SMALL: (1_000, 10_000)},
    "hops": {LARGE: (1, 10, 100, 1_000, 10_000), SMALL: (1, 10, 100)},
    "cores": {LARGE: ((1, 1), (1, 2), (2, 1), (2, 2)), SMALL: ((1, 1), (2, 2))},  # cores, receivers and deliverers
    "size": {LARGE: (1 << 10, 4 << 10, 64 << 10, 1 << 20, 10 << 20, 100 << 20), SMALL: (1 << 10, 64 << 10, 1 << 20)},
}


class Scaled(servers.Postrider):
    """limits and routes as a step needs them; the rest is the default configuration."""

    name = "Postrider-scale"
    more = ""
    extra = ""
    cores = None  # its own, if not all

    def command(self):
        pinned = ["taskset", "-c", ",".join(map(str, sorted(self.cores)))] if self.cores else []
        return pinned + super().command()

    def cpu_by_role(self):
        """role -> microseconds of CPU of its processes so far."""
        used = {}
        for pid, fields in self.process.tree().items():
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").split()
                role = words[words.index("--role") + 1] if "--role" in words else None
                if role:
                    used[role] = used.get(role, 0) + (int(fields[11]) + int(fields[12])) * 1_000_000 // measure.TICK
        return used

    def config(self, via):
        super().config(via)
        path = self.home / "postrider.conf"
        path.write_text(path.read_text() + self.extra)

    def kill(self):
        """All processes at once, as a power cut would, but for the disk's cache."""
        for pid in self.process.tree():
            if pid != self.process.keeper.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.stop(5)

    def again(self):
        """Started on what is there. Seconds until its port answers."""
        begun = time.monotonic()
        with open(self.home / "console", "ab") as log:
            self.process = measure.Process(self.command(), log, cwd=self.home)
        while not servers.port_open(self.port):
            if time.monotonic() > begun + 120:
                raise cells.Unfinished("no port within 120 s")
            time.sleep(0.002)
        return time.monotonic() - begun

    def stop_only(self):
        """The data stays."""
        if self.process:
            self.process.stop(5)
        self.process = None

    def banner_seconds(self):
        """Started without the keeper, whose own start would count; ended again."""
        begun = time.monotonic()
        with open(self.home / "console", "ab") as log:
            process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as s:
                    if s.recv(100).startswith(b"220"):
                        return time.monotonic() - begun
                if time.monotonic() > begun + 30 or process.poll() is not None:
                    raise cells.Unfinished("no banner")
                time.sleep(0.001)
        finally:
            process.terminate()
            process.wait(30)

    def open_connections(self):
        return json.loads(self.tell("top", "--json"))["connections_open"]

    def log_octets(self):
        return (self.home / "console").stat().st_size

    def has_logged(self, name, since):
        """Did an event of this name come behind so many octets of the log? (All of it may be a GiB.)"""
        with open(self.home / "console", "rb") as log:
            log.seek(since)
            return f'"event":"{name}"'.encode() in log.read()


class Watch:
    """The highest memory of a server while something runs."""

    def __init__(self, server):
        self.server, self.highest, self.ended = server, 0, threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.ended.is_set():
            self.highest = max(self.highest, self.server.process.memory_kib())
            self.ended.wait(0.2)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


class Scale:
    def __init__(self, work, small):
        self.work, self.small = work, small
        self.facts = {"machine": run.machine(), "load": os.getloadavg()[0], "small": small, "tables": {},
                      "began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
                      "disk": measure.disk(work, 0.3 if small else 1)}
        bounds = cells.QUICK if small else cells.FULL
        self.seconds = 1.5 if small else 4
        self.cells = cells.Cells(Scaled.program, bounds, run.PORT, run.SINK, None)

    def row(self, table, step, **values):
        self.facts["tables"].setdefault(table, []).append({"step": step} | values)
        print(f"  {table} {step:,}: " + ", ".join(f"{k} {v:,.1f}" if isinstance(v, float) else f"{k} {v}"
                                                 for k, v in values.items()), flush=True)
        (self.work / "scaling.json").write_text(json.dumps(self.facts, indent=1))

    @contextlib.contextmanager
    def step(self, table, step, extra=""):
        """A server for one step, and what went wrong in its row."""
        server = Scaled(self.work, run.PORT, run.SINK)
        server.extra = extra
        try:
            yield server
        except (cells.Unfinished, OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
            self.row(table, step, failed=str(error).splitlines()[-1][:200])
        finally:
            server.stop()

    def load(self, server, *words, seconds=None, **values):
        return self.cells.load(server.port, *words, seconds=seconds or self.seconds, **values)

    # ---- the tables ----

    def start(self):
        """From the command to the banner of the first session, with an empty queue that is there already."""
        times = []
        with self.step("start", 0) as server:
            server.start()
            for _ in range(3 if self.small else 9):
                server.stop_only()
                times.append(server.banner_seconds() * 1000)
            self.row("start", 0, **{"ms to the banner, median": sorted(times)[len(times) // 2],
                                    "ms, highest": max(times)})

    def connections(self):
        """So many idle sessions; beside them 20 that send."""
        for n in STEPS["connections"][self.small]:
            limits = f"limits {{ connections = {n + 1000}  connections_per_ip = {n + 1000} }}\n"
            with self.step("connections", n, limits) as server, self.cells.sink():
                server.start()
                self.load(server, "-m", "100", "-j", "20")
                before = server.process.memory_kib()
                hold = self.seconds + 8 + n / 1000
                idle = [subprocess.Popen([server.program, "bench", "load", f"127.0.0.1:{server.port}", "-j",
                                          str(min(IDLE_EACH, n - begun)), "--idle", f"{int(hold * 1000)}ms", "--quiet",
                                          "--json"], stdout=subprocess.PIPE, text=True)
                        for begun in range(0, n, IDLE_EACH)]
                end = time.monotonic() + 4 + n / 1000
                while server.open_connections() < n and time.monotonic() < end:
                    time.sleep(0.1)
                time.sleep(1)  # buffers that nothing comes for are given back
                memory = server.process.memory_kib() - before
                got = self.load(server, "-m", "200000", "-j", "20", "-k", "0", "--window", "1000")
                ends = [json.loads(part.communicate(timeout=hold + 60)[0]) for part in idle]
                self.row("connections", n, **{"opened": sum(end["stages"].get("hello", {}).get("count", 0) for end in ends),
                                              "ended early": sum(end["closed_early"] for end in ends), "KiB PSS a connection": memory / n if n >= 100 else None,
                                              "relayed a second beside them":
                                              got["messages"] / got["sink"]["seconds"], "p99 ms to the 250":
                                              got["stages"]["to-250"]["p99_us"] / 1e3} | cells.account(got))

    def queued(self):
        """Held; killed; started again while mail comes; released."""
        for n in STEPS["queued"][self.small]:
            with self.step("queued", n) as server:
                server.start(hold=True)
                self.load(server, "-m", "100", "-j", "20", sink=None)
                empty = server.process.memory_kib()
                got = self.load(server, "-m", str(n - 100), "-j", "100", "-k", "0", "-s", "1K", sink=None,
                                seconds=20 + n / 2500)
                held = self.cells.await_queued(server, n)
                if held < n:
                    raise cells.Unfinished(f"{held} of {n} queued")
                time.sleep(1)
                memory = server.process.memory_kib()
                begun = time.monotonic()
                listed = server.tell("queue", "list", "--json").count("\n")
                list_seconds = time.monotonic() - begun
                server.kill()
                log = server.log_octets()
                port_seconds, begun = server.again(), time.monotonic()
                first = self.load(server, "-m", "1", "-j", "1", "-s", "1K", sink=None, seconds=60)
                first_seconds = time.monotonic() - begun + port_seconds
                while not server.has_logged("recovered", log) and time.monotonic() - begun < 120:
                    time.sleep(0.02)
                recovered = time.monotonic() - begun + port_seconds
                after = self.cells.await_queued(server, n + 1)
                values = {"accepted a second": got["messages_per_second"], "MiB PSS": memory / 1024,
                          "octets a message": (memory - empty) * 1024 / n if n >= 10_000 else None,
                          "s to list all": list_seconds, "s to the port after kill -9": port_seconds, "s to the first 250": first_seconds,
                          "s to recovered": recovered, "lost": n + first["messages"] - min(after, listed + 1)}
                with self.cells.sink("--expect", str(after)) as sink:
                    begun = time.monotonic()
                    server.release()
                    values["s of release --all"] = time.monotonic() - begun
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        sink.wait(10 + n / 8000)
                    sink.terminate()
                    out = json.loads(sink.communicate(timeout=30)[0])
                self.row("queued", n, **values | {"drained a second": out["messages_per_second"], "arrived": out["pairs"],
                                                  "doubled": out["doubled"]})

    def hops(self):
        """Domains with a next hop each; one sink listens at all of their addresses."""
        for n in STEPS["hops"][self.small]:
            routes = "".join(f'route "d{i}.example" {{ via = "smtp://127.{1 + i // 62500}.{i // 250 % 250}.{1 + i % 250}:'
                             f'{run.SINK}" }}\n' for i in range(n))
            with self.step("hops", n, routes) as server:
                sink = subprocess.Popen([server.program, "bench", "sink", f"0.0.0.0:{run.SINK}", "--json", "--quiet"],
                                        stdout=subprocess.PIPE, text=True)
                try:
                    server.start()
                    got = self.load(server, "-m", "200000", "-j", "20", "-k", "0", "--domains", str(n), "--to",
                                    "bench-{rcpt}@d{domain}.example", "--window", "2000")
                    self.row("hops", n, **{"relayed a second": got["messages"] / got["sink"]["seconds"], "MiB PSS":
                                           server.process.memory_kib() / 1024} | cells.account(got))
                finally:
                    sink.terminate()
                    sink.communicate(timeout=30)

    def size(self):
        limits = 'limits { message_size = "200M" }\n'
        for n in STEPS["size"][self.small]:
            with self.step("size", n, limits) as server, self.cells.sink():
                server.start()
                many = max(8, min(100_000, (4 << 30) // n))
                with Watch(server) as watch:
                    got = self.load(server, "-m", str(many), "-j", "4", "-k", "0", "-s", str(n), "--window",
                                    str(max(4, min(1000, (64 << 20) // n))))
                seconds = got["sink"]["seconds"]
                self.row("size", n, **{"relayed a second": got["messages"] / seconds, "MB a second":
                                       got["octets"] / seconds / 1e6, "MiB PSS at most": watch.highest / 1024} |
                         cells.account(got))

    def cores(self):
        """So many cores for the server, the others (if any) for generator and sink; so many receivers and deliverers."""
        all_cores = sorted(os.sched_getaffinity(0))
        for cores, processes in STEPS["cores"][self.small]:
            with self.step("cores", cores, f"processes {{ receivers = {processes}  deliverers = {processes} }}\n") as server:
                if cores > len(all_cores):
                    raise cells.Unfinished(f"the machine has {len(all_cores)}")
                server.cores = set(all_cores[:cores])
                os.sched_setaffinity(0, set(all_cores[cores:]) or set(all_cores))  # generator and sink inherit it
                try:
                    self.row("cores", cores, **{"receivers, deliverers": processes} | self.core_rates(server))
                finally:
                    os.sched_setaffinity(0, all_cores)

    def core_rates(self, server):
        with self.cells.sink():
            server.start()
            self.load(server, "-m", "100", "-j", "20")
            once = self.load(server, "-m", "200000", "-j", "20", "--window", "1000")
            before = server.cpu_by_role()
            kept = self.load(server, "-m", "200000", "-j", "20", "-k", "0", "--window", "1000")
            used = server.cpu_by_role()
            server.stop()
            server.start(hold=True)
            accepted = self.load(server, "-m", "200000", "-j", "100", "-k", "0", sink=None)
        each = {f"µs {role}": (used[role] - before.get(role, 0)) / kept["messages"]
                for role in ("receiver", "dispatcher", "deliverer", "directory") if role in used}
        return {"relayed a second, one a connection": once["messages"] / once["sink"]["seconds"],
                "relayed, kept": kept["messages"] / kept["sink"]["seconds"],
                "accepted, kept": accepted["messages_per_second"]} | each | cells.account(kept)

    TABLES = ("start", "connections", "queued", "hops", "size", "cores")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program", nargs="?")
    options.add_argument("work", nargs="?")
    options.add_argument("--small", action="store_true")
    options.add_argument("--only", default=",".join(Scale.TABLES))
    options.add_argument("--out", default=str(servers.HERE))
    options.add_argument("--report", metavar="JSON")
    o = options.parse_args()
    if o.report:
        print(scale_report.write(json.loads(pathlib.Path(o.report).read_text()), pathlib.Path(o.out)))
        return 0
    if not o.program or not o.work:
        options.error("PROGRAM and WORKFOLDER are needed")
    if os.geteuid() != 0:
        sys.exit("make bench-scale needs root, for its limits of open files")
    work = pathlib.Path(o.work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    work.chmod(0o755)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, FILES), max(hard, FILES)))
    except ValueError:  # not everywhere may root raise it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    servers.Postrider.program = str(pathlib.Path(o.program).resolve())
    servers.make_certificate(work)
    begun = time.monotonic()
    scale = Scale(work, o.small)
    for table in o.only.split(","):
        getattr(scale, table)()
    scale.facts["seconds"] = time.monotonic() - begun
    print(scale_report.write(scale.facts, pathlib.Path(o.out)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
