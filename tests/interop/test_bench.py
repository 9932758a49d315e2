"""`postrider bench`: what it counts is what happened, with any server between generator and sink, or none."""

import json
import signal
import subprocess

import pytest
from node import PROGRAM, free_port, wait_until

# Lines of a server that the sink is hung up on are not this test's business.


def load(port, *words, sink=None, ok=True):
    """(the JSON report, the exit status)"""
    more = ["--sink", f"127.0.0.1:{sink}"] if sink else []
    done = subprocess.run([PROGRAM, "bench", "load", f"127.0.0.1:{port}", *more, *words, "--json", "--quiet"],
                          capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    if ok:
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout), done.returncode


class Sink:
    def __init__(self, *words):
        self.port = free_port()
        self.process = subprocess.Popen([PROGRAM, "bench", "sink", f"127.0.0.1:{self.port}", *words, "--json", "--quiet"],
                                        stdout=subprocess.PIPE, text=True)
        wait_until(lambda: self.listens() or self.process.poll() is not None)

    def listens(self):
        # Asked of the kernel: a connection would be counted.
        with open("/proc/net/tcp", encoding="ascii") as table:
            return any(row.split()[1].endswith(f":{self.port:04X}") and row.split()[3] == "0A" for row in table)

    def report(self):
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=30)
        return json.loads(out)


@pytest.fixture
def bench_sink():
    made = []

    def make(*words):
        made.append(Sink(*words))
        return made[-1]

    yield make
    for s in made:
        if s.process.poll() is None:
            s.process.kill()
            s.process.wait()


@pytest.mark.parametrize("words", [
    ["-m", "300", "-j", "10"],
    ["-m", "300", "-j", "10", "-k", "0"],
    ["-m", "100", "-j", "5", "-k", "7", "-r", "20"],
    ["-m", "100", "-j", "5", "--bdat"],
    ["-m", "60", "-j", "3", "--no-pipelining", "-r", "3"],
    ["-m", "60", "-j", "3", "--lmtp", "-r", "5"],
    ["-m", "40", "-j", "4", "-s", "1K:5,100K-300K:3,2M:1"],
    ["-m", "4", "-j", "4", "-s", "1K", "--slow", "20K"],
    ["-m", "50", "-j", "5", "--user", "a", "--password", "b"],
    ["-m", "50", "-j", "5", "--user", "a", "--password", "b", "--auth", "login"],
], ids=" ".join)
def test_straight_to_the_sink__every_pair_arrives_once(words):
    port = free_port()
    report, _ = load(port, *words, sink=port)
    pairs = int(words[1]) * (int(words[words.index("-r") + 1]) if "-r" in words else 1)
    assert report["ok"] and report["accepted"] == pairs and report["messages"] == int(words[1])
    sink = report["sink"]
    assert (sink["arrived"], sink["lost"], sink["doubled"], sink["damaged"]) == (pairs, 0, 0, 0)
    assert sink["compared"] and not report["failures"]
    assert set(report["stages"]) == {"connect", "banner", "hello", "envelope", "data", "to-250", "session"}
    assert report["stages"]["data"]["p50_us"] <= report["stages"]["data"]["p99_us"]


def test_starttls_straight_to_the_sink__each_connection_shakes_hands():
    port = free_port()
    report, _ = load(port, "-m", "40", "-j", "4", "--tls", "starttls", "--user", "a", "--password", "b", sink=port)
    assert report["tls"].startswith("TLSv1.3 ") and report["stages"]["tls"]["count"] == report["connections"] == 40
    assert report["sink"]["arrived"] == 40


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_tls_through_a_relay__arrives_in_plain_text_at_the_sink(node, mode):
    sink, implicit = free_port(), free_port()
    n = node(via=f'via = "smtp://127.0.0.1:{sink}"',
             more=f'listener "tls" {{ address = {{"127.0.0.1:{implicit}"}}  tls = implicit }}').start()
    report, _ = load(implicit if mode == "implicit" else n.port, "-m", "30", "-j", "3", "-k", "5", "--tls", mode, sink=sink)
    assert report["stages"]["tls"]["count"] == report["connections"] >= 6
    assert (report["sink"]["arrived"], report["sink"]["lost"]) == (30, 0)


