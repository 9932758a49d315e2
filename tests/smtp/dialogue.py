"""Plays a conversation with a server; README.md has the language."""

import fnmatch
import re
import socket
import ssl
import time

ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


def octets(text):
    """Escapes and repetitions of a C: or R: line."""
    text = re.sub(r"\{\{(.+?)\*(\d+)\}\}", lambda m: m[1] * int(m[2]), text)
    out = bytearray()
    i = 0
    while i < len(text):
        if text[i] != "\\" or i + 1 == len(text):
            out += text[i].encode()
            i += 1
        elif text[i + 1] == "x":
            out.append(int(text[i + 2 : i + 4], 16))
            i += 4
        else:
            out += ESCAPES[text[i + 1]]
            i += 2
    return bytes(out)


class Client:
    """One connection, read line by line."""

    def __init__(self, server, source=None, timeout=20, host=None):
        host, port = (server.host, server.second) if host == "second" else (host or server.host, server.port)
        path = {"submit": "data/submit", "unix": "lmtp.sock"}.get(host)
        if path:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(str(server.folder / path))
        else:
            self.socket = socket.create_connection(
                (host, port), timeout, source_address=(source, 0) if source else None
            )
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def start_tls(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        assert self.buffer == b"", f"said behind 220: {self.buffer!r}"
        self.socket = context.wrap_socket(self.socket)

    def line(self):
        while b"\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(f"closed by the server behind {self.buffer!r}")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        assert line.endswith(b"\r"), f"a reply line without CRLF: {line!r}"
        return line[:-1].decode("latin-1")

    def reply(self):
        """A whole reply: its code and its lines."""
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
            assert lines[-1][:3] == lines[0][:3], f"codes differ in one reply: {lines}"
        return int(lines[0][:3]), lines

    def expect(self, code, text=""):
        got, lines = self.reply()
        assert got == code and text in "\n".join(lines), f"want {code} {text}, got {lines}"
        return lines

    def command(self, line, code, text=""):
        self.send(line.encode() + b"\r\n")
        return self.expect(code, text)

    def hello(self, verb="EHLO"):
        self.expect(220)
        return self.command(f"{verb} client.example.net", 250)

    def mail(self, sender, rcpts, body):
        """A whole transaction; body ends up between 354 and the final dot."""
        self.command(f"MAIL FROM:<{sender}>", 250)
        for rcpt in rcpts:
            self.command(f"RCPT TO:<{rcpt}>", 250)
        self.command("DATA", 354)
        self.send(body + b".\r\n")
        return self.expect(250)[0]

    def expect_close(self):
        assert self.buffer == b"", f"want the end, got {self.buffer!r}"
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return
        assert data == b"", f"want the end, got {data!r}"

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Rule:
    """One section of a dialogue file."""

    def __init__(self, path, title):
        self.path, self.title = path, title
        self.config, self.source, self.host = "default", None, None
        self.steps = []

    def add(self, number, line):
        kind, _, rest = line.partition(" ")
        if kind == "@":
            key, _, value = rest.strip().partition(" ")
            setattr(self, {"config": "config", "from": "source", "host": "host"}[key], value.strip())
        else:
            self.steps.append((number, kind, rest))

    def play(self, server):
        with Client(server, self.source, host=self.host) as client:
            player = Player(client, server)
            for number, kind, rest in self.steps:
                try:
                    player.step(kind, rest)
                except (AssertionError, EOFError, OSError) as error:
                    raise AssertionError(f"{self.path.name}:{number}: {kind} {rest}\n  {error!r}") from error
            player.flush()
            player.check_mail()


class Player:
    def __init__(self, client, server):
        self.client, self.server = client, server
        self.out = b""
        self.user, self.wanted = None, []

    def flush(self):
        if self.out:
            self.client.send(self.out)
            self.out = b""

    def check_mail(self):
        """One message of the user's holds all the octets wanted."""
        if self.user is None:
            return
        end = time.monotonic() + 10
        while True:
            texts = [path.read_bytes() for path in self.server.mailbox(self.user)]
            if any(all(want in text for want in self.wanted) for text in texts):
                return
            assert time.monotonic() < end, f"want {self.wanted} in {texts[-1:]}"
            time.sleep(0.02)

    def step(self, kind, rest):
        if kind == "C:":
            self.out += octets(rest) + b"\r\n"
        elif kind == "R:":
            self.out += octets(rest)
        elif kind in ("BDAT:", "LAST:"):
            data = octets(rest)
            self.out += b"BDAT %d%s\r\n" % (len(data), b" LAST" * (kind == "LAST:")) + data
        elif kind == "B:":
            self.wanted.append(octets(rest))
        else:
            self.flush()
            self.receive(kind, rest)

    def receive(self, kind, rest):
        if kind == "S:":
            line = self.client.line()
            assert fnmatch.fnmatchcase(line, rest), f"want {rest!r}, got {line!r}"
        elif kind == "S+":
            code, *parts = (part.strip() for part in rest.split("|"))
            got, lines = self.client.reply()
            whole = "\n".join(lines)
            assert got == int(code), f"want {code}, got {lines}"
            for part in parts:
                if part.startswith("!"):
                    assert part[1:].strip() not in whole, f"want no {part[1:]!r} in {lines}"
                    continue
                assert part in whole, f"want {part!r} in {lines}"
        elif kind == "EHLO:":
            self.client.hello(rest.strip() or "EHLO")
        elif kind == "TLS:":
            self.client.start_tls()
        elif kind == "X:":
            self.client.expect_close()
        elif kind == "W:":
            time.sleep(float(rest))
        elif kind == "M:":
            self.user = rest.strip()
        else:
            raise AssertionError(f"unknown step {kind}")


def rules(path):
    """All sections of a file."""
    found, rule = [], None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("== "):
            rule = Rule(path, line[3:].strip())
            found.append(rule)
        elif line and not line.startswith("#"):
            rule.add(number, line)
    return found
