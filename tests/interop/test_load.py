"""Numbers: what is accepted is exactly what arrives, and the queue answers while it is long."""

import collections
import time

from load import Sink, flood
from node import free_port, wait_until


def test_5000_messages_from_50_sessions__relayed_with_exact_counts(node, sink):
    s = sink()
    n = node(via=f'via = "smtp://127.0.0.1:{s.port}"', queue='retry = {"1s"}').start()
    flood(n.port, 5000, 50, lambda i: [f"user{i}@far.example"])
    wait_until(lambda: len(s.messages) >= 5000, 60, lambda: len(s.messages))
    n.await_empty(20)
    seen = collections.Counter(m.subject for m in s.messages)
    assert seen == {f"m{i}": 1 for i in range(5000)}
    assert all(m.recipients == [f"user{m.subject[1:]}@far.example"] for m in s.messages)
    assert all(m.data.startswith(b"Received: ") and m.data.endswith(b"\r\n") for m in s.messages)
    top = n.top()
    assert (top["messages_accepted_total"], top["deliveries_total"], top["queue_messages"]) == (5000, 5000, 0)


def test_5000_messages__into_maildirs(node):
    n = node().start()
    flood(n.port, 5000, 50, lambda i: [f"user{i % 10}@example.org"])
    wait_until(lambda: sum(len(n.mailbox(f"user{u}")) for u in range(10)) == 5000, 60)
    n.await_empty(20)
    subjects = collections.Counter()
    for u in range(10):
        for path in n.mailbox(f"user{u}"):
            head = path.read_bytes()
            subjects[head.partition(b"\nSubject: ")[2].partition(b"\n")[0].decode()] += 1
    assert subjects == {f"m{i}": 1 for i in range(5000)}


def test_10000_queued__listed_meanwhile_then_drained(node):
    port = free_port()
    n = node(via=f'via = "smtp://127.0.0.1:{port}"', queue='retry = {"2s", "5s"}').start()
    flood(n.port, 10_000, 50, lambda i: [f"user{i}@far.example"])
    begun = time.monotonic()
    rows = n.queue()
    assert len(rows) == 10_000 and time.monotonic() - begun < 5
    assert len(n.queue("--limit", "10")) == 10
    s = Sink(port).start()
    try:
        n.run("queue", "retry", "--all")
        counts = []

        def drained():
            begun = time.monotonic()
            counts.append(len(n.queue("--limit", "5")))
            assert time.monotonic() - begun < 2, "queue list does not answer"
            return len(s.messages) >= 10_000

        wait_until(drained, 90, lambda: len(s.messages))
        n.await_empty(30)
    finally:
        s.stop()
    seen = collections.Counter(m.subject for m in s.messages)
    assert seen == {f"m{i}": 1 for i in range(10_000)}
