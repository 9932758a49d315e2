"""A SCRAM client (RFC 5802, 7677) of our own, for what no library at hand can do: any channel binding."""

import base64
import hashlib
import hmac
import os


class Scram:
    def __init__(self, name, password, digest="sha256", flag="n", binding=b"", nonce=None):
        self.name, self.password, self.digest = name, password.encode(), digest
        self.header, self.binding = f"{flag},,".encode(), binding
        self.nonce = nonce or base64.b64encode(os.urandom(18)).decode()
        self.bare = f"n={name.replace('=', '=3D').replace(',', '=2C')},r={self.nonce}".encode()

    def first(self):
        return self.header + self.bare

    def hmac(self, key, text):
        return hmac.new(key, text, self.digest).digest()

    def final(self, challenge):
        """The answer to the server's first message."""
        fields = dict(part.split("=", 1) for part in challenge.decode().split(","))
        assert fields["r"].startswith(self.nonce), challenge
        self.salt, self.iterations = fields["s"], int(fields["i"])
        salted = hashlib.pbkdf2_hmac(self.digest, self.password, base64.b64decode(self.salt), self.iterations)
        client = self.hmac(salted, b"Client Key")
        bound = base64.b64encode(self.header + self.binding).decode()
        without = f"c={bound},r={fields['r']}".encode()
        message = self.bare + b"," + challenge + b"," + without
        signature = self.hmac(hashlib.new(self.digest, client).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client, signature, strict=True))
        self.expected = self.hmac(self.hmac(salted, b"Server Key"), message)
        return without + b",p=" + base64.b64encode(proof)

    def check(self, answer):
        assert answer == b"v=" + base64.b64encode(self.expected), answer
