"""The cells of the table: one row for one server, once. Each is bounded by a count, by a time for sending, and by a time
for what is on its way to arrive; a cell that does not get there says why, and the run goes on with the next."""

import contextlib
import json
import subprocess
import time
from dataclasses import dataclass, field


class Unfinished(Exception):
    """Why a cell has no value."""


@dataclass
class Row:
    name: str
    words: list  # of the generator
    per_second: int  # more than any server does: bounds the count
    window: int = 1000  # messages on their way through the server
    derived: dict = field(default_factory=dict)  # what else this run tells: row -> kind


FIRST, KEPT = "relay, 20 sessions, one message a connection", "relay, 20 sessions, connections kept"
TLS = "STARTTLS (TLS 1.3, P-256, full handshakes), one message a connection"
TLS_RECEIVER = TLS + ", keys in the receiver"
P50, P99 = "latency to the 250, 20 sessions relay, p50", "latency to the 250, 20 sessions relay, p99"
CPU, CPU_KEPT = "CPU of the server a relayed message", "CPU of the server a relayed message, connections kept"
IDLE = "memory, an idle connection after EHLO"

RELAY = (
    Row(FIRST, ["-j", "20"], 20_000, derived={CPU: "cpu", P50: "p50", P99: "p99"}),
    Row("relay, 100 sessions, one message a connection", ["-j", "100"], 20_000),
    Row(KEPT, ["-j", "20", "-k", "0"], 50_000, derived={CPU_KEPT: "cpu"}),
    Row("relay, 1 MiB messages, 10 sessions", ["-j", "10", "-s", "1M"], 2_000, window=40),
    Row("relay, 50 recipients a message, one transaction", ["-j", "20", "-r", "50"], 4_000, window=100),
    Row(TLS, ["-j", "20", "--tls", "starttls"], 5_000),
)
ACCEPT = (
    Row("accept only, 20 sessions, one message a connection", ["-j", "20"], 20_000),
    Row("accept only, 100 sessions, one message a connection", ["-j", "100"], 20_000),
    Row("accept only, 100 sessions, connections kept", ["-j", "100", "-k", "0"], 50_000),
)


def memory_row(queued):
    return f"memory of all processes holding {queued:,} queued"


def drain_row(queued):
    return f"drain of {queued:,} queued"


# Rows where less is better, with their unit; all others are messages a second.
COSTS = {P50: "ms", P99: "ms", CPU: "µs", CPU_KEPT: "µs", IDLE: "KiB PSS"}
COSTS |= {memory_row(n): "MiB PSS" for n in (1_000, 10_000)}


def ordered(queued):
    """All rows, as the table has them."""
    return [*(r.name for r in RELAY), TLS_RECEIVER, *(r.name for r in ACCEPT), drain_row(queued), P50, P99, CPU, CPU_KEPT,
            IDLE, memory_row(queued)]


@dataclass
class Bounds:
    cell: float  # seconds of sending
    settle: float  # seconds without any arrival, after which what is missing is missing
    slack: float  # seconds for what is on its way, at most
    idle: float
    fill: float
    drain: float
    queued: int


QUICK = Bounds(cell=1, settle=4, slack=8, idle=4, fill=6, drain=4, queued=1_000)
FULL = Bounds(cell=4, settle=11, slack=25, idle=5, fill=25, drain=20, queued=10_000)


def account(got):
    """lost, doubled, damaged, refused of a run."""
    sink = got.get("sink", {})
    values = {k: sink.get(k, 0) for k in ("lost", "doubled", "damaged")}
    values["refused"] = got["refused"] + got["unknown"]
    return values


