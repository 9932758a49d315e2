"""From the socket to the Maildir: octets, the log, and what a death in between leaves."""

import os
import random
import signal
import time


def test_body__large_and_octet_for_octet(servers, connect):
    s = servers()
    rng = random.Random(1)
    lines = [bytes(rng.choice(b"abcdefgh. ") for _ in range(rng.randrange(0, 90))) for _ in range(2000)]
    body = b"Subject: large\r\n\r\n" + b"\r\n".join(lines * 40) + b"\r\n"
    wire = b"\r\n".join(b"." + x if x.startswith(b".") else x for x in body.split(b"\r\n"))
    c = connect(s)
    c.hello()
    c.mail("a@example.net", ["carol@example.org"], wire)
    stored = s.await_mail("carol")[-1]
    assert stored.endswith(body.replace(b"\r\n", b"\n"))
    head = stored[: -len(body.replace(b"\r\n", b"\n"))].decode()
    assert head.startswith("Return-Path: <a@example.net>\n")
    assert head.count("\nReceived: ") == 1


def test_log__a_message_can_be_followed_by_its_id(server, connect):
    s = server().start()
    c = connect(s)
    c.hello()
    line = c.mail("a@example.net", ["alice@example.org"], b"Subject: x\r\n\r\nx\r\n")
    ident = line.rsplit(" ", 1)[1]
    c.command("QUIT", 221)
    s.await_mail("alice")
    s.await_events("session-end")
    accepted = [row for row in s.events("message-accepted") if row["id"] == ident]
    assert len(accepted) == 1
    row = accepted[0]
    assert row["from"] == "a@example.net" and row["helo"] == "client.example.net"
    assert row["protocol"] == "ESMTP" and row["listener"] == "mx" and row["client"] == "127.0.0.1"
    assert {row["session"]} == {e["session"] for e in s.events("session-end") if e.get("accepted") == 1}


def test_log__refusals_name_their_reason(server, connect):
    s = server().start()
    c = connect(s)
    c.hello()
    c.command("MAIL FROM:<a@example.net> SIZE=99999999999", 552)
    c.command("MAIL FROM:<a@example.net>", 250)
    c.command("RCPT TO:<nobody@example.org>", 550)
    c.command("RCPT TO:<alice@example.org>", 250)
    c.command("DATA", 354)
    c.send(b"bare\nnewline\r\n.\r\n")
    c.expect(554)
    c.command("QUIT", 221)
    s.await_events("session-end")
    assert s.events("sender-refused")[0]["code"] == 552
    assert s.events("recipient-refused")[0]["enhanced"] == "5.1.1"
    assert s.events("message-refused")[0]["enhanced"] == "5.6.0"


def test_log__peer_octets_are_escaped(server, connect):
    s = server().start()
    c = connect(s)
    c.hello()
    c.command("MAIL FROM:<a@example.net>", 250)
    c.send(b'RCPT TO:<"x\\" event=\\"forged"@far.example>\r\n')
    c.expect(550)
    c.command("QUIT", 221)
    s.await_events("session-end")
    assert len(s.events("recipient-refused")) == 1 and not s.events("forged")


def test_latency__within_a_second_of_the_250(servers, connect):
    s = servers()
    c = connect(s)
    c.hello()
    before = len(s.mailbox("alice"))
    c.mail("a@example.net", ["alice@example.org"], b"Subject: quick\r\n\r\nx\r\n")
    start = time.monotonic()
    s.await_mail("alice", before + 1)
    assert time.monotonic() - start < 1


def test_death__every_250_is_delivered_after_kill_of_all(server, connect):
    s = server().start()
    c = connect(s)
    c.hello()
    for i in range(50):
        c.mail("a@example.net", ["alice@example.org"], b"Subject: m%d\r\n\r\nx\r\n" % i)
    s.stop(signal.SIGKILL)
    s.start()
    s.await_mail("alice", 50)
    time.sleep(0.5)
    subjects = [m.split(b"Subject: ")[1].split(b"\n")[0] for m in s.await_mail("alice", 50)]
    doubled = len(subjects) - len(set(subjects))
    assert len(set(subjects)) == 50
    assert doubled <= len(s.events("possible-duplicate"))


def test_submit__the_machines_own_socket_relays_and_names_the_uid(server, connect):
    s = server().start()
    c = connect(s, host="submit")
    c.hello()
    c.command("MAIL FROM:<a@example.org>", 250)
    c.command("RCPT TO:<joe@far.example>", 250)
    c.command("RSET", 250)
    c.mail("a@example.org", ["alice@example.org"], b"Subject: local\r\n\r\nx\r\n")
    stored = s.await_mail("alice")[0].decode()
    assert f"\nReceived: by mx.example.org (Postrider, from uid {os.getuid()}) with ESMTP id " in stored
    assert s.await_events("message-accepted")[0]["client"] == "local"


def test_received__ipv6_client(server, connect):
    s = server().start()
    c = connect(s, host="::1")
    c.hello()
    c.mail("a@example.org", ["alice@example.org", "bob@example.org"], b"Subject: six\r\n\r\nx\r\n")
    stored = s.await_mail("alice")[0].decode()
    # Two recipients: none is named (RFC 5321 7.2).
    assert "\nReceived: from client.example.net ([IPv6:::1])\n\tby mx.example.org with ESMTP id " in stored
    assert "\tfor <" not in stored and "bob" not in stored