def test_tls_that_is_not_offered__is_said(bench_sink):
    s = bench_sink()
    report, status = load(s.port, "-m", "2", "--tls", "starttls", "--tries", "1", ok=False)
    assert status == 75 and report["messages"] == 0
    assert [(f["where"], f["text"]) for f in report["failures"]] == [("STARTTLS", "not offered")]


def test_window__no_more_than_that_are_on_their_way(bench_sink):
    # One session at the sink with 100 ms a message: at most ten a second arrive, and few are accepted beyond.
    s = bench_sink("--latency", "100ms")
    report, _ = load(s.port, "-m", "1000", "-j", "4", "-k", "0", "--window", "3", "--duration", "1s", "--watch",
                     f"127.0.0.1:{s.port}")
    assert report["sink"]["lost"] == 0 and report["sink"]["arrived"] == report["messages"] < 60


def test_window_and_nothing_arrives__ends_after_settle(node):
    sink = free_port()
    n = node(via='via = "discard:"').start()
    report, status = load(n.port, "-m", "1000", "-j", "2", "--window", "5", "--settle", "300ms", sink=sink, ok=False)
    assert status == 75 and 5 <= report["messages"] <= 7


def test_through_a_relay__accounted_exactly(node):
    sink = free_port()
    n = node(via=f'via = "smtp://127.0.0.1:{sink}"').start()
    report, _ = load(n.port, "-m", "500", "-r", "3", "--to", "m{message}-{rcpt}@d{domain}.example", "--domains", "5",
                     sink=sink)
    assert report["accepted"] == report["sink"]["arrived"] == 1500
    assert report["sink"]["p50_us"] > 0


def test_sink_refuses_and_hangs_up__the_relay_tries_again_and_nothing_is_counted_twice(node, bench_sink):
    s = bench_sink("--tempfail", "20%", "--hangup", "0.05", "--latency", "0ms-5ms")
    n = node(via=f'via = "smtp://127.0.0.1:{s.port}"', queue='retry = {"200ms"}').start()
    report, _ = load(n.port, "-m", "200", "-j", "5", "--watch", f"127.0.0.1:{s.port}")
    n.await_empty(20)
    assert (report["sink"]["arrived"], report["sink"]["lost"], report["sink"]["doubled"]) == (200, 0, 0)
    end = s.report()
    assert end["tempfails"] > 0 and end["hangups"] > 0 and end["pairs"] == 200


def test_messages_that_the_server_keeps__are_lost_and_said_so(node):
    sink = free_port()
    n = node(via='via = "discard:"').start()
    report, status = load(n.port, "-m", "20", "--settle", "300ms", sink=sink, ok=False)
    assert status == 75 and not report["ok"] and report["accepted"] == 20
    assert "sink" not in report or report["sink"]["lost"] == 20


def test_two_deliveries_of_the_same_message__are_doubled(bench_sink):
    s = bench_sink()
    report, status = load(s.port, "-m", "10", "--watch", f"127.0.0.1:{s.port}", "-r", "2", "--to", "same-0@x.example",
                          "--settle", "300ms", ok=False)
    # Both recipients are the first one: it got two copies, the second none.
    assert status == 75
    assert (report["sink"]["arrived"], report["sink"]["lost"], report["sink"]["doubled"]) == (10, 10, 10)