class Cells:
    def __init__(self, program, bounds, port, sink_port, record):
        """record(row, server's name, **values)"""
        self.program, self.bounds, self.port, self.sink_port, self.record = program, bounds, port, sink_port, record
        self.deadline = None  # of the whole run

    # ---- the tools ----

    def left(self, wanted, least=1):
        """Seconds, of those that are wanted, that the whole run has left."""
        left = min(wanted, self.deadline - time.monotonic()) if self.deadline else wanted
        if left < least:
            raise Unfinished("the whole run's time was over")
        return left

    def begin(self, server, hold=False):
        self.left(10, 5)
        server.start(hold)

    def load(self, port, *words, seconds=None, sink="--watch"):
        """One run of the generator; its report."""
        seconds = seconds or self.bounds.cell
        bound = self.left(seconds + self.bounds.slack)
        command = [self.program, "bench", "load", f"127.0.0.1:{port}", "--json", "--quiet", "--duration",
                   f"{int(seconds * 1000)}ms", "--settle", f"{int(self.bounds.settle * 1000)}ms", "--timeout",
                   f"{int(self.bounds.slack * 900)}ms", "--connect-timeout", "1500ms", "--tries", "20", *words]
        if sink:
            command += [sink, f"127.0.0.1:{self.sink_port}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=bound)
        except subprocess.TimeoutExpired:
            raise Unfinished(f"no end within {bound:.0f} s") from None
        if not done.stdout:
            raise Unfinished(done.stderr.strip() or f"generator: status {done.returncode}")
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def sink(self, *words):
        """One for all rows of a server: with none there, servers would take the next hop for dead. Yields the process."""
        process = subprocess.Popen([self.program, "bench", "sink", f"127.0.0.1:{self.sink_port}", "--json", "--quiet",
                                    *words], stdout=subprocess.PIPE, text=True)
        time.sleep(0.1)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(30)

    @contextlib.contextmanager
    def cell(self, name, row):
        """Says why a row has no value, instead of ending the run."""
        try:
            yield
        except (Unfinished, OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
            self.record(row, name, value=None, why=str(error).splitlines()[-1][:200])

    # ---- rows ----

    def limit(self):
        """The generator straight into its sink."""
        for row in (*RELAY, *ACCEPT):
            with self.cell("limit", row.name):
                got = self.load(self.sink_port, *row.words, "-m", self.count(row), sink="--sink",
                                seconds=self.bounds.cell / 2)
                self.record(row.name, "limit", value=got["messages_per_second"], **account(got))
                if row.name == FIRST:
                    for name, p in ((P50, "p50"), (P99, "p99")):
                        self.record(name, "limit", value=got["stages"]["to-250"][f"{p}_us"] / 1e3)

    def count(self, row, seconds=None):
        return str(int(row.per_second * (seconds or self.bounds.cell)))

    def relay_row(self, server, row, as_name=None, as_row=None):
        name, title = as_name or server.name, as_row or row.name
        seconds = self.bounds.cell * server.cell_factor
        if "--tls" in row.words and server.no_tls:
            raise Unfinished(server.no_tls)
        before = server.process.cpu_usec()
        got = self.load(self.port, *row.words, "-m", self.count(row, seconds), "--window", str(row.window),
                        seconds=seconds)
        cpu = server.process.cpu_usec() - before
        sink = got.get("sink")
        if not got["messages"] or not sink or not sink["arrived"]:
            raise Unfinished(f"nothing arrived: {got['failures'][:1]}")
        counts = account(got)
        late = counts["lost"] if counts["lost"] and server.queued() else 0
        counts["lost"] -= late  # accepted, not delivered, and still there
        # Of 50 recipients a server may make several transactions: its work is done when all have come.
        value = got["messages"] * sink["arrived"] / got["accepted"] / sink["seconds"]
        why = f"{late} of {got['accepted']} had not arrived {self.bounds.settle:.0f} s later" if late else None
        self.record(title, name, value=value, why=why, tls=got.get("tls"), **counts)
        stage = got["stages"].get("to-250", {})
        known = {"cpu": cpu / got["messages"], "p50": stage.get("p50_us", 0) / 1e3, "p99": stage.get("p99_us", 0) / 1e3}
        for derived, kind in row.derived.items():
            self.record(derived, name, value=known[kind])
        return not late

    def warm(self, server):
        """Everything that starts on demand has started."""
        self.begin(server)
        if not server.fresh:
            self.load(self.port, "-m", "100", "-j", "20", seconds=5)

    def relay(self, server):
        with self.sink():
            running = False
            for row in RELAY:
                with self.cell(server.name, row.name):
                    if not running:
                        server.stop()
                        self.warm(server)
                    # What one cell left behind must not weigh on the next.
                    running = False
                    running = self.relay_row(server, row) and not server.fresh
            server.stop()

    def keys_in_receiver(self, server):
        with self.sink(), self.cell("Postrider", TLS_RECEIVER):
            self.warm(server)
            self.relay_row(server, RELAY[-1], "Postrider", TLS_RECEIVER)
        server.stop()

    def accept(self, server):
        """Delivery held: all that was accepted must be in the queue afterwards."""
        held, rows = 0, ACCEPT[1:]
        with self.cell(server.name, ACCEPT[0].name):
            self.begin(server, hold=True)
            self.load(self.port, "-m", "20", "-j", "20", sink=None, seconds=5)
            held, rows = server.queued(), ACCEPT
        for row in rows:
            with self.cell(server.name, row.name):
                if not server.process:
                    raise Unfinished("did not start")
                got = self.load(self.port, *row.words, "-m", self.count(row), sink=None)
                if not got["messages"]:
                    raise Unfinished(f"nothing was accepted: {got['failures'][:1]}")
                counts, before = account(got), held
                held = self.await_queued(server, before + got["messages"])
                counts["lost"] = max(0, got["messages"] - (held - before))
                self.record(row.name, server.name, value=got["messages_per_second"], **counts)
        server.stop()

    @staticmethod
    def await_queued(server, wanted):
        """A server may count what it accepted a moment later."""
        end = time.monotonic() + 3
        while (held := server.queued()) < wanted and time.monotonic() < end:
            time.sleep(0.1)
        return held

    def idle(self, server):
        """On a fresh server that has seen one session."""
        n = server.idle_connections
        self.load(self.port, "-m", "1", "-j", "1", sink=None)
        time.sleep(0.3)
        before = server.process.memory_kib()
        load = subprocess.Popen([self.program, "bench", "load", f"127.0.0.1:{self.port}", "-j", str(n), "--idle",
                                 f"{int(self.bounds.idle)}s", "--connect-timeout", "500ms", "--tries", "20", "--quiet",
                                 "--json"], stdout=subprocess.PIPE, text=True)
        time.sleep(self.bounds.idle * 0.8)  # buffers that a server gives back when nothing comes have been given back
        after = server.process.memory_kib()
        try:
            got = json.loads(load.communicate(timeout=30)[0])
        except subprocess.TimeoutExpired:
            load.kill()
            load.communicate()
            raise Unfinished("the idle sessions did not end") from None
        there = got["stages"].get("hello", {}).get("count", 0)
        if there != n or got["closed_early"]:
            raise Unfinished(f"{there} of {n} connections, {got['closed_early']} ended by the server")
        self.record(IDLE, server.name, value=(after - before) / n)

    def queue(self, server):
        """Memory of an idle connection, of the queue, and its drain."""
        b = self.bounds
        row = memory_row(b.queued)
        with self.cell(server.name, IDLE):
            self.begin(server, hold=True)
            self.idle(server)
        with self.cell(server.name, row):
            if not server.process:
                raise Unfinished("did not start")
            missing = b.queued - server.queued()
            self.load(self.port, "-j", "20", "-k", "0", "-m", str(missing), sink=None, seconds=b.fill)
            held = self.await_queued(server, b.queued)
            if held < b.queued:
                raise Unfinished(f"{held} of {b.queued} queued within {b.fill:.0f} s")
            time.sleep(0.5)
            self.record(row, server.name, value=server.process.memory_kib() / 1024)
            with self.cell(server.name, drain_row(b.queued)):
                self.drain(server, held)
        server.stop()

    def drain(self, server, held):
        with self.sink("--expect", str(held)) as sink:
            server.release()
            try:
                sink.wait(self.bounds.drain)
                complete = True
            except subprocess.TimeoutExpired:
                sink.terminate()
                complete = False
            out = json.loads(sink.communicate(timeout=30)[0])
        if out["messages"] < 2:
            raise Unfinished(f"{out['messages']} of {held} arrived within {self.bounds.drain:.0f} s")
        # Where time ran out, the rate is of what came. What had not been sent yet is not lost.
        self.record(drain_row(self.bounds.queued), server.name, value=out["messages_per_second"], lost=0,
                    doubled=out["doubled"], damaged=out["damaged"], complete=complete, arrived=out["pairs"])
