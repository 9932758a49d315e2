"""A certificate authority of a test, by the openssl command: roots, and leaves with any names and dates."""

import hashlib
import pathlib
import subprocess


def openssl(*words, input=None):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, input=input, timeout=60)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


class Leaf:
    def __init__(self, cert, key, chain):
        self.cert, self.key, self.chain = cert, key, chain

    def der(self):
        return openssl("x509", "-in", self.cert, "-outform", "DER")

    def spki(self):
        pem = openssl("x509", "-in", self.cert, "-noout", "-pubkey")
        return openssl("pkey", "-pubin", "-outform", "DER", input=pem)

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
        stem = name.replace(" ", "-").lower()
        super().__init__(self.folder / f"{stem}.pem", self.folder / f"{stem}.key", None)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.cert,
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.count = 0

    def leaf(self, *names, ips=(), expired=False, cn=None):
        """A certificate for these DNS names and addresses; the chain file has leaf and root."""
        self.count += 1
        stem = self.folder / f"leaf{self.count}"
        key, csr, cert, ext, chain = (stem.with_suffix(s) for s in (".key", ".csr", ".pem", ".ext", ".chain"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                "-out", csr, "-subj", f"/CN={cn or (names[0] if names else 'nameless')}")
        alt = [f"DNS:{n}" for n in names] + [f"IP:{i}" for i in ips]
        ext.write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n" +
                       (f"subjectAltName={','.join(alt)}\n" if alt else ""))
        serial = ["-set_serial", str(1000 + self.count)]
        if expired:
            # x509 -req has no start date before 3.4: ca does.
            conf = stem.with_suffix(".cnf")
            (self.folder / "index.txt").write_text("")
            (self.folder / "serial").write_text("10\n")
            conf.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.folder}/index.txt\nserial={self.folder}/serial\n"
                            f"new_certs_dir={self.folder}\ndefault_md=sha256\npolicy=p\nunique_subject=no\n"
                            "copy_extensions=none\n[p]\ncommonName=supplied\n")
            openssl("ca", "-batch", "-config", conf, "-cert", self.cert, "-keyfile", self.key, "-in", csr,
                    "-out", cert, "-startdate", "200101000000Z", "-enddate", "200201000000Z", "-extfile", ext,
                    "-notext")
        else:
            openssl("x509", "-req", "-in", csr, "-CA", self.cert, "-CAkey", self.key, "-days", "20", "-out", cert,
                    "-extfile", ext, *serial)
        chain.write_bytes(cert.read_bytes() + self.cert.read_bytes())
        return Leaf(cert, key, chain)
