"""A certificate authority of a test, by the openssl command: roots, certificates of any names, kind and age, TLSA records,
OCSP responses."""

import hashlib
import pathlib
import subprocess

KINDS = {"ed25519": ["-newkey", "ed25519"], "rsa": ["-newkey", "rsa:2048"], "ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}
LONG_AGO = ("20200101000000Z", "20200201000000Z")


def openssl(*words, input=None):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, input=input, timeout=60)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


class Leaf:
    """cert alone, chain with its root behind it. Unpacks to what a server is configured with: chain, key."""

    def __init__(self, cert, key, chain):
        self.cert, self.key, self.chain = cert, key, chain

    def __iter__(self):
        return iter((self.chain, self.key))

    def der(self):
        return openssl("x509", "-in", self.cert, "-outform", "DER")

    def spki(self):
        pem = openssl("x509", "-in", self.cert, "-noout", "-pubkey")
        return openssl("pkey", "-pubin", "-outform", "DER", input=pem)

    def serial(self):
        return openssl("x509", "-in", self.cert, "-noout", "-serial").decode().strip().split("=")[1]

    def fingerprint(self):
        return hashlib.sha256(self.der()).hexdigest()

    def tlsa(self, usage=3, selector=1, matching=1):
        """The record's text, for this certificate."""
        data = self.spki() if selector == 1 else self.der()
        data = {0: data, 1: hashlib.sha256(data).digest(), 2: hashlib.sha512(data).digest()}[matching]
        return f"{usage} {selector} {matching} {data.hex()}"


class Authority(Leaf):
    def __init__(self, folder, name="Test Root"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        stem = self.folder / name.replace(" ", "-").lower()
        super().__init__(stem.with_suffix(".pem"), stem.with_suffix(".key"), stem.with_suffix(".pem"))
        openssl("req", "-x509", *KINDS["ec"], "-nodes", "-days", "30", "-subj", f"/CN={name}", "-keyout", self.key,
                "-out", self.cert, "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.count = 100

    def issue(self, *names, ips=(), kind="ec", file=None, cn=None, use="serverAuth", days=20, begin=None, end=None,
              expired=False):
        """A certificate for these DNS names and addresses. file: its files' name, else one that no other has; begin, end:
        as openssl ca wants them, UTC."""
        self.count += 1
        stem = file or f"leaf{self.count}"
        key, csr, cert, ext, chain = (self.folder / f"{stem}.{s}" for s in ("key", "csr", "pem", "ext", "chain"))
        openssl("req", "-new", *KINDS[kind], "-nodes", "-keyout", key, "-out", csr,
                "-subj", f"/CN={cn or (names[0] if names else 'nameless')}")
        alt = ",".join([f"DNS:{n}" for n in names] + [f"IP:{i}" for i in ips])
        ext.write_text(f"basicConstraints=CA:FALSE\nextendedKeyUsage={use}\n" +
                       (f"subjectAltName={alt}\n" if alt else ""))
        if expired:
            begin, end = LONG_AGO
        if end:
            self.sign_dated(csr, cert, ext, begin or LONG_AGO[0], end)
        else:
            openssl("x509", "-req", "-in", csr, "-CA", self.cert, "-CAkey", self.key, "-set_serial", self.count,
                    "-days", days, "-extfile", ext, "-out", cert)
        chain.write_bytes(cert.read_bytes() + self.cert.read_bytes())
        key.chmod(0o600)
        return Leaf(cert, key, chain)

    def sign_dated(self, csr, cert, ext, begin, end):
        """x509 -req has no start date before 3.4: ca does."""
        (self.folder / "index.txt").write_text("")
        (self.folder / "serial").write_text(f"{self.count:04X}\n")
        conf = self.folder / "ca.conf"
        conf.write_text(f"[ca]\ndefault_ca=a\n[a]\ndatabase={self.folder}/index.txt\nserial={self.folder}/serial\n"
                        f"new_certs_dir={self.folder}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-config", conf, "-cert", self.cert, "-keyfile", self.key, "-in", csr, "-out", cert,
                "-notext", "-extfile", ext, "-startdate", begin, "-enddate", end)

    def staple(self, leaf):
        """An OCSP response that says good."""
        serial = leaf.serial()
        index, out = self.folder / "ocsp-index.txt", self.folder / f"{serial}.ocsp"
        index.write_text(f"V\t491231235959Z\t\t{serial}\tunknown\t/CN=x\n")
        openssl("ocsp", "-index", index, "-rsigner", self.cert, "-rkey", self.key, "-CA", self.cert,
                "-issuer", self.cert, "-cert", leaf.cert, "-respout", out, "-ndays", "5", "-noverify")
        return out
