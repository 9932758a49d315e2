"""Connection limits; reload and drain with sessions under way."""

import os
import signal
import time

import pytest
from dialogue import Client
from server import role_pid


def test_limit__all_connections(server, connect):
    s = server("few").start()
    time.sleep(0.2)  # the connection that found the server ready is gone by then
    held = [connect(s) for _ in range(4)]
    for c in held:
        c.expect(220)
    late = connect(s)
    late.expect(421, "4.3.2")
    late.expect_close()
    held[0].command("QUIT", 221)
    held[0].expect_close()
    time.sleep(0.1)
    connect(s).expect(220)
    assert s.stop() == 0


def test_limit__a_dropped_connection_gives_its_place_back(server, connect):
    s = server("few").start()
    for _ in range(20):
        with Client(s) as c:
            c.expect(220)
        time.sleep(0.02)
    connect(s).expect(220)


def test_quit__what_stands_behind_it_does_not_cost_the_reply(servers, connect):
    c = connect(servers())
    c.hello()
    c.send(b"QUIT\r\n" + b"NOOP\r\n" * 5000)  # more than is read at once
    c.expect(221)


def test_drain__idle_session_gets_421_and_the_server_ends(server, connect):
    s = server().start()
    c = connect(s)
    c.hello()
    s.process.send_signal(signal.SIGTERM)
    c.expect(421, "4.3.2")
    c.expect_close()
    assert s.process.wait(10) == 0


def test_drain__transaction_under_way_is_finished(server, connect):
    s = server(grace="10s").start()
    c = connect(s)
    c.hello()
    c.command("MAIL FROM:<a@example.net>", 250)
    c.command("RCPT TO:<alice@example.org>", 250)
    c.command("DATA", 354)
    s.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    with pytest.raises(OSError):
        Client(s, timeout=1).expect(220)
    c.send(b"Subject: late\r\n\r\nbody\r\n.\r\n")
    c.expect(250, "Accepted as")
    c.expect(421, "4.3.2")
    c.expect_close()
    assert s.process.wait(10) == 0
    s.start()
    s.await_mail("alice")


def test_drain__grace_ends_what_does_not_end(server, connect):
    s = server(grace="1s").start()
    c = connect(s)
    c.hello()
    c.command("MAIL FROM:<a@example.net>", 250)
    c.command("RCPT TO:<alice@example.org>", 250)
    c.command("DATA", 354)
    c.send(b"half a mess")
    s.process.send_signal(signal.SIGTERM)
    c.expect(421, "4.3.2")
    assert s.process.wait(10) == 0
    assert s.mailbox("alice") == []


def test_reload__keeps_sessions_and_serves_new_ones_by_the_new_configuration(server, connect):
    s = server().start()
    old = connect(s)
    old.hello()
    old.command("MAIL FROM:<a@example.net>", 250)
    s.write_config(limits='message_size = "1K"')
    s.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 10
    while True:
        with Client(s) as fresh:
            if any("SIZE 1024" in line for line in fresh.hello()):
                break
        assert time.monotonic() < end
        time.sleep(0.05)
    old.command("RCPT TO:<alice@example.org>", 250)
    old.command("DATA", 354)
    old.send(b"Subject: old rules\r\n\r\n" + b"x" * 4000 + b"\r\n.\r\n")
    old.expect(250)
    old.command("QUIT", 221)
    assert s.stop() == 0


def test_reload__many_times_under_load(server, connect):
    s = server().start()
    c = connect(s)
    c.hello()
    for i in range(20):
        if i % 4 == 0:
            s.process.send_signal(signal.SIGHUP)
        c.mail("a@example.net", ["alice@example.org"], b"Subject: %d\r\n\r\nx\r\n" % i)
    c.command("QUIT", 221)
    s.await_mail("alice", 20)
    assert s.stop() == 0


def test_rfc_2920_3_2__an_urgent_reply_does_not_wait_for_a_question(server):
    """NOOP's reply, and an unknown command's, leave at once though the next command of the group takes its time."""
    s = server().start()
    with Client(s) as c:
        c.hello()
        directory = role_pid(s, b"directory")
        os.kill(directory, signal.SIGSTOP)
        try:
            c.send(b"MAIL FROM:<a@example.net>\r\nNOOP\r\nWHAT\r\nRCPT TO:<alice@example.org>\r\n")
            c.socket.settimeout(5)  # the directory is waited for longer
            c.expect(250, "2.1.0")
            c.expect(250, "2.0.0")
            c.expect(500, "5.5.2")
        finally:
            os.kill(directory, signal.SIGCONT)
        c.socket.settimeout(20)
        c.expect(250, "2.1.5")
