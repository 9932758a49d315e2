#!/usr/bin/python3
"""The comparison: `make bench`, `make bench-quick`. Needs root (the peers want their users and roots).

Every scenario is run for every server in turn, and the whole is repeated, so that what else the machine does hits all
alike. Each round also runs the generator straight into its sink: the limit. Writes bench/RESULTS.md, bench/results.svg
and all raw numbers beside the build.

usage: run.py PROGRAM WORKFOLDER [--quick] [--rounds N] [--only NAME,...] [--out FOLDER]"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import peers
import report

PORT, SINK = int(os.environ.get("BENCH_PORT", "23025")), int(os.environ.get("BENCH_SINK", "23026"))
DRAIN_SECONDS = 8


class Bench:
    def __init__(self, program, quick):
        self.program, self.quick = program, quick
        self.queued = 2_000 if quick else 10_000
        self.raw = {}

    def record(self, row, server, **values):
        self.raw.setdefault(row, {}).setdefault(server, []).append(values)

    def load(self, port, *words, sink="--watch"):
        command = [self.program, "bench", "load", f"127.0.0.1:{port}", "--json", "--quiet", "--settle", "10s", *words]
        if sink:
            command += [sink, f"127.0.0.1:{SINK}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90)
        if not done.stdout:
            raise RuntimeError(f"{command}: {done.stderr}")
        return json.loads(done.stdout)

    def span(self, seconds):
        """Options of a run that ends by the clock, whatever the server's speed; the number is only a bound."""
        return ["-m", "120000", "--duration", f"{int(seconds * (400 if self.quick else 1000))}ms"]

    # ---- a server that relays ----

    RELAY = (  # row, options of the generator, messages of the run that finds the limit
        ("relay, 20 sessions, one message a connection", ["-j", "20"], 20000),
        ("relay, 100 sessions, one message a connection", ["-j", "100"], 20000),
        ("relay, 20 sessions, connections kept", ["-j", "20", "-k", "0"], 40000),
        ("relay, 1 MiB messages, 10 sessions", ["-j", "10", "-s", "1M"], 2000),
        ("relay, 50 recipients, 10 sessions", ["-j", "10", "-r", "50"], 4000),
    )

    def relay(self, server):
        cpu_rows = {self.RELAY[0][0]: "CPU of the server, one message a connection",
                    self.RELAY[2][0]: "CPU of the server, connections kept"}
        self.load(PORT, "-m", "100", "-j", "20")  # everything that starts on demand has started
        for row, options, _ in self.RELAY:
            before = server.process.cpu_usec()
            got = self.load(PORT, *options, *self.span(3))
            time.sleep(0.3)
            cpu = server.process.cpu_usec() - before
            sink = got.get("sink", {})
            messages = got["messages"] or 1
            # Of 50 recipients a server may make several transactions: its work is done when all have come.
            rate = got["messages"] / sink["seconds"] if sink.get("seconds") else 0
            self.record(row, server.name, value=rate, **account(got))
            if row in cpu_rows:
                self.record(cpu_rows[row], server.name, value=cpu / messages)
            if row == self.RELAY[0][0]:
                stage = got["stages"].get("to-250", {})
                self.record("latency to the 250, 20 sessions, p50", server.name, value=stage.get("p50_us", 0) / 1e3)
                self.record("latency to the 250, 20 sessions, p99", server.name, value=stage.get("p99_us", 0) / 1e3)

    def idle(self, server):
        """On a fresh server that has seen one session; Postfix has a process for each, so that there are fewer."""
        n = 100 if server.name == "Postfix" else 400
        self.load(PORT, "-m", "1", "-j", "1", sink=None)
        time.sleep(0.5)
        before = server.process.memory_kib()
        load = subprocess.Popen([self.program, "bench", "load", f"127.0.0.1:{PORT}", "-j", str(n), "--idle", "5s",
                                 "--quiet", "--json"], stdout=subprocess.PIPE, text=True)
        time.sleep(4)  # buffers that a server gives back when nothing comes have been given back
        after = server.process.memory_kib()
        got = json.loads(load.communicate(timeout=60)[0])
        if got["connections"] == n and not got["closed_early"]:
            self.record("memory, an idle connection after EHLO", server.name, value=(after - before) / n)

    # ---- a server that only accepts, then delivers ----

    HOLD = (
        ("accept only, 20 sessions, one message a connection", ["-j", "20"], 20000),
        ("accept only, 100 sessions, one message a connection", ["-j", "100"], 20000),
        ("accept only, 100 sessions, connections kept", ["-j", "100", "-k", "0"], 40000),
    )

    def accept(self, server):
        held = 0
        for row, options, _ in self.HOLD:
            # Not more than a third of the queue that the next rows want.
            got = self.load(PORT, *options, "--duration", "3s", "-m", str(self.queued // 3), sink=None)
            held += got["messages"]
            self.record(row, server.name, value=got["messages_per_second"], **account(got))
        if held < self.queued:
            held += self.load(PORT, "-j", "20", "-k", "0", "-m", str(self.queued - held), "--duration", "12s",
                              sink=None)["messages"]
        time.sleep(1)
        self.record(f"memory of all processes, {self.queued:,} queued", server.name, value=server.process.memory_kib() / 1024)
        return held

    def drain(self, server, held):
        sink = self.sink("--expect", str(held))
        server.release()
        try:
            sink.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            sink.terminate()
        out = json.loads(sink.communicate(timeout=30)[0])
        # What an unfinished drain had not sent yet is not lost; what came twice is wrong.
        self.record(f"drain of {self.queued:,} queued", server.name, value=out["messages_per_second"],
                    doubled=out["doubled"], damaged=out["damaged"],
                    lost=held - out["pairs"] if out["seconds"] < DRAIN_SECONDS - 2 else 0)

    # ---- a round ----

    def limit(self):
        """The generator straight into its sink."""
        for row, options, messages in (*self.RELAY, *self.HOLD):
            if self.quick:
                messages //= 4
            got = self.load(SINK, *options, "-m", str(messages), sink="--sink")
            self.record(row, "limit", value=got["messages_per_second"], **account(got))
            self.raw[row]["limit"][-1]["cpu"] = (got["cpu_us"] + got["sink"]["cpu_us"]) / messages
            if row == self.RELAY[0][0]:
                for p in ("p50", "p99"):
                    self.record(f"latency to the 250, 20 sessions, {p}", "limit",
                                value=got["stages"]["to-250"][f"{p}_us"] / 1e3)

    def sink(self, *words):
        """One for all rows of a server: with none there, servers would take the next hop for dead."""
        sink = subprocess.Popen([self.program, "bench", "sink", f"127.0.0.1:{SINK}", "--json", "--quiet", *words],
                                stdout=subprocess.PIPE, text=True)
        time.sleep(0.2)
        return sink

    def server(self, kind, work):
        server = kind(work, PORT, SINK)
        try:
            sink = self.sink()
            try:
                server.start()
                self.relay(server)
            finally:
                sink.terminate()
                sink.communicate(timeout=30)
            server.stop()
            server.start(hold=True)
            self.idle(server)
            self.drain(server, self.accept(server))
        finally:
            server.stop()


def account(got):
    """lost, doubled, damaged, refused of a run."""
    sink = got.get("sink", {})
    values = {k: sink.get(k, 0) for k in ("lost", "doubled", "damaged")}
    values["refused"] = got["refused"] + got["unknown"] + got["unsent"]
    return values


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("program")
    options.add_argument("work")
    options.add_argument("--quick", action="store_true")
    options.add_argument("--rounds", type=int)
    options.add_argument("--only", default="")
    options.add_argument("--out", default=str(peers.HERE))
    o = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("make bench needs root: the other servers want users and roots of their own")
    work = pathlib.Path(o.work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    # Servers drop their rights and must still be able to pass through the folders above their own.
    work.chmod(0o755)
    peers.Postrider.program = str(pathlib.Path(o.program).resolve())
    peers.Chrooted.cache = work / "packages"
    kinds = [peers.Postrider, peers.Postfix, peers.Exim, peers.OpenSMTPD]
    bench = Bench(peers.Postrider.program, o.quick)
    versions, begun = {}, time.monotonic()
    rounds = o.rounds or (1 if o.quick else 3)
    for number in range(rounds):
        bench.limit()
        for kind in kinds:
            if o.only and kind.name not in o.only.split(","):
                continue
            print(f"round {number + 1} of {rounds}, {kind.name} ({time.monotonic() - begun:.0f} s)", flush=True)
            try:
                bench.server(kind, work)
                versions[kind.name] = kind(work, PORT, SINK).version()
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                print(f"  {kind.name}: {error}", file=sys.stderr)
    facts = {"rounds": rounds, "quick": o.quick, "seconds": time.monotonic() - begun, "versions": versions,
             "durability": {k.name: k.durability for k in kinds}, "rows": bench.raw}
    (work / "results.json").write_text(json.dumps(facts, indent=1))
    out = pathlib.Path(o.out)
    report.markdown(facts, out / ("RESULTS-quick.md" if o.quick else "RESULTS.md"))
    report.chart(facts, out / ("results-quick.svg" if o.quick else "results.svg"), work)
    print(f"done in {facts['seconds']:.0f} s: {out}")
    return 0 if report.sound(facts) else 1


if __name__ == "__main__":
    sys.exit(main())
