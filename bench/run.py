#!/usr/bin/python3
"""The comparison: `make bench`, `make bench-quick`. Needs root (the peers want their users and roots).

Every scenario is run for every server in turn, and the whole is repeated, so that what else the machine does hits all
alike. Each round also runs the generator straight into its sink: the limit. Writes bench/RESULTS.md, bench/results.svg
and bench/results.json.

usage: run.py PROGRAM WORKFOLDER [--quick] [--rounds N] [--only NAME,...] [--out FOLDER]
       run.py --report JSON [--out FOLDER]      draws page and chart again"""

import argparse
import json
import os
import pathlib
import platform
import sys
import time

import cells
import measure
import servers
import report

PORT, SINK = int(os.environ.get("BENCH_PORT", "23025")), int(os.environ.get("BENCH_SINK", "23026"))
SECONDS = {True: 170, False: 1500}  # of the whole run, quick and full


def machine():
    model = "unknown CPU"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) // (1 << 20)
    return f"{os.cpu_count()} cores of {model}, {memory} GiB, Linux {platform.release()}"


class Run:
    def __init__(self, options, work):
        self.quick, self.work = options.quick, work
        self.only = [name for name in options.only.split(",") if name]
        self.rounds = options.rounds or (1 if self.quick else 3)
        self.begun = time.monotonic()
        self.facts = {"quick": self.quick, "rounds": self.rounds, "machine": machine(), "load": os.getloadavg()[0],
                      "began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "disk": [], "rows": {},
                      "versions": {}, "durability": {k.name: k.durability for k in servers.KINDS}}
        bounds = cells.QUICK if self.quick else cells.FULL
        self.facts["queued"], self.facts["cell_seconds"] = bounds.queued, bounds.cell
        self.cells = cells.Cells(servers.Postrider.program, bounds, PORT, SINK, self.record)
        self.cells.deadline = self.begun + SECONDS[self.quick]

    def record(self, row, server, **values):
        values = {k: v for k, v in values.items() if v is not None or k == "value"}
        self.facts["rows"].setdefault(row, {}).setdefault(server, []).append(values)
        value = values["value"]
        text = "–" if value is None else f"{value:,.1f}"
        faults = ", ".join(f"{k} {values[k]}" for k in report.FAULTS if values.get(k))
        print(f"  {server:12} {row:72} {text:>10} {faults} {values.get('why', '')}", flush=True)
        self.save()

    def save(self):
        self.facts["seconds"] = time.monotonic() - self.begun
        (self.work / "results.json").write_text(json.dumps(self.facts, indent=1))

    def server(self, kind):
        server = kind(self.work, PORT, SINK)
        try:
            self.facts["versions"][kind.name] = server.version()
            self.cells.relay(server)
            if kind is servers.Postrider:
                other = servers.PostriderKeysInReceiver(self.work, PORT, SINK)
                try:
                    self.cells.keys_in_receiver(other)
                finally:
                    other.stop()
            self.cells.accept(server)
            self.cells.queue(server)
        finally:
            server.stop()

    def all(self):
        for number in range(self.rounds):
            print(f"round {number + 1} of {self.rounds} ({time.monotonic() - self.begun:.0f} s)", flush=True)
            self.facts["disk"].append(measure.disk(self.work, 0.5 if self.quick else 1))
            if not self.only or "limit" in self.only:
                self.cells.limit()
            for kind in servers.KINDS:
                if not self.only or kind.name in self.only:
                    self.server(kind)
        self.save()
        return self.facts


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program", nargs="?")
    options.add_argument("work", nargs="?")
    options.add_argument("--quick", action="store_true")
    options.add_argument("--rounds", type=int)
    options.add_argument("--only", default="")
    options.add_argument("--out", default=str(servers.HERE))
    options.add_argument("--report", metavar="JSON")
    o = options.parse_args()
    out = pathlib.Path(o.out)
    if o.report:
        facts = json.loads(pathlib.Path(o.report).read_text())
    else:
        if not o.program or not o.work:
            options.error("PROGRAM and WORKFOLDER are needed")
        if os.geteuid() != 0:
            sys.exit("make bench needs root: the other servers want users and roots of their own")
        work = pathlib.Path(o.work).resolve()
        work.mkdir(parents=True, exist_ok=True)
        # Servers drop their rights and must still be able to pass through the folders above their own.
        work.chmod(0o755)
        servers.Postrider.program = str(pathlib.Path(o.program).resolve())
        servers.Chrooted.cache = work / "packages"
        servers.make_certificate(work)
        for kind in (servers.Exim, servers.Sendmail, servers.OpenSMTPD):
            kind.fetch()
        facts = Run(o, work).all()
    page = report.write(facts, out)
    print(f"{facts['seconds']:.0f} s; {page}")
    return 0 if report.sound(facts) else 1


if __name__ == "__main__":
    sys.exit(main())
