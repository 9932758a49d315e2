"""From the 250 to the next hop: how soon, what becomes of refusals, how many transactions."""

import smtplib
import time

from load import text


def send(n, recipients, subject="x", sender="sender@example.net", octets=600):
    with smtplib.SMTP(n.host, n.port, "client.example", timeout=30) as s:
        return s.sendmail(sender, recipients, text(subject, octets))


def relay(node, sink, **values):
    values = {"queue": 'retry = {"1s"}'} | values
    return node(via=f'via = "smtp://127.0.0.1:{sink.port}"', **values).start()


def await_messages(sink, count, seconds=10):
    end = time.monotonic() + seconds
    while len(sink.messages) < count:
        assert time.monotonic() < end, f"want {count}, got {len(sink.messages)}: {sink.commands[-20:]}"
        time.sleep(0.005)
    return sink.messages


def test_idle_machine__in_the_maildir_within_a_second(node):
    n = node().start()
    for i in range(5):
        send(n, ["ann@example.org"], f"m{i}")
        accepted = time.monotonic()
        n.await_mail("ann", i + 1)
        assert time.monotonic() - accepted < 1.0


def test_idle_machine__at_the_next_hop_within_a_second(node, sink):
    s = sink()
    n = relay(node, s)
    for i in range(5):
        send(n, ["bob@far.example"], f"m{i}")
        accepted = time.monotonic()
        assert await_messages(s, i + 1)[-1].at - accepted < 1.0
        assert s.messages[-1].subject == f"m{i}"
    n.await_empty()


def test_many_recipients__are_one_transaction(node, sink):
    s = sink()
    n = relay(node, s)
    recipients = [f"user{i}@far.example" for i in range(1000)]
    send(n, recipients)
    message = await_messages(s, 1)[0]
    assert sorted(message.recipients) == sorted(recipients)
    assert s.transactions == 1 and s.connections == 1
    n.await_empty()
    assert len(n.events("delivered")) == 1000


def test_next_hop_takes_100_a_time__the_rest_follows_at_once(node, sink):
    """RFC 5321 4.5.3.1.10: 452 (and 552, of old servers) means another transaction, not another day."""
    in_transaction = [0]

    def rule(verb, argument):
        if verb == "MAIL":
            in_transaction[0] = 0
        if verb == "RCPT":
            in_transaction[0] += 1
            if in_transaction[0] > 100:
                return "452 4.5.3 Too many recipients" if in_transaction[0] % 2 else "552 5.5.3 Too many recipients"
        return None

    s = sink(rule=rule)
    n = relay(node, s, queue='retry = {"1h"}')
    recipients = [f"user{i}@far.example" for i in range(350)]
    send(n, recipients)
    await_messages(s, 4)
    got = [r for m in s.messages for r in m.recipients]
    assert sorted(got) == sorted(recipients) and len(s.messages) == 4
    n.await_empty()


def test_1000_recipients__the_next_gets_452(node):
    n = node().start()
    with smtplib.SMTP(n.host, n.port, "client.example", timeout=30) as s:
        s.ehlo()
        s.mail("sender@example.net")
        codes = [s.rcpt(f"u{i}@example.org") for i in range(1002)]
        assert [c[0] for c in codes[:1000]] == [250] * 1000
        assert [c[0] for c in codes[1000:]] == [452, 452] and codes[1000][1].startswith(b"4.5.3")
        assert s.data(text("many"))[0] == 250
    n.await_mail("u999", seconds=90)
    assert not n.mailbox("u1000")


def test_550_at_the_next_hop__bounces_to_the_sender(node, sink):
    s = sink(rule=lambda verb, a: "550 5.1.1 No such user here" if verb == "RCPT" and "nobody" in a else None)
    n = relay(node, s)
    send(n, ["nobody@far.example", "somebody@far.example"], "original", sender="ann@example.org")
    assert await_messages(s, 1)[0].recipients == ["somebody@far.example"]
    (report,) = n.await_mail("ann")
    assert report.startswith(b"Return-Path: <>\n")
    for words in (b"multipart/report", b"nobody@far.example", b"Status: 5.1.1", b"No such user here", b"Action: failed",
                  b"Subject: original"):
        assert words in report, (words, report)
    assert b"somebody@far.example" not in report.partition(b"Subject: original")[0]
    n.await_empty()
    assert len(s.messages) == 1


