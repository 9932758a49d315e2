"""What an operator sees of deliveries: transcripts of failed sessions in `queue show`, live ones in `trace`."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest
from authority import Authority
from node import PROGRAM, free_port, wait_until
from test_delivery import await_messages, send
from tlspeer import TlsPeer

PASSWORD = "p:ss w0rd-nobody-may-see"


def relay(node, port, more="", **values):
    return node(via=f'via = "smtp://127.0.0.1:{port}" {more}', **({"queue": 'retry = {"1h"}'} | values))


def shown(n, message):
    row = json.loads(n.run("queue", "show", "--json", message).stdout)
    return row, [[line[13:] for line in s["lines"]] for s in row.get("failed_sessions", [])]


def failed(n, event="deferred", count=1):
    return wait_until(lambda: len(n.events(event)) >= count and n.events(event), 15, lambda: n.log()[-3000:])[0]["id"]


def test_show__the_dialogue_of_what_failed(node, sink):
    s = sink(rule=lambda verb, argument: "451 4.7.1 greylisted, \x1b[31mcome back" if verb == "RCPT" else None)
    n = relay(node, s.port).start()
    send(n, ["bob@far.example"], sender="ann@example.net")
    message = failed(n)
    row, sessions = shown(n, message)
    assert row["id"] == message and len(sessions) == 1
    said = sessions[0]
    assert said[0].startswith("* host 127.0.0.1: ") and said[1].startswith("* connected to 127.0.0.1:"), said
    order = ["< 220 sink.example ESMTP", "> EHLO mx.example.org", "> MAIL FROM:<ann@example.net>", "< 250 2.0.0 Ok"]
    at = [next(i for i, line in enumerate(said) if line.startswith(o)) for o in order]
    assert at == sorted(at) and said[-2].startswith("< 451 4.7.1 greylisted"), said
    readable = n.run("queue", "show", message).stdout.decode()
    assert "failed session, over at " in readable and "< 451 4.7.1 greylisted, \\x1b[31mcome" in readable
    assert "\x1b" not in readable
    assert "failed_sessions" not in json.loads(n.run("queue", "list", "--json").stdout)


def test_show__each_attempt_and_what_could_not_connect(node):
    n = relay(node, free_port(), queue='retry = {"1s"}').start()
    send(n, ["bob@far.example"])
    message = failed(n, count=2)
    _, sessions = shown(n, message)
    assert len(sessions) >= 2
    assert all(any("cannot connect to 127.0.0.1" in line for line in s) for s in sessions), sessions


def test_show__nothing_of_what_went_well(node, sink):
    s = sink(rule=lambda verb, argument: "450 4.2.1 busy" if verb == "RCPT" and "<bad" in argument else None)
    n = relay(node, s.port).start()
    send(n, ["good@far.example"])
    await_messages(s, 1)
    send(n, ["bad@far.example"])
    _, sessions = shown(n, failed(n))
    assert len(sessions) == 1 and not any("good@" in line for line in sessions[0]), sessions


def test_show__what_bounced_is_still_explained(node, sink):
    s = sink(rule=lambda verb, argument: "550 5.1.1 nobody here" if verb == "RCPT" else None)
    n = relay(node, s.port).start()
    send(n, ["bob@far.example"], sender="ann@example.org")
    message = failed(n, "failed")
    n.await_mail("ann")
    n.await_empty()
    row, sessions = shown(n, message)
    assert row["gone"] and "< 550 5.1.1 nobody here" in sessions[0]
    assert "is no longer queued" in n.run("queue", "show", message).stdout.decode()
    assert n.run("queue", "show", "ZZZZZZZZ", check=False).returncode != 0


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
def test_no_secret_is_shown(node, ca, tmp_path, mechanism):
    peer = TlsPeer(ca.issue("localhost"), users={"ann": PASSWORD}, mechanisms=mechanism,
                   rule=lambda verb, rest: "451 4.3.0 not now" if verb == "MAIL" else None)
    try:
        secrets = tmp_path / "credentials"
        secrets.write_text(f"ann:{PASSWORD}\n")
        secrets.chmod(0o600)
        n = node(via=f'via = "smtp://localhost:{peer.port}" credentials = "file:{secrets}"', queue='retry = {"1h"}',
                 more=f'tls {{ ca = "{ca.cert}" }}').start()
        tracer = trace(n, "far.example")
        send(n, ["bob@far.example"])
        row, sessions = shown(n, failed(n))
        live = ended(tracer)
        for lines in (sessions[0], live):
            text = "\n".join(lines)
            auth = [line for line in lines if line.startswith("> AUTH")]
            assert auth == [f"> AUTH {mechanism}" + ("" if mechanism == "LOGIN" else " (not shown)")], text
            assert any(line.startswith("* TLS: TLSv1.3") for line in lines), text
            wire = [c.partition(" ")[2] for c in peer.commands if c.startswith("tls ")]
            exchanged = [w for i, w in enumerate(wire) if i and wire[i - 1].startswith("AUTH")]
            assert all(w not in text for w in exchanged if len(w) > 12 and not w.startswith(("MAIL", "RCPT"))), text
            for secret in (PASSWORD, "cDpzcyB3MHJk", "AGFubgBw"):
                assert secret not in text
            assert "< 451 4.3.0 not now" in text
    finally:
        peer.stop()


# ---- trace ----


def control_clients():
    """What controls have accepted: inodes of sockets of that name that are connected (state 03)."""
    rows = [line.split() for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {r[6] for r in rows if len(r) == 8 and r[5] == "03" and r[7] == "control"}


def trace(n, *words):
    """A running `trace --json`, that the server knows of. ^C ends it also where we were started to ignore that, as a
    shell does with what it puts into the background."""
    before = control_clients()
    p = subprocess.Popen([PROGRAM, "trace", "-c", str(n.conf), "--json", *words], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True,
                         preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait_until(lambda: p.poll() is not None or control_clients() - before, 20, n.log)
    n.run("queue", "list")  # which goes the same way, behind it
    return p


def ended(tracer, status=0, seconds=20):
    out, err = tracer.communicate(timeout=seconds)
    assert tracer.returncode == status, (tracer.returncode, out, err)
    rows = [json.loads(line) for line in out.splitlines()]
    assert not any("lost" in r for r in rows)
    return [f"{r['kind']} {r['text']}" for r in rows]


def test_trace__a_domain_from_routing_to_result(node, sink):
    s = sink()
    n = relay(node, s.port).start()
    tracer = trace(n, "Far.example")
    send(n, ["other@near.example"])
    await_messages(s, 1)
    send(n, ["bob@far.example"], sender="ann@example.net")
    lines = ended(tracer)
    text = "\n".join(lines)
    order = ["recipients, attempt 1, to smtp://127.0.0.1", "handed to deliverer[",
             "> MAIL FROM:<ann@example.net>",
             "> RCPT TO:<bob@far.example>", "> (the message) .", "recipient 1: delivered: 250 2.0.0 Ok"]
    at = [text.find(o) for o in order]
    assert -1 not in at and at == sorted(at), text
    assert "near.example" not in text and "over a kept session with 127.0.0.1" in text


def test_trace__a_waiting_message_by_id(node, sink):
    port = free_port()
    n = relay(node, port).start()
    send(n, ["bob@far.example"])
    message = failed(n)
    s = sink(port=port)
    lines = ended(trace(n, "--retry", message))
    await_messages(s, 1)
    assert any(line.startswith("* host 127.0.0.1") for line in lines), lines
    assert any("< 220 sink.example" in line for line in lines)
    p = subprocess.run([PROGRAM, "trace", "-c", str(n.conf), message], capture_output=True, text=True, timeout=20)
    assert p.returncode == 69 and "no such message" in p.stderr


def test_trace__readers_that_go_or_stop_delay_nothing(node, sink):
    s = sink()
    n = relay(node, s.port).start()
    stopped, gone = trace(n, "far.example"), trace(n, "far.example")
    stopped.send_signal(signal.SIGSTOP)
    gone.send_signal(signal.SIGINT)
    gone.wait(10)
    try:
        for i in range(30):
            send(n, [f"u{i}@far.example"], f"m{i}")
        await_messages(s, 30)
        n.await_empty()
    finally:
        stopped.send_signal(signal.SIGCONT)
    assert any("> MAIL" in line for line in ended(stopped))
    # Both places are free again.
    tracers = [trace(n, "near.example") for _ in range(8)]
    one_more = trace(n, "near.example")
    assert one_more.wait(10) == 75 and "too many traces" in one_more.stderr.read()
    for t in tracers:
        t.send_signal(signal.SIGINT)
        t.wait(10)


def test_trace__a_slow_reader_is_told_what_it_missed(node, sink):
    """A delivery of very many lines: those that its reader did not take are counted, and the mail is long gone."""
    s = sink()
    count = 1000  # of one job
    n = relay(node, s.port, limits="recipients = 10000").start()
    tracer = trace(n, "far.example")
    tracer.send_signal(signal.SIGSTOP)
    try:
        send(n, [f"recipient-number-{i}@far.example" for i in range(6 * count)])
        await_messages(s, 1, seconds=60)
        n.await_empty(30)
    finally:
        tracer.send_signal(signal.SIGCONT)
    out, err = tracer.communicate(timeout=60)
    assert tracer.returncode == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    lost = sum(r.get("lost", 0) for r in rows)
    assert lost > 0, len(rows)
    assert any("> MAIL" in f"{r['kind']} {r['text']}" for r in rows)
    # Each RCPT, its reply, and its result: told or counted.
    assert len(rows) + lost >= 3 * count, (len(rows), lost)


def test_trace__the_deliverer_dies(node):
    """The trace ends with its job, and the message is still there."""
    peer = TlsPeer(greeting="220 x", rule=lambda verb, rest: time.sleep(5) if verb == "EHLO" else None)
    try:
        n = relay(node, peer.port).start()
        tracer = trace(n, "far.example")
        send(n, ["bob@far.example"])
        wait_until(lambda: peer.commands, 15, n.log)
        n.deaths_expected = True
        for pid in n.children("deliverer"):
            os.kill(pid, signal.SIGKILL)
        assert any("> EHLO" in line for line in ended(tracer))
        assert n.queue()
    finally:
        peer.stop()
