"""Routing by MX (RFC 5321 5.1, 7505) against an Internet of its own; docs/dns.md lists the cases."""

import json
import os
import signal
import smtplib
import subprocess
import time

import pytest
from internet import Internet, missing
from node import PROGRAM, wait_until

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

DEFERRED = "deferred"
FAILED = "failed"


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    net = Internet(tmp_path_factory.mktemp("internet"))
    a, b, c, d = (net.address() for _ in range(4))
    net.addresses = {"good": a, "second": b, "third": c, "plain": d}
    net.zone("good.example", f"@ MX 10 mx\n@ MX 20 mx2\nmx A {a}\nmx2 A {b}\n")
    net.zone("sibling.example", "@ MX 5 mx.good.example.\n@ MX 7 mx2.good.example.\n")
    net.zone("plain.example", f"@ A {d}\n", "unsigned")
    net.zone("alias.example", "here MX 10 mx.good.example.\nthere CNAME here\n")
    net.zone("null.example", "@ MX 0 .\n")
    net.zone("empty.example", "@ TXT nothing\n")
    net.zone("self.example", "@ MX 10 mx.own.example.\n@ MX 20 mx.good.example.\n")
    net.zone("backup.example", f"@ MX 10 best\n@ MX 20 mx.own.example.\n@ MX 30 worst\nbest A {c}\nworst A {a}\n")
    net.zone("expired.example", f"@ MX 10 mx\nmx A {a}\n", "expired")
    net.zone("broken.example", kind="broken")
    net.zone("silent.example", kind="silent")
    yield net.start()
    net.stop()


def server(node, net, more="", queue='retry = {"2s"}', **dns):
    dns.setdefault("timeout", "3s")
    n = node(text=None, name="mx", via='via = "mx"', queue=queue, more=net.config(**dns) + more)
    n.values["name"] = "mx.own.example"
    n.write_config()
    return n.start()


def submit(n, *recipients, sender="sender@example.org", subject="s"):
    with smtplib.SMTP("127.0.0.1", n.port, timeout=20) as s:
        s.sendmail(sender, recipients, f"Subject: {subject}\r\n\r\nhello\r\n")


def row_of(n, event, recipient, seconds=15):
    def find():
        return next((r for r in n.events(event) if r.get("rcpt") == recipient), None)

    return wait_until(find, seconds, lambda: n.log()[-3000:])


def check(n, *domains):
    out = subprocess.run([PROGRAM, "dns", "check", "--json", "-c", str(n.conf), *domains],
                         capture_output=True, text=True, timeout=60)
    return [json.loads(line) for line in out.stdout.splitlines()]


