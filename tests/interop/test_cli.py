"""The operator's commands against a running server, and against a spool without one."""

import json
import re
import subprocess
import time

from load import text
from node import PROGRAM, free_port, wait_until
from test_delivery import await_messages, send


def stuck(node, port=None, **values):
    """A relay whose next hop is down, and that will not try again by itself for long."""
    values = {"queue": 'retry = {"1h"}'} | values
    return node(via=f'via = "smtp://127.0.0.1:{port or free_port()}"', **values).start()


def deferred(n, count):
    return n.await_queue(lambda rows: len(rows) == count and
                         all(r["state"] == "deferred" for row in rows for r in row["recipients"]))


def test_queue_list__one_object_a_message(node):
    n = stuck(node)
    send(n, ["ann@far.example", "bob@far.example"], "one", sender="s1@example.net")
    send(n, ["cat@other.example"], "two", sender="s2@example.net")
    rows = deferred(n, 2)
    by_sender = {row["sender"]: row for row in rows}
    row = by_sender["s1@example.net"]
    assert [r["address"] for r in row["recipients"]] == ["ann@far.example", "bob@far.example"]
    assert row["recipients_total"] == 2 and row["size"] > 600 and row["held"] is False
    assert row["client"] and row["arrival"].endswith("Z") and row["expires"] > row["arrival"]
    r = row["recipients"][0]
    assert r["status"].startswith("4.") and r["text"] and r["next"] > row["arrival"]
    accepted = {e["id"] for e in n.events("message-accepted")}
    assert {row["id"] for row in rows} == accepted


def test_queue_list__filters(node):
    n = stuck(node)
    for i in range(4):
        send(n, [f"u{i}@far.example"], f"m{i}", sender=f"s{i % 2}@example.net")
    rows = deferred(n, 4)
    assert len(n.queue("--sender", "s1@example.net")) == 2
    assert len(n.queue("--sender", "*@example.net")) == 4
    assert len(n.queue("--recipient", "u3@far.example")) == 1
    assert len(n.queue("--domain", "far.example")) == 4 and n.queue("--domain", "near.example") == []
    assert len(n.queue("--state", "deferred")) == 4 and n.queue("--state", "held") == []
    assert len(n.queue("--limit", "3")) == 3
    assert [row["id"] for row in n.queue(rows[0]["id"])] == [rows[0]["id"]]
    readable = n.run("queue", "list").stdout.decode()
    assert all(row["id"] in readable for row in rows) and "deferred" in readable
    shown = n.run("queue", "show", rows[1]["id"]).stdout.decode()
    assert rows[1]["id"] in shown and rows[0]["id"] not in shown and rows[1]["recipients"][0]["address"] in shown


def test_queue_retry__overrides_the_schedule(node, sink):
    port = free_port()
    n = stuck(node, port)
    for i in range(3):
        send(n, [f"u{i}@far.example"], f"m{i}")
    deferred(n, 3)
    s = sink(port=port)
    begun = time.monotonic()
    assert b"3 messages" in n.run("queue", "retry", "--all").stdout
    await_messages(s, 3)
    assert time.monotonic() - begun < 3
    n.await_empty()


def test_queue_hold_release_drop(node, sink):
    port = free_port()
    n = stuck(node, port)
    for i in range(3):
        send(n, [f"u{i}@far.example"], f"m{i}")
    ids = [row["id"] for row in sorted(deferred(n, 3), key=lambda row: row["recipients"][0]["address"])]
    n.run("queue", "hold", ids[0], ids[1])
    held = n.queue("--state", "held")
    assert sorted(row["id"] for row in held) == sorted(ids[:2]) and all(row["held"] for row in held)
    s = sink(port=port)
    n.run("queue", "retry", ids[2])
    assert await_messages(s, 1)[0].subject == "m2"
    time.sleep(0.3)
    assert len(s.messages) == 1
    n.run("queue", "release", ids[0])  # tried now: the site is up
    assert await_messages(s, 2)[1].subject == "m0"
    assert b"1 message " in n.run("queue", "drop", ids[1]).stdout
    n.await_empty()
    assert len(s.messages) == 2 and n.events("dropped")


