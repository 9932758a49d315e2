"""SCRAM's server side (RFC 5802, 7677) for peers of tests: as the RFC has it, or with one thing wrong."""

import base64
import hashlib
import hmac
import os


class Refused(Exception):
    pass


class Server:
    """feed(bytes) -> the next challenge; done: the client has proved that it knows the password. wrong: None, "rounds"
    (a number that would burn the client's CPU), "signature" (a server that does not know the password)."""

    def __init__(self, mechanism, users, binding=None, wrong=None, rounds=4096):
        self.hash = "sha256" if "256" in mechanism else "sha1"
        self.plus, self.users, self.binding, self.wrong = mechanism.endswith("-PLUS"), users, binding, wrong
        self.rounds = 4_000_000_000 if wrong == "rounds" else rounds
        self.step, self.done = 0, False

    def mac(self, key, text):
        return hmac.new(key, text, self.hash).digest()

    def feed(self, message):
        self.step += 1
        return self.first(message) if self.step == 1 else self.final(message)

    def first(self, message):
        flag, _, bare = message.partition(b",,")
        self.gs2 = flag + b",,"
        if self.plus != flag.startswith(b"p=") or self.plus and flag != b"p=tls-server-end-point":
            raise Refused(f"binding flag {flag}")
        self.bare = bare
        fields = dict(f.split(b"=", 1) for f in bare.split(b","))
        self.user = fields[b"n"].decode()
        self.nonce = fields[b"r"] + base64.b64encode(os.urandom(12))
        self.salt = os.urandom(12)
        self.server_first = b"r=%s,s=%s,i=%d" % (self.nonce, base64.b64encode(self.salt), self.rounds)
        return self.server_first

    def final(self, message):
        without, _, proof = message.rpartition(b",p=")
        fields = dict(f.split(b"=", 1) for f in without.split(b","))
        bound = self.gs2 + (self.binding or b"" if self.plus else b"")
        if fields[b"r"] != self.nonce or base64.b64decode(fields[b"c"]) != bound:
            raise Refused("nonce or channel binding")
        password = self.users.get(self.user, "").encode()
        salted = hashlib.pbkdf2_hmac(self.hash, password, self.salt, min(self.rounds, 10000))
        stored = hashlib.new(self.hash, self.mac(salted, b"Client Key")).digest()
        whole = self.bare + b"," + self.server_first + b"," + without
        key = bytes(a ^ b for a, b in zip(self.mac(stored, whole), base64.b64decode(proof)))
        if hashlib.new(self.hash, key).digest() != stored or not password:
            raise Refused("password")
        self.done = True
        signature = self.mac(self.mac(salted, b"Server Key"), whole)
        return b"v=" + base64.b64encode(b"x" * len(signature) if self.wrong == "signature" else signature)
