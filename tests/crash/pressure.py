"""Sessions that go on whatever happens to the server, and remember exactly what they were promised."""

import asyncio
import collections
import contextlib
import re
import threading

from load import Refused, Sender, text

ID = re.compile(rb"\bid ([0-9A-Za-z]+)")


class Pressure:
    """`sessions` sessions, each message with a subject of its own: even numbers go to the next hop, odd ones to a
    Maildir, every fifth to both. A subject is never sent twice, whatever became of it."""

    def __init__(self, port, sessions=20, pause=0.01):
        self.port, self.sessions, self.pause = port, sessions, pause
        self.promised = {}  # subject -> recipients, of those that got their 250
        self.refused = collections.Counter()  # codes
        self.broken = self.sent = 0
        self.ending = False
        self.thread = threading.Thread(target=lambda: asyncio.run(self.everyone()), daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.ending = True
        self.thread.join(60)
        assert not self.thread.is_alive(), "the senders do not end"

    async def everyone(self):
        await asyncio.gather(*(self.session() for _ in range(self.sessions)))

    @staticmethod
    def recipients(n):
        near, far = f"user{n % 7}@example.org", f"user{n % 11}@far.example"
        return [near, far] if n % 5 == 0 else [near] if n % 2 else [far]

    async def session(self):
        while not self.ending:
            s = Sender(self.port)
            try:
                await asyncio.wait_for(self.converse(s), 120)
            except (OSError, ValueError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                self.broken += 1
                await asyncio.sleep(0.05)
            except Refused as e:
                self.refused[e.code] += 1
                await asyncio.sleep(0.05)
            s.close()

    async def converse(self, s):
        await s.open()
        for _ in range(50):
            if self.ending:
                break
            n = self.sent
            self.sent += 1
            recipients = self.recipients(n)
            await s.send("load@load.example", recipients, text(f"m{n}", 600 if n % 50 else 300_000))
            self.promised[f"m{n}"] = recipients
            await asyncio.sleep(self.pause)
        with contextlib.suppress(OSError, Refused):
            await s.quit()


def ident(data):
    """The message's id, from the Received field on top."""
    head = re.search(rb"^Received: .*?(?=\r?\n\S)", data, re.MULTILINE | re.DOTALL)
    found = head and ID.search(head.group(0))
    return found.group(1).decode() if found else None


def subject(data):
    found = re.search(rb"^Subject: (m\d+)\r?$", data, re.MULTILINE)
    return found.group(1).decode() if found else None


def arrived(node, sink):
    """(subject, recipient) -> ids, one for each time that it arrived."""
    seen = collections.defaultdict(list)
    for m in list(sink.messages):
        for r in m.recipients:
            seen[m.subject, r].append(ident(m.data))
    for u in range(7):
        for path in node.mailbox(f"user{u}"):
            data = path.read_bytes()
            assert data.endswith(b"\n") and len(data) > 600, path
            seen[subject(data), f"user{u}@example.org"].append(ident(data))
    return seen


def settle(pressure, node, sink, seconds=90):
    """After the load: everything promised has arrived, whole, and nothing twice without a word in the log."""
    from node import wait_until

    node.await_empty(seconds)
    wanted = {(s, r) for s, recipients in pressure.promised.items() for r in recipients}
    seen = {}

    def complete():
        seen.clear()
        seen.update(arrived(node, sink))
        return wanted <= set(seen)

    wait_until(complete, 20, lambda: f"lost: {sorted(wanted - set(seen))[:10]}")
    named = {(e.get("id"), e.get("rcpt")) for e in node.events("possible-duplicate")}
    twice = {key: got for key, got in seen.items() if len(got) > 1}
    silent = {key: got for key, got in twice.items() if (got[0], key[1]) not in named}
    assert not silent, f"doubled without a word: {dict(list(silent.items())[:5])}"
    # One subject, one id: a message was never taken up under a second name.
    assert all(len(set(got)) == 1 for got in twice.values()), twice
    assert all(m.data.endswith(b"\r\n") and len(m.data) > 600 for m in sink.messages)
    return len(wanted), len(twice), len(named)
