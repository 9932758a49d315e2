"""The other side of a server under test: a next hop that does as it is told, and senders in numbers.

Raw asyncio streams, so that thousands of messages cost seconds, and so that every reply is seen as it came."""

import asyncio
import contextlib
import dataclasses
import re
import threading
import time

from node import free_port

BODY_LIMIT = 64 * 1024 * 1024


@dataclasses.dataclass
class Message:
    sender: str
    recipients: list
    data: bytes  # as after dot-stuffing was undone, CRLF line ends
    at: float  # time.monotonic() of the 250
    options: str = ""

    @property
    def subject(self):
        found = re.search(rb"^Subject: (.*)\r$", self.data, re.MULTILINE)
        return found.group(1).decode() if found else None


class Sink:
    """A next hop. rule(verb, argument) returns a reply to give instead of the usual one, or None; a reply of
    "close" breaks the connection. verb: CONNECT, EHLO, MAIL, RCPT, DATA (before 354), DOT (after the body)."""

    EXTENSIONS = ("PIPELINING", "8BITMIME", "SIZE 100000000", "ENHANCEDSTATUSCODES")

    def __init__(self, port=None, rule=None, extensions=EXTENSIONS):
        self.port = port or free_port()
        self.address = "127.0.0.1"
        self.rule = rule or (lambda verb, argument: None)
        self.extensions = extensions
        self.messages, self.commands = [], []
        self.connections = self.transactions = 0
        self.loop = self.server = self.thread = None

    def start(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        begin = asyncio.start_server(self.session, self.address, self.port, limit=BODY_LIMIT, backlog=1000)
        self.server = asyncio.run_coroutine_threadsafe(begin, self.loop).result(10)
        return self

    def stop(self):
        if not self.thread:
            return

        async def end():
            self.server.close()
            others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()
        self.thread = None

    async def session(self, reader, writer):
        self.connections += 1
        try:
            await self.converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def converse(self, reader, writer):
        def say(reply):
            if reply == "close":
                raise ConnectionResetError
            writer.write(reply.encode() + b"\r\n")
            return reply[0] in "23"

        say(self.rule("CONNECT", "") or "220 sink.example ESMTP")
        message = None
        while line := await reader.readline():
            verb, _, argument = line.decode(errors="replace").rstrip("\r\n").partition(" ")
            verb = verb.upper()
            self.commands.append((verb, argument))
            usual = "250 2.0.0 Ok"
            if verb == "EHLO":
                names = ("sink.example", *self.extensions)
                usual = "\r\n".join(f"250{'-' if i + 1 < len(names) else ' '}{n}" for i, n in enumerate(names))
            elif verb == "DATA":
                usual = "354 Go on"
            elif verb == "QUIT":
                usual = "221 2.0.0 Bye"
            if verb == "DATA" and not (message and message.recipients):
                say("554 5.5.1 No valid recipients")
                continue
            accepted = say(self.rule(verb, argument) or usual)
            path = argument.partition(":<")[2].partition(">")[0]
            if verb == "MAIL" and accepted:
                message = Message(path, [], b"", 0.0, argument)
            elif verb == "RCPT" and accepted and message:
                message.recipients.append(path)
            elif verb == "DATA" and accepted:
                # The message's own last CRLF belongs to the end of data's mark.
                body = await reader.readuntil(b"\r\n.\r\n")
                message.data = (b"\r\n" + body[:-3]).replace(b"\r\n.", b"\r\n")[2:]
                self.transactions += 1
                reply = self.rule("DOT", message.subject or "")
                accepted = say(reply or "250 2.0.0 Ok")
                message.at = time.monotonic()
                if accepted:
                    self.messages.append(message)
                message = None
            elif verb == "RSET":
                message = None
            if verb == "QUIT":
                return
            await writer.drain()


class Refused(Exception):
    def __init__(self, reply):
        super().__init__(reply)
        self.code = int(reply[:3])


class Sender:
    """One SMTP session of a generator."""

    def __init__(self, port):
        self.port = port
        self.reader = self.writer = None

    async def reply(self, *codes):
        line = await self.reader.readline()
        while line[3:4] == b"-":
            line = await self.reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("closed")
        if codes and int(line[:3]) not in codes:
            raise Refused(line.decode(errors="replace").strip())
        return line.decode(errors="replace").strip()

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        await self.reply(220)
        self.writer.write(b"EHLO load.example\r\n")
        await self.reply(250)

    async def send(self, sender, recipients, data):
        """The final reply; raises Refused, or an OSError when the session broke. data: CRLF, no lone dots."""
        lines = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{r}>" for r in recipients), "DATA"]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n")
        for _ in lines[:-1]:
            await self.reply(250)
        await self.reply(354)
        self.writer.write(data + b".\r\n")
        return await self.reply(250)

    async def quit(self):
        self.writer.write(b"QUIT\r\n")
        await self.reply(221)
        self.close()

    def close(self):
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None


def text(subject, octets=600):
    """A small message with that subject."""
    body = ("%s " % subject * (octets // (len(subject) + 1) + 1))[:octets]
    lines = [body[i : i + 70] for i in range(0, len(body), 70)]
    head = f"From: a@load.example\r\nTo: b@example.org\r\nSubject: {subject}\r\n\r\n"
    return (head + "\r\n".join(lines) + "\r\n").encode()


def flood(port, messages, sessions, recipients, octets=600, prefix="m"):
    """Sends `messages` from `sessions` at once; every one must get its 250. recipients(n) for message n."""
    numbers = iter(range(messages))

    async def one():
        s = Sender(port)
        await s.open()
        for n in numbers:
            await s.send("load@load.example", recipients(n), text(f"{prefix}{n}", octets))
        await s.quit()

    async def everyone():
        await asyncio.gather(*(one() for _ in range(sessions)))

    asyncio.run(asyncio.wait_for(everyone(), 300))