FAILURES = {
    "null_mx": ("u@null.example", "5.1.10"),
    "nxdomain": ("u@nowhere.example", "5.1.2"),
    "no_mx_no_address": ("u@empty.example", "5.4.4"),
    "best_mx_is_us": ("u@self.example", "5.4.6"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_fails(node, net, case):
    recipient, enhanced = FAILURES[case]
    n = server(node, net)
    submit(n, recipient)
    row = row_of(n, FAILED, recipient)
    assert row["enhanced"] == enhanced, row
    n.await_mail("sender")


WAITS = {
    "servfail": ("u@broken.example", "servfail"),
    "bogus": ("u@expired.example", "bogus"),
    "timeout": ("u@silent.example", "timeout"),
}


@pytest.mark.parametrize("case", WAITS)
def test_waits(node, net, case):
    recipient, status = WAITS[case]
    n = server(node, net)
    submit(n, recipient)
    row = row_of(n, DEFERRED, recipient)
    assert row["enhanced"] == "4.4.3", row
    rows = [r for r in n.events("resolve-failed") if r["status"] == status]
    assert rows, n.events("resolve-failed")


def test_check_says_what_would_be_done(node, net):
    n = server(node, net)
    domains = ("good.example", "null.example", "expired.example", "plain.example", "there.alias.example")
    rows = {row["domain"]: row for row in check(n, *domains)}
    good = rows["good.example"]
    assert good["decision"] == "deliver" and good["mx_secure"]
    assert [h["name"] for h in good["hosts"]] == ["mx.good.example", "mx2.good.example"]
    assert good["hosts"][0]["addresses"] == [net.addresses["good"]]
    assert rows["null.example"]["decision"] == "fail" and rows["null.example"]["enhanced"] == "5.1.10"
    assert rows["expired.example"]["decision"] == "defer" and rows["expired.example"]["mx"] == "bogus"
    assert rows["plain.example"]["hosts"][0]["name"] == "plain.example" and not rows["plain.example"]["mx_secure"]
    assert rows["there.alias.example"]["canonical"] == "here.alias.example"


def test_broken_dns_delays_nobody_else(node, net):
    """Recipients at domains whose servers are silent or fail wait alone, even within one message."""
    n = server(node, net, timeout="8s")
    begin = time.monotonic()
    submit(n, "u@silent.example", "v@broken.example", "w@null.example", "local@example.org")
    n.await_mail("local")
    row_of(n, FAILED, "w@null.example", seconds=4)
    assert time.monotonic() - begin < 5
    assert not [r for r in n.events(DEFERRED) if r["rcpt"] == "u@silent.example"]
    row_of(n, DEFERRED, "u@silent.example")


def test_resolver_killed(node, net):
    """Its death costs a wait: the next one gets the open questions, and a later question its answer."""
    n = server(node, net, timeout="8s")
    submit(n, "u@silent.example")
    time.sleep(0.5)
    n.deaths_expected = True
    for pid in n.children("resolver"):
        os.kill(pid, signal.SIGKILL)
    n.await_events("process-restarted")
    submit(n, "u@null.example")
    assert row_of(n, FAILED, "u@null.example")["enhanced"] == "5.1.10"
    row = row_of(n, DEFERRED, "u@silent.example", seconds=30)
    assert row["enhanced"] == "4.4.3"


def test_trust_anchor_unreadable(node, net, tmp_path):
    n = node(text=None, name="mx", via='via = "mx"', more=net.config())
    text = n.conf.read_text()
    (tmp_path / "nonsense").write_text("example. IN A 127.0.0.1\n")
    n.conf.write_text(text.replace(f"{net.folder}/anchor", str(tmp_path / "nonsense")))
    status, said = n.refused_start()
    assert status == 70 and "DS or DNSKEY" in said, said


@pytest.fixture
def hosts(net):
    """Mail servers for the hosts of good.example and so on: hosts("good", rule=...)."""
    made = []

    def make(name, **values):
        _, sink = net.host(net.addresses[name], **values)
        made.append(sink)
        return sink

    yield make
    for sink in made:
        sink.stop()
        net.sinks.remove(sink)


def await_messages(sink, count=1, seconds=20):
    wait_until(lambda: len(sink.messages) >= count, seconds, lambda: f"{len(sink.messages)} messages")
    return sink.messages


def test_preference_and_fallback(node, net, hosts):
    closing = True
    best = hosts("good", rule=lambda verb, argument: "421 4.3.2 closing" if closing and verb == "CONNECT" else None)
    second = hosts("second")
    n = server(node, net)
    submit(n, "u@good.example")
    await_messages(second)
    assert best.connections == 1 and not best.messages
    n.stop()
    closing = False
    n.start()
    submit(n, "v@good.example")
    await_messages(best)
    assert not n.events(FAILED) and not n.events(DEFERRED)


def test_implicit_mx(node, net, hosts):
    sink = hosts("plain")
    n = server(node, net)
    submit(n, "u@plain.example")
    assert await_messages(sink)[0].recipients == ["u@plain.example"]


def test_alias(node, net, hosts):
    sink = hosts("good")
    n = server(node, net)
    submit(n, "u@there.alias.example")
    assert await_messages(sink)[0].recipients == ["u@there.alias.example"]


def test_backup_mx(node, net, hosts):
    """We are the second of three: only the best is tried."""
    best, worst = hosts("third"), hosts("good")
    best.rule = lambda verb, argument: "421 4.3.2 closing" if verb == "CONNECT" else None
    n = server(node, net)
    submit(n, "u@backup.example")
    row_of(n, DEFERRED, "u@backup.example")
    best.rule = lambda verb, argument: None
    await_messages(best, seconds=30)
    assert not worst.messages


def test_one_site_for_one_provider(node, net, hosts):
    """Domains with one MX set share the site, and each has its own transaction."""
    sink = hosts("good")
    n = server(node, net)
    submit(n, "u@good.example", "v@sibling.example")
    messages = await_messages(sink, 2)
    assert sorted(m.recipients for m in messages) == [["u@good.example"], ["v@sibling.example"]]
    sites = {row_of(n, "delivered", r)["site"] for r in ("u@good.example", "v@sibling.example")}
    assert sites == {"mx:mx.good.example,mx2.good.example/relay"}, sites


def test_literal(node, net, hosts):
    sink = hosts("plain")
    n = server(node, net)
    recipient = f"u@[{net.addresses['plain']}]"
    submit(n, recipient)
    assert await_messages(sink)[0].recipients == [recipient]


def test_resolver_killed_under_load(node, net, hosts):
    """Nothing lost, nothing twice, while the resolver dies again and again."""
    sink = hosts("good")
    n = server(node, net)
    n.deaths_expected = True
    for i in range(60):
        submit(n, f"u{i}@good.example", f"v{i}@sibling.example", subject=f"m{i}")
        if i % 12 == 0:
            for pid in n.children("resolver"):
                os.kill(pid, signal.SIGKILL)
    await_messages(sink, 120, seconds=60)
    n.await_empty(30)
    got = sorted(r for m in sink.messages for r in m.recipients)
    assert got == sorted([f"u{i}@good.example" for i in range(60)] + [f"v{i}@sibling.example" for i in range(60)])
    assert not n.events(FAILED)


def test_reload_changes_servers(node, net):
    """Mail that waits for a wrong name server goes on when the configuration is fixed, at another port, too."""
    right = net.config(timeout="3s")
    n = node(text=None, name="mx", via='via = "mx"', queue='retry = {"2s"}',
             more=right.replace(f":{net.port}", ":25299"))
    n.start()
    submit(n, "u@null.example")
    assert row_of(n, DEFERRED, "u@null.example")["enhanced"] == "4.4.3"
    n.write_config(more=right)
    n.process.send_signal(signal.SIGHUP)
    assert row_of(n, FAILED, "u@null.example", seconds=20)["enhanced"] == "5.1.10"
