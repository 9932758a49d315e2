"""Where private keys are: in the memory of the keys process, and in no receiver's."""

import os
import pathlib
import re
import signal
import smtplib
import ssl
import threading
import time

import pytest
from authority import openssl
from node import PROGRAM, wait_until
from test_tls import authority, s_client, settings  # noqa: F401


def secrets_of(key):
    """Octets that only the holder of the key has, in both orders (OpenSSL keeps numbers little-endian)."""
    text = openssl("pkey", "-in", key, "-noout", "-text").decode()
    found = re.findall(r"(?:prime1|prime2|priv):\s*((?:\s*[0-9a-f:]+\n)+)", text)
    octets = [bytes.fromhex(re.sub(r"[\s:]", "", one)).lstrip(b"\0") for one in found]
    assert octets and all(len(one) >= 31 for one in octets), text
    return [one for o in octets for one in (o[-31:], o[::-1][:31])]


def memory_of(pid):
    """All that the process can read and write."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            start, end = (int(word, 16) for word in span.split("-"))
            if not rights.startswith("rw") or "[vvar" in line:
                continue
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except (OSError, ValueError):
                continue


def holds(pid, secrets):
    return any(secret in block for block in memory_of(pid) for secret in secrets)


@pytest.mark.skipif("asan" in str(PROGRAM), reason="a sanitized process maps terabytes of shadow, and keeps what was freed")
def test_keys__are_in_the_keys_process_and_nowhere_else(node, authority, root):  # noqa: F811
    pairs = [authority.issue("mx.example.org", kind=kind) for kind in ("rsa", "ec")]
    for place in ("process", "receiver"):
        n = node(place, more=settings(authority, *pairs, keys=place)).start()
        for _ in range(8):
            s_client(n.port)
            s_client(n.port, "-sigalgs", "RSA-PSS+SHA256")
        for kind, (_, key) in zip(("rsa", "ec"), pairs, strict=True):
            secrets = secrets_of(key)
            receivers = [holds(pid, secrets) for pid in n.children("receiver")]
            # The second place shows that the search would find them.
            assert receivers and all(found == (place == "receiver") for found in receivers), (place, kind, receivers)
            assert all(holds(pid, secrets) for pid in n.children("keys")), (place, kind)
            if place == "process":
                others = set(n.children()) - set(n.children("keys"))
                assert not any(holds(pid, secrets) for pid in others), kind
                assert not holds(n.process.pid, secrets), kind


def test_keys_process__is_killed(node, authority):  # noqa: F811
    n = node(more=settings(authority, authority.issue("mx.example.org", kind="rsa"))).start()
    n.deaths_expected = True
    context = ssl.create_default_context(cafile=str(authority.cert))
    context.check_hostname = False
    done, failed, stop = [], [], threading.Event()

    def submit():
        while not stop.is_set():
            try:
                with smtplib.SMTP("localhost", n.port, timeout=20) as client:
                    client.starttls(context=context)
                    client.ehlo()
                    done.append(time.monotonic())
            except (OSError, ssl.SSLError, smtplib.SMTPException) as error:
                failed.append(error)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.5)
        victims = n.children("keys")
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        wait_until(lambda killed=killed: sum(t > killed for t in done) > 10, 20)
    stop.set()
    for thread in threads:
        thread.join()
    assert done and len(failed) < len(done), (len(done), failed[:3])