@pytest.mark.parametrize("at", ["connect", "mail", "rcpt", "data", "dot"])
def test_refusals_at_each_stage__are_refused_recipients(bench_sink, at):
    s = bench_sink("--permfail", "100%", "--at", at)
    report, status = load(s.port, "-m", "10", "-j", "2", "--tries", "1", ok=False)
    assert status in (69, 75) and report["messages"] == 0
    assert report["refused"] + report["unsent"] == 10
    assert sum(f["count"] for f in report["failures"] if f["code"] in (550, 554)) >= 1


def test_half_of_4xx__another_try_helps(bench_sink):
    s = bench_sink("--tempfail", "50%")
    report, _ = load(s.port, "-m", "30", "-j", "3", "--tries", "50", "--watch", f"127.0.0.1:{s.port}")
    assert report["accepted"] == 30 and report["tried_again"] > 0 and report["sink"]["doubled"] == 0


def test_idle_connections__stay_or_are_counted(node):
    n = node().start()
    report, _ = load(n.port, "-j", "30", "--idle", "1s")
    assert report["connections"] == 30 and report["closed_early"] == 0
    n.write_config(limits='command_timeout = "1s"')
    n.run("reload")
    report, status = load(n.port, "-j", "10", "--idle", "4s", ok=False)
    assert status == 75 and report["closed_early"] == 10


def test_idle_connections__text_speaks_of_no_messages(bench_sink):
    done = subprocess.run([PROGRAM, "bench", "load", f"127.0.0.1:{bench_sink().port}", "-j", "3", "--idle", "1500ms"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "idle       0 ended by the server" in done.stdout, (done.stdout, done.stderr)
    assert "a message" not in done.stdout
    assert "3 open" in done.stderr  # progress, each second


def test_text__has_stages_account_and_cost(bench_sink):
    port = free_port()
    done = subprocess.run([PROGRAM, "bench", "load", f"127.0.0.1:{port}", "-m", "20", "-j", "2", "--sink",
                           f"127.0.0.1:{port}"], capture_output=True, text=True, timeout=60)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert {"connect", "banner", "hello", "envelope", "data", "to-250", "session", "delivery"} <= {w[0] for w in lines if w}
    assert "account    20 arrived, 0 lost, 0 doubled, 0 damaged, 0 without our 250" in done.stdout
    assert "us a message, the sink's" in done.stdout


def test_rate_and_duration__bound_a_run(bench_sink):
    s = bench_sink()
    report, _ = load(s.port, "-m", "1000000", "--rate", "200", "--duration", "1s", "-k", "0")
    assert 100 <= report["messages"] <= 260


def test_nobody_listens__says_so():
    done = subprocess.run([PROGRAM, "bench", "load", f"127.0.0.1:{free_port()}", "-m", "3", "--tries", "1", "--quiet"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 69 and "refused" in done.stdout


@pytest.mark.parametrize("words, part", [
    (["load"], "needs HOST:PORT"),
    (["load", "name:25"], "in numbers"),
    (["load", "127.0.0.1:1", "-m", "0"], "-m: 0 is out of range"),
    (["load", "127.0.0.1:1", "-s", "4Q"], "-s"),
    (["load", "127.0.0.1:1", "--nothing"], "no option --nothing"),
    (["load", "127.0.0.1:1", "-j"], "-j needs a value"),
    (["load", "127.0.0.1:1", "--tls", "maybe"], "starttls or implicit"),
    (["load", "127.0.0.1:1", "--window", "3"], "needs --sink"),
    (["load", "127.0.0.1:1", "--tls", "implicit", "--sink", "127.0.0.1:1"], "STARTTLS only"),
    (["sink"], "needs HOST:PORT"),
    (["sink", "127.0.0.1:1", "--tempfail", "101%"], "--tempfail"),
    (["sink", "127.0.0.1:1", "--tempfail", "60%", "--hangup", "0.6"], "more than all"),
    (["nothing"], "usage"),
])
def test_usage__is_64_with_the_reason(words, part):
    done = subprocess.run([PROGRAM, "bench", *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 64 and part in done.stderr
