"""What real clients send arrives octet for octet: in a Maildir here, through a relay in a second Postrider,
and in Debian's Postfix as next hop. One message goes to all three."""

import email
import email.policy
import os
import random
import re
from email.message import EmailMessage

import clients
import pytest
from node import Node
from postfix import Postfix

SENDER = "sender@client.example"


def plain():
    return (b"From: <sender@client.example>\nTo: <all@example.org>\nDate: Sun, 22 Nov 2026 10:00:00 +0000\n"
            b"Message-ID: <plain@client.example>\nSubject: plain\n\nOne line.\n.\n..two dots\n.leading dot\n\n \n\n"
            b"tab\there, trailing space \nlast line\n")


def utf8():
    return ("From: J\u00fcrgen <sender@client.example>\nTo: <all@example.org>\n"
            "Date: Sun, 22 Nov 2026 10:00:00 +0000\nMessage-ID: <utf8@client.example>\n"
            "Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: 8bit\n\nGr\u00fc\u00dfe, \u4f60\u597d, \U0001f4ec\n").replace("J\u00fcrgen", "Juergen").encode()


def attachment(octets=300_000):
    m = EmailMessage(policy=email.policy.SMTP.clone(linesep="\n"))
    m["From"], m["To"], m["Subject"] = SENDER, "all@example.org", "attached"
    m["Date"], m["Message-ID"] = "Sun, 22 Nov 2026 10:00:00 +0000", f"<{octets}@client.example>"
    m.set_content("See the attachment.\n")
    m.add_attachment(random.Random(octets).randbytes(octets), "application", "octet-stream", filename="random.bin")
    return m.as_bytes()


def large():
    """20 MiB on the wire."""
    return attachment(15_600_000)


KINDS = {"plain": plain, "utf8": utf8, "attachment": attachment, "large": large}


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """near relays: far.example to a second Postrider, postfix.example to Postfix."""
    folder = tmp_path_factory.mktemp("chain")
    postfix = Postfix().start() if os.geteuid() == 0 else None
    far = Node(folder / "far", name="far.example", domain="far.example").start()
    routes = f'route "postfix.example" {{ via = "smtp://127.0.0.1:{postfix.port}" }}' if postfix else ""
    near = Node(folder / "near", name="near.example", domain="near.example", more=routes,
                via=f'via = "smtp://127.0.0.1:{far.port}"').start()
    yield near, far, postfix
    for n in (near, far):
        assert n.stop() == 0
        n.check_log()
        n.forget()
    if postfix:
        postfix.stop()


def split_trace(stored, raw, hops, also=()):
    """Only trace fields were put before the message, and nothing was changed or put after it."""
    assert len(stored) >= len(raw) and stored[len(stored) - len(raw):] == raw, (len(stored), len(raw), stored[:600])
    head = stored[: len(stored) - len(raw)].decode()
    fields = [line.partition(":")[0] for line in head.splitlines() if line[:1] not in " \t"]
    fields = [f for f in fields if f not in also]
    assert fields == ["Return-Path", "Delivered-To"] + ["Received"] * hops, head
    assert head.startswith(f"Return-Path: <{SENDER}>\n")
    return head


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", clients.CLIENTS, ids=lambda c: c.__name__)
def test_client__arrives_octet_for_octet(chain, tmp_path, client, kind):
    if clients.missing(client):
        pytest.skip(f"{client.__name__} is not installed")
    near, far, postfix = chain
    raw = KINDS[kind]()
    path = tmp_path / "message"
    path.write_bytes(raw)
    user = f"{client.__name__}-{kind}"
    recipients = [f"{user}@near.example", f"{user}@far.example"] + ([f"{user}@postfix.example"] if postfix else [])
    client(near.port, SENDER, recipients, path)
    (stored,) = near.await_mail(user)
    head = split_trace(stored, raw, hops=1)
    assert f"from {client.__name__}.example" in head.replace("node.example", "nodemailer.example") and "ESMTP" in head
    assert " for " not in head  # several recipients: none is told of the others
    (stored,) = far.await_mail(user, seconds=20)
    split_trace(stored, raw, hops=2)
    if postfix:
        (stored,) = postfix.await_mail(user)
        split_trace(stored, raw, hops=2, also=("X-Original-To",))


def test_nodemailer__its_own_message_reads_back(chain):
    if clients.missing(clients.nodemailer):
        pytest.skip("node is not installed")
    near, far, _ = chain
    clients.nodemailer(near.port, SENDER, ["composed@far.example"], "--compose")
    (stored,) = far.await_mail("composed")
    m = email.message_from_bytes(stored, policy=email.policy.default)
    assert m["Subject"] == "Gr\u00fc\u00dfe aus K\u00f6ln"
    assert m.get_body().get_content() == "Zeile eins\n.\n..zwei\n"
    (part,) = m.iter_attachments()
    assert part.get_content() == bytes(n % 256 for n in range(5000))


def test_received__one_recipient_is_named(chain):
    near, far, _ = chain
    clients.python(near.port, SENDER, ["single@far.example"], write_plain(near))
    (stored,) = far.await_mail("single")
    received = re.findall(rb"^Received: .*(?:\n[ \t].*)*", stored, re.MULTILINE)
    assert len(received) == 2 and all(b"for <single@far.example>" in r for r in received), stored[:900]
    assert b"by far.example" in received[0] and b"by near.example" in received[1]


def write_plain(near):
    path = near.folder / "plain"
    path.write_bytes(plain())
    return path