def test_queue_hold__survives_a_restart(node, sink):
    port = free_port()
    n = stuck(node, port)
    send(n, ["ann@far.example"], "kept")
    (row,) = deferred(n, 1)
    n.run("queue", "hold", row["id"])
    assert n.stop() == 0
    s = sink(port=port)
    n.start()
    time.sleep(0.5)
    assert s.messages == [] and [r["id"] for r in n.queue("--state", "held")] == [row["id"]]
    n.run("queue", "release", "--all")
    n.run("queue", "retry", "--all")
    await_messages(s, 1)
    n.await_empty()


def test_queue_release__what_the_configuration_holds_needs_via(node, sink):
    s = sink()
    n = node(more='route "wait.example" { via = "hold" }').start()
    send(n, ["ann@wait.example"], "held")
    (row,) = n.await_queue(lambda rows: len(rows) == 1 and rows[0]["held"])
    n.run("queue", "release", row["id"], check=False)
    time.sleep(0.3)
    assert n.queue() and not s.messages
    n.run("queue", "release", row["id"], "--via", f"smtp://127.0.0.1:{s.port}")
    assert await_messages(s, 1)[0].subject == "held"
    n.await_empty()


def test_queue_list__reads_the_spool_of_a_stopped_server(node):
    n = stuck(node)
    for i in range(3):
        send(n, [f"u{i}@far.example"], f"m{i}", sender=f"s{i}@example.net")
    running = deferred(n, 3)
    assert n.stop() == 0
    stopped = n.queue()
    key = lambda row: (row["id"], row["sender"], [r["address"] for r in row["recipients"]])
    assert sorted(map(key, stopped)) == sorted(map(key, running))
    assert b"read from the spool" in n.run("queue", "list").stderr
    done = n.run("queue", "drop", "--all", check=False)
    assert done.returncode == 69 and b"no server answers" in done.stderr
    n.start()
    assert len(n.queue()) == 3


def test_queue_commands__need_to_be_told_which(node):
    n = stuck(node)
    for words in (["drop"], ["retry"], ["hold"], ["release"]):
        assert n.run("queue", *words, check=False).returncode == 64
    assert n.run("queue", "drop", "not-an-id", check=False).returncode == 64
    assert n.run("queue", "list").stdout == b"the queue is empty\n"


def test_top__counts_what_happened(node):
    n = node().start()
    for i in range(3):
        send(n, ["ann@example.org", "bob@example.org"], f"m{i}")
    n.await_mail("bob", 3)
    n.await_empty()
    top = wait_until(lambda: (t := n.top())["deliveries_total"] == 6 and t)
    assert top["messages_accepted_total"] == 3 and top["recipients_accepted_total"] == 6
    assert top["connections_total"] == 3 and top["queue_messages"] == 0 and top["restarts_total"] == 0
    assert {p["process"] for p in top["processes"]} >= {"receiver", "dispatcher"}
    assert b"messages_accepted_total" in n.run("top").stdout


def test_send__and_sendmail(node, tmp_path):
    n = node().start()
    n.run("send", "-f", "me@example.org", "ann@example.org", input=b"Subject: by send\n\n.\nhello\n")
    (stored,) = n.await_mail("ann")
    assert stored.startswith(b"Return-Path: <me@example.org>\n") and stored.endswith(b"\n\n.\nhello\n")
    assert b"Subject: by send\n" in stored and b"\nDate: " in stored and b"\nMessage-ID: " in stored.replace(b"-Id", b"-ID")
    link = tmp_path / "sendmail"
    link.symlink_to(PROGRAM)
    subprocess.run([link, "-C", n.conf, "-f", "me@example.org", "-t", "-i"], check=True, timeout=30,
                   input=b"To: bob@example.org, Cat <cat@example.org>\nBcc: dan@example.org\nSubject: by sendmail\n\nx\n")
    for user in ("bob", "cat", "dan"):
        (stored,) = n.await_mail(user)
        assert b"Subject: by sendmail\n" in stored and b"Bcc" not in stored and (user == "dan" or b"dan@" not in stored)


