"""A certificate authority for tests, by the openssl command: roots, certificates of any age, OCSP responses."""

import pathlib
import subprocess

KINDS = {"rsa": ["-newkey", "rsa:2048"], "ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}


def openssl(*words, **more):
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60, **more)


class Authority:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root, self.key = self.folder / "root.pem", self.folder / "root.key"
        self.serial = 100
        openssl("req", "-x509", *KINDS["ec"], "-nodes", "-keyout", self.key, "-out", self.root, "-days", "30",
                "-subj", "/CN=Test Root", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                "-addext", "basicConstraints=critical,CA:TRUE")

    def issue(self, name, *more_names, kind="ec", days=20, file=None, use="serverAuth", extra="",
              **dates):
        """(certificate with its root behind it, key). begin, end: as openssl ca wants them, UTC."""
        file = file or f"{name}-{kind}"
        key, request, pem = (self.folder / f"{file}.{end}" for end in ("key", "csr", "pem"))
        openssl("req", "-new", *KINDS[kind], "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        names = ",".join(f"DNS:{n}" for n in (name, *more_names))
        (self.folder / "extensions").write_text(f"subjectAltName={names}\nextendedKeyUsage={use}\n{extra}")
        self.serial += 1
        if "end" in dates:
            self.issue_dated(request, pem, dates)
        else:
            openssl("x509", "-req", "-in", request, "-CA", self.root, "-CAkey", self.key, "-set_serial", self.serial,
                    "-days", days, "-extfile", self.folder / "extensions", "-out", pem)
        pem.write_bytes(pem.read_bytes() + self.root.read_bytes())
        key.chmod(0o600)
        return pem, key

    def issue_dated(self, request, pem, dates):
        (self.folder / "index.txt").write_text("")
        (self.folder / "serial").write_text(f"{self.serial:04X}\n")
        (self.folder / "ca.conf").write_text(
            f"[ca]\ndefault_ca=a\n[a]\ndatabase={self.folder}/index.txt\nserial={self.folder}/serial\n"
            f"new_certs_dir={self.folder}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-config", self.folder / "ca.conf", "-cert", self.root, "-keyfile", self.key,
                "-in", request, "-out", pem, "-notext", "-extfile", self.folder / "extensions",
                "-startdate", dates.get("begin", "20200101000000Z"), "-enddate", dates["end"])

    def staple(self, pem):
        """An OCSP response that says good."""
        serial = openssl("x509", "-in", pem, "-noout", "-serial").stdout.decode().strip().split("=")[1]
        index, out = self.folder / "ocsp-index.txt", self.folder / f"{serial}.ocsp"
        index.write_text(f"V\t491231235959Z\t\t{serial}\tunknown\t/CN=x\n")
        openssl("ocsp", "-index", index, "-rsigner", self.root, "-rkey", self.key, "-CA", self.root,
                "-issuer", self.root, "-cert", pem, "-respout", out, "-ndays", "5", "-noverify")
        return out
