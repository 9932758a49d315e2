"""A next hop with TLS and AUTH, as good or as bad as a test wants."""

import base64
import hmac
import contextlib
import hashlib
import socket
import ssl
import threading

import scram_server
from node import free_port


class TlsPeer:
    """starttls: True, False (not offered), "refuse" (454), "break" (garbage instead of a handshake), "inject" (replies
    in clear text behind its 220), "drop". leaf: authority.Leaf. users: {name: password} for AUTH; wrong: as
    scram_server.Server has it."""

    def __init__(self, leaf=None, starttls=True, implicit=False, users=None, keywords=(), mechanisms="PLAIN LOGIN",
                 host="127.0.0.1", port=None, rule=None, greeting="220 peer.example ESMTP", tls12=False,
                 name="peer.example", wrong=None, last_with_235=False):
        self.wrong, self.last_with_235, self.bound = wrong, last_with_235, 0
        self.leaf, self.starttls, self.implicit = leaf, starttls, implicit
        self.users, self.keywords, self.mechanisms = users, list(keywords), mechanisms
        self.host, self.rule, self.greeting, self.name = host, rule, greeting, name
        self.port = port or free_port()
        self.messages, self.commands, self.connections, self.handshakes, self.resumed = [], [], 0, 0, 0
        self.sni, self.errors, self.ends = [], [], []
        self.context = None
        if leaf:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(leaf.chain or leaf.cert, leaf.key)
            self.context.sni_callback = lambda sock, name, context: self.sni.append(name)
            if tls12:
                self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, self.port), family=family, backlog=50)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def stop(self):
        self.listener.close()

    def wrap(self, conn):
        conn = self.context.wrap_socket(conn, server_side=True, suppress_ragged_eofs=False)
        self.handshakes += 1
        self.resumed += conn.session_reused
        return conn

    def serve(self, conn):
        conn.settimeout(20)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(lambda: conn.close())
            try:
                if self.implicit:
                    conn = self.wrap(conn)
                conn = self.talk(conn)
            except ssl.SSLError as e:
                self.errors.append(str(e))

    def talk(self, conn):
        secure = self.implicit
        f = conn.makefile("rwb")

        def say(text):
            f.write(text.encode() + b"\r\n")
            f.flush()

        say(self.greeting)
        if not self.greeting.startswith("220"):
            return conn
        sender, rcpts = "", []
        while line := f.readline():
            text = line.decode("latin-1").rstrip("\r\n")
            verb, _, rest = text.partition(" ")
            verb = verb.upper()
            self.commands.append(("tls " if secure else "") + text)
            answer = self.rule(verb, rest) if self.rule else None
            if answer:
                say(answer)
                if answer.startswith("421"):
                    return conn
            elif verb in ("EHLO", "LHLO"):
                words = ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"]
                words += ["STARTTLS"] if self.starttls and not secure else []
                words += [f"AUTH {self.mechanisms}"] if self.users else []
                words += self.keywords if secure else []
                for word in [self.name, *words[:-1]]:
                    f.write(f"250-{word}\r\n".encode())
                say(f"250 {words[-1]}")
            elif verb == "STARTTLS":
                if self.starttls == "refuse":
                    say("454 4.7.0 TLS not available")
                    continue
                if self.starttls == "inject":
                    f.write(b"220 go\r\n250 injected\r\n")
                    f.flush()
                else:
                    say("220 go")
                if self.starttls == "break":
                    conn.sendall(b"this is no TLS at all\r\n" * 10)
                    return conn
                if self.starttls == "drop":
                    return conn
                conn = self.wrap(conn)
                secure = True
                f = conn.makefile("rwb")
            elif verb == "AUTH":
                say(self.login(f, rest, say, conn if secure else None) or "535 5.7.8 wrong name or password")
            elif verb == "MAIL":
                sender, rcpts = rest, []
                say("250 2.1.0 ok")
            elif verb == "RCPT":
                rcpts.append(rest)
                say("250 2.1.5 ok")
            elif verb == "DATA":
                say("354 go")
                body = b""
                while (row := f.readline()) not in (b".\r\n", b""):
                    body += row
                self.messages.append({"from": sender, "to": rcpts, "body": body, "tls": secure,
                                      "version": conn.version() if secure else None})
                say("250 2.0.0 taken")
            elif verb == "QUIT":
                say("221 bye")
                if secure:  # how the other side ends: close_notify, or a cut
                    try:
                        self.ends.append("close_notify" if conn.recv(10) == b"" else "octets")
                    except OSError as e:
                        self.ends.append(repr(e))
                return conn
            else:
                say("250 ok")
        return conn

    def scram(self, f, mechanism, initial, say, conn):
        """The 235, or None."""
        # tls-server-end-point (RFC 5929 4.1): what Python's ssl can say of TLS 1.2.
        binding = hashlib.sha256(self.leaf.der()).digest() if conn and mechanism.endswith("-PLUS") else None
        server = scram_server.Server(mechanism, self.users, binding, self.wrong)
        try:
            say("334 " + base64.b64encode(server.feed(base64.b64decode(initial))).decode())
            last = base64.b64encode(server.feed(base64.b64decode(f.readline().strip()))).decode()
        except (scram_server.Refused, ValueError, KeyError) as e:
            self.errors.append(str(e))
            return None
        self.bound += binding is not None
        if self.last_with_235:
            return f"235 {last}"
        say("334 " + last)
        return "235 2.7.0 welcome" if f.readline().strip() == b"" else None

    def login(self, f, rest, say, conn):
        mechanism, _, initial = rest.partition(" ")
        read = lambda: base64.b64decode(f.readline().strip())
        if mechanism.startswith("SCRAM-"):
            return self.scram(f, mechanism, initial, say, conn)
        if mechanism == "CRAM-MD5":
            challenge = b"<%d.1@peer.example>" % id(f)
            say("334 " + base64.b64encode(challenge).decode())
            user, _, digest = read().decode().partition(" ")
            want = hmac.new(self.users.get(user, "").encode(), challenge, "md5").hexdigest()
            return "235 2.7.0 welcome" if digest == want and user in self.users else None
        if mechanism == "PLAIN":
            if not initial:
                say("334 ")
            _, user, password = (base64.b64decode(initial) if initial else read()).split(b"\0")
        else:
            say("334 VXNlcm5hbWU6")
            user = read()
            say("334 UGFzc3dvcmQ6")
            password = read()
        return "235 2.7.0 welcome" if self.users.get(user.decode()) == password.decode() else None