def test_send__with_no_server(node):
    n = node()
    done = n.run("send", "ann@example.org", input=b"Subject: x\n\nx\n", check=False)
    assert done.returncode == 75 and b"nothing was accepted" in done.stderr


def test_users_file__is_picked_up(node):
    n = node(text='hostname = "mx.example.org"\ndata = "data"\nlistener "mx" { address = {"127.0.0.1:PORT"} }\n'
             'domain "example.org" { users = "file:users"  aliases = "file:aliases"\n'
             '  deliver = "maildir:mail/{domain}/{local}" }\nlog { format = "json" }\n')
    (n.folder / "users").write_text("ann:\npostmaster:\n")
    (n.folder / "aliases").write_text("")
    n.start()

    def accepted(user):
        try:
            send(n, [f"{user}@example.org"], user)
        except Exception as e:
            assert "5.1.1" in str(e), e
            return False
        return True

    assert accepted("ann") and not accepted("bob")
    n.run("user", "add", "bob@example.org")
    wait_until(lambda: accepted("bob"))
    assert b"bob" in n.run("user", "list").stdout
    (n.folder / "aliases").write_text("team: ann, bob\n")
    wait_until(lambda: accepted("team"))
    for user in ("ann", "bob"):
        wait_until(lambda user=user: any(b"Subject: team\n" in m for m in n.await_mail(user)))
    n.run("user", "remove", "bob@example.org")
    wait_until(lambda: not accepted("bob"))


def test_check__says_file_line_and_remedy(node):
    n = node()
    assert n.run("check").returncode == 0
    good = n.conf.read_text()
    cases = [
        ('hostnme = "x"\n' + good, 1, "hostnme"),
        (good + 'domain "b.example" {\n  users = "any"\n  delivr = "discard:"\n}\n', good.count("\n") + 3, "delivr"),
        (good.replace("limits {  }", "limits { recipients = many }"), None, "recipients"),
        (good.replace("127.0.0.0/8", "127.0.0.0/64"), None, "127.0.0.0/64"),
        (good + 'listener "x" { address = {"127.0.0.1:99999"} }\n', good.count("\n") + 1, "99999"),
        (good + "relay {\n", None, ""),
        (good + 'include("not-there.conf")\n', good.count("\n") + 1, "not-there.conf"),
    ]
    for text_, line, word in cases:
        n.conf.write_text(text_)
        for command in (["check"], ["serve"]):
            done = n.run(*command, check=False)
            said = done.stderr.decode()
            assert done.returncode == 78, (word, done)
            found = re.search(r"postrider\.conf:(\d+): ", said)
            assert found and word in said and (line is None or int(found.group(1)) == line), (line, word, said)
    n.conf.write_text(good + 'include("more.conf")\n')
    (n.folder / "more.conf").write_text('\nroute "x.example" { via = "carrier-pigeon:" }\n')
    done = n.run("check", check=False)
    assert done.returncode == 78 and "more.conf:2: " in done.stderr.decode(), done


def test_check__warns_of_what_will_not_work(node, tmp_path):
    n = node(more=f'domain "a.example" {{ users = "any"  deliver = "maildir:{tmp_path}/a/{{local}}"  dkim = true }}')
    out = n.run("check").stdout.decode()
    assert "dkim" in out and n.conf.name in out, out
    n.write_config(more=f'domain "b.example" {{ users = "file:none"  deliver = "maildir:{tmp_path}/b/{{local}}" }}')
    done = n.run("check", check=False)
    assert done.returncode == 78 and b"none' does not exist" in done.stderr, done


def test_version__and_unknown_words():
    done = subprocess.run([PROGRAM, "version", "--json"], capture_output=True, timeout=10)
    assert json.loads(done.stdout)["name"] == "postrider"
    assert subprocess.run([PROGRAM, "frobnicate"], capture_output=True, timeout=10).returncode == 64
    assert text("x").endswith(b"\r\n")
