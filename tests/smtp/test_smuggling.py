"""RFC 5321 2.3.8, 4.1.1.4: only CRLF.CRLF ends the data, and no second message is hidden inside one.

A matrix of every sequence of CR, LF, NUL and dot up to five octets that holds a dot: each stands in a body, followed by
commands that a server which took it for the end of the data would obey. The same octets come by BDAT, where nothing
ends a chunk but its size. What is taken, by leave or by right, goes to a next hop that looks at every octet."""

import itertools
import re
import socket
import threading
import time

import pytest
from dialogue import Client

ALPHABET = (b"\r", b"\n", b"\0", b".")
MATRIX = [
    b"".join(octets)
    for length in range(1, 6)
    for octets in itertools.product(ALPHABET, repeat=length)
    if b"." in octets
]
SMUGGLED = b"MAIL FROM:<smuggled@example.net>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n"
BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
END = b"\r\n.\r\n"


def test_matrix__is_large_enough():
    assert len(MATRIX) >= 200 and len(set(MATRIX)) == len(MATRIX)


def body(variant):
    return b"Subject: matrix\r\n\r\nbody" + variant + SMUGGLED


def begin(client, rcpt="who@any.example"):
    client.send(f"MAIL FROM:<a@example.net>\r\nRCPT TO:<{rcpt}>\r\nDATA\r\n".encode())
    client.expect(250)
    client.expect(250)
    client.expect(354)


@pytest.mark.parametrize("config, source", [("default", None), ("bare", "127.0.0.3")])
def test_data__nothing_but_crlf_dot_crlf_ends_it(servers, config, source):
    """One reply for one message, whatever it holds, strict and lenient alike."""
    with Client(servers(config), source) as c:
        c.hello()
        tried = 0
        for variant in MATRIX:
            text = body(variant)
            if END in text:  # a genuine end
                continue
            tried += 1
            begin(c)
            c.send(text + END)
            code, lines = c.reply()
            want = 250 if source or not BARE.search(text) else 554
            assert code == want, f"{variant!r}: {lines}"
            # The next reply is the next command's: nothing between was one.
            c.command("NOOP", 250, "2.0.0 Ok")
        assert tried >= 200, tried


def test_data__genuine_ends_are_ends(servers):
    """The other way round: what is the end is not overlooked; what follows are commands."""
    with Client(servers("default")) as c:
        c.hello()
        for variant in MATRIX:
            text = b"Subject: matrix\r\n\r\nbody" + variant
            if END not in text or not text.endswith(END):
                continue
            begin(c)
            c.send(text + b"NOOP\r\n")
            code, lines = c.reply()
            assert code == (250 if not BARE.search(text) else 554), f"{variant!r}: {lines}"
            c.expect(250, "2.0.0 Ok")


def test_bdat__only_the_size_ends_a_chunk(servers):
    with Client(servers("default")) as c:
        c.hello()
        for variant in MATRIX:
            text = body(variant)
            c.send(b"MAIL FROM:<a@example.net>\r\nRCPT TO:<who@any.example>\r\n")
            c.send(b"BDAT %d LAST\r\n%s" % (len(text), text))
            c.expect(250)
            c.expect(250)
            code, lines = c.reply()
            assert code == (554 if BARE.search(text) else 250), f"{variant!r}: {lines}"
            c.command("NOOP", 250, "2.0.0 Ok")


class Sink:
    """A next hop that keeps what it gets, octet by octet."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.bodies, self.commands = [], []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        buffer = b""

        def until(end):
            nonlocal buffer
            while end not in buffer:
                data = connection.recv(65536)
                if not data:
                    raise EOFError
                buffer += data
            part, buffer = buffer.split(end, 1)
            return part

        connection.sendall(b"220 sink.example ESMTP\r\n")
        try:
            while True:
                line = until(b"\r\n")
                self.commands.append(line)
                verb = line[:4].upper()
                if verb == b"EHLO":
                    connection.sendall(b"250-sink.example\r\n250-8BITMIME\r\n250 PIPELINING\r\n")
                elif verb == b"DATA":
                    connection.sendall(b"354 go on\r\n")
                    buffer = b"\r\n" + buffer  # the line that DATA ended
                    self.bodies.append(until(END)[2:] + b"\r\n")
                    connection.sendall(b"250 2.0.0 kept\r\n")
                else:
                    connection.sendall(b"250 2.0.0 ok\r\n")
        except (EOFError, OSError):
            connection.close()


def unstuffed(octets):
    return b"".join(line[1:] if line.startswith(b".") else line for line in octets.splitlines(keepends=True))


def test_emitted__never_a_bare_cr_or_lf_and_one_message_for_one(server):
    """What a lenient server took leaves with proper line ends, dots doubled, and as one message."""
    sink = Sink()
    s = server(limits='bare_newlines = {"127.0.0.2/32"}', via=f'via = "smtp://127.0.0.1:{sink.port}"').start()
    sent = {}
    with Client(s, "127.0.0.2") as c:
        c.hello()
        for number, variant in enumerate(MATRIX):
            text = f"X-Number: {number}\r\n\r\nbody".encode() + variant + SMUGGLED
            if END in text:
                continue
            begin(c, "joe@far.example")
            c.send(text + END)
            c.expect(250, "2.0.0 Accepted as")
            sent[number] = text
    end = time.monotonic() + 60
    while len(sink.bodies) < len(sent):
        assert time.monotonic() < end, f"want {len(sent)}, got {len(sink.bodies)}"
        time.sleep(0.05)
    for octets in sink.bodies:
        assert not BARE.search(octets), octets
        number = int(re.search(rb"^X-Number: (\d+)\r\n", unstuffed(octets), re.MULTILINE)[1])
        want = sent.pop(number)
        # The same text, whatever became of its line ends and of the dots that may have been transparency.
        plain, wanted = (
            re.sub(rb"[\r\n.]+", b"|", text.split(b"\r\n\r\n", 1)[1]) for text in (unstuffed(octets), want + b"\r\n")
        )
        assert plain == wanted, (number, want, octets)
    assert not sent
    assert not [line for line in sink.commands if b"smuggled" in line]
