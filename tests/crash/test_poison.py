"""One message that kills every deliverer which touches it: it alone is set aside, and its neighbours arrive."""

import os
import pathlib
import signal
import smtplib

import pytest
from load import Sink
from node import Node, wait_until

SPARE = b"63"


def index_of(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[3]


@pytest.fixture
def poisoned(tmp_path):
    """A server with one deliverer, and a next hop at which a MAIL from poison@ kills whoever sends it."""
    box = {}

    def rule(verb, argument):
        if verb == "MAIL" and "poison@" in argument:
            deliverers = box["node"].children("deliverer")
            spare = [pid for pid in deliverers if index_of(pid) == SPARE]
            for pid in spare or deliverers:
                os.kill(pid, signal.SIGKILL)
            return "close"
        return None

    sink = Sink(rule=rule).start()
    n = Node(tmp_path, via=f'via = "smtp://127.0.0.1:{sink.port}"', queue='retry = {"1s"}',
             more="processes { deliverers = 1 }")
    n.deaths_expected = True
    box["node"] = n
    n.start()
    yield n, sink
    sink.stop()
    if n.process.poll() is None:
        n.stop()


def test_message_that_kills_deliverers__is_held_alone(poisoned):
    n, sink = poisoned
    with smtplib.SMTP("127.0.0.1", n.port) as c:
        c.sendmail("poison@example.net", ["one@partner.example"], "Subject: bad\r\n\r\nbad\r\n")
        for i in range(20):
            c.sendmail("good@example.net", [f"u{i}@partner.example"], f"Subject: {i}\r\n\r\ngood {i}\r\n")
    held = wait_until(lambda: [row for row in n.queue() if row["held"] or
                               any(r["state"] == "held" for r in row["recipients"])], 30, n.log)
    assert len(held) == 1
    assert "poison@" in held[0]["sender"]
    n.await_queue(lambda rows: len(rows) == 1, 20)
    assert len(n.events("process-spare-started")) == 1
    assert len([r for r in n.events("process-ended") if r.get("signal") == "KILL"]) == 4
    got = [m for m in sink.messages]
    assert len(got) == 20
    n.check_log()