def test_bounce_that_cannot_be_delivered__ends_there(node, sink):
    s = sink(rule=lambda verb, a: "550 5.1.1 No" if verb == "RCPT" else None)
    n = relay(node, s)
    send(n, ["nobody@far.example"], sender="forged@elsewhere.example")
    n.await_empty()
    mails = [a for verb, a in s.commands if verb == "MAIL"]
    assert [a.partition(">")[0] for a in mails] == ["FROM:<forged@elsewhere.example", "FROM:<"]
    time.sleep(0.5)
    assert not n.queue() and len([1 for verb, _ in s.commands if verb == "MAIL"]) == 2


def test_null_sender__nobody_is_told(node, sink):
    s = sink(rule=lambda verb, a: "550 5.1.1 No" if verb == "RCPT" else None)
    n = relay(node, s)
    send(n, ["nobody@far.example"], sender="")
    n.await_empty()
    assert len([1 for verb, _ in s.commands if verb == "MAIL"]) == 1


def test_4xx__is_tried_again(node, sink):
    tries = []

    def rule(verb, argument):
        if verb == "RCPT" and len(tries) < 2:
            tries.append(time.monotonic())
            return "451 4.7.1 Greylisted"
        return None

    s = sink(rule=rule)
    n = relay(node, s)
    send(n, ["grey@far.example"])
    (row,) = n.await_queue(lambda rows: rows and rows[0]["recipients"][0]["state"] == "deferred")
    assert row["recipients"][0]["attempts"] == 1 and row["recipients"][0]["status"] == "4.7.1" and "Greylisted" in row["recipients"][0]["text"]
    await_messages(s, 1, 15)
    assert tries[1] - tries[0] >= 0.8
    n.await_empty()
    assert [len(n.events(e)) for e in ("deferred", "delivered")] == [2, 1]


def test_4xx_at_the_final_dot__is_tried_again(node, sink):
    first = []
    rule = lambda verb, a: "452 4.3.1 Full" if verb == "DOT" and not first and not first.append(1) else None
    s = sink(rule=rule)
    n = relay(node, s)
    send(n, ["ann@far.example"], "dot")
    assert await_messages(s, 1)[0].subject == "dot"
    n.await_empty()


def test_connection_broken_in_the_body__is_tried_again(node, sink):
    first = []
    rule = lambda verb, a: "close" if verb == "DOT" and not first and not first.append(1) else None
    s = sink(rule=rule)
    n = relay(node, s)
    send(n, ["ann@far.example"], "broken")
    assert await_messages(s, 1)[0].subject == "broken"
    n.await_empty()


def test_expired__is_returned(node, sink):
    s = sink(rule=lambda verb, a: "451 4.3.0 Later" if verb == "RCPT" else None)
    n = relay(node, s, queue='retry = {"1s"}  warn = "0"  expire = "3s"')
    send(n, ["late@far.example"], "old", sender="ann@example.org")
    (report,) = n.await_mail("ann", seconds=15)
    assert b"Action: failed" in report and b"4." in report.partition(b"Status:")[2][:8], report
    n.await_empty()


def test_delay__is_told_once(node, sink):
    s = sink(rule=lambda verb, a: "451 4.3.0 Later" if verb == "RCPT" else None)
    n = relay(node, s, queue='retry = {"1s"}  warn = "2s"  expire = "1h"')
    send(n, ["late@far.example"], "slow", sender="ann@example.org")
    (report,) = n.await_mail("ann", seconds=15)
    assert b"Action: delayed" in report, report
    time.sleep(2.5)
    assert len(n.mailbox("ann")) == 1 and len(n.queue()) == 1


def test_connections__are_kept_for_the_next_message(node, sink):
    s = sink()
    n = relay(node, s)
    for i in range(10):
        send(n, ["ann@far.example"], f"m{i}")
        await_messages(s, i + 1)
    assert s.connections <= 2, s.connections


def test_no_pipelining__works_too(node, sink):
    s = sink(extensions=())
    n = relay(node, s)
    send(n, ["ann@far.example", "bob@far.example"], "plain")
    assert await_messages(s, 1)[0].recipients == ["ann@far.example", "bob@far.example"]


def test_discard_and_hold__as_targets(node):
    n = node(more='route "void.example" { via = "discard:" }\nroute "wait.example" { via = "hold" }').start()
    send(n, ["x@void.example"])
    send(n, ["y@wait.example"])
    (row,) = n.await_queue(lambda rows: len(rows) == 1 and rows[0]["held"])
    assert row["recipients"][0]["address"] == "y@wait.example"
