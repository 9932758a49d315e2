"""The clients that people have, each told to send one ready-made message (LF line ends) as it is."""

import pathlib
import shutil
import smtplib
import subprocess

HERE = pathlib.Path(__file__).parent


def run(words, **kw):
    done = subprocess.run(words, capture_output=True, timeout=120, **kw)
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])


def swaks(port, sender, recipients, path):
    # It puts a line end of its own after the data.
    trimmed = pathlib.Path(f"{path}.swaks")
    trimmed.write_bytes(pathlib.Path(path).read_bytes().removesuffix(b"\n"))
    run(["swaks", "--server", f"127.0.0.1:{port}", "--helo", "swaks.example", "--from", sender, "--to",
         ",".join(recipients), "--data", f"@{trimmed}", "--suppress-data", "--timeout", "60"])


def msmtp(port, sender, recipients, path):
    with open(path, "rb") as f:
        run(["msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={port}", "--domain=msmtp.example", "--tls=off",
             "--auth=off", f"--from={sender}", "--", *recipients], stdin=f)


def curl(port, sender, recipients, path):
    to = [word for r in recipients for word in ("--mail-rcpt", r)]
    run(["curl", "-sS", "--crlf", f"smtp://127.0.0.1:{port}/curl.example", "--mail-from", sender, *to, "--upload-file",
         str(path)])


def python(port, sender, recipients, path):
    with smtplib.SMTP("127.0.0.1", port, "python.example", timeout=60) as s:
        refused = s.sendmail(sender, recipients, pathlib.Path(path).read_bytes().replace(b"\n", b"\r\n"), ["BODY=8BITMIME"])
        assert refused == {}


def nodemailer(port, sender, recipients, path):
    run(["node", str(HERE / "nodemailer.js"), str(port), sender, ",".join(recipients), str(path)])


CLIENTS = [swaks, msmtp, curl, python, nodemailer]
PROGRAMS = {swaks: "swaks", msmtp: "msmtp", curl: "curl", nodemailer: "node"}


def missing(client):
    program = PROGRAMS.get(client)
    return program and not shutil.which(program)
