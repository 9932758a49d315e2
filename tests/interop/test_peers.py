"""To other people's servers: each gets the message octet for octet, and DSN and CHUNKING go through them and back."""

import email
import os
import smtplib

import pytest
from exim import exim_program
from load import text
from node import free_port, wait_until
from peers import Dovecot, Exim, NodeServer, OpenSMTPD, Sendmail
from postfix import Postfix

LONG = b"x" * 990
# What some servers add where it is missing.
HEAD = (b"From: ann@example.org\r\nDate: Sun, 22 Nov 2026 08:00:00 +0000\r\nMessage-ID: <1.2@example.org>\r\n"
        b"To: eve@far.example\r\n")
MESSAGES = {
    "plain": b"Subject: plain\r\n\r\nhello\r\n",
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n\r\n.\r\n",
    "eight-bit": "Subject: eight\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                 "Content-Transfer-Encoding: 8bit\r\n\r\nGrüße aus Köln €\r\n".encode(),
    "long-lines": b"Subject: long\r\n\r\n" + LONG + b"\r\n" + LONG + b"\r\n",
    "blanks": b"Subject: blanks\r\n\r\n  \r\n\t\r\ntrailing  \r\n\r\n\r\n",
    "from": b"Subject: from\r\n\r\nFrom me\r\n>From you\r\n",
    "large": b"Subject: large\r\n\r\n" + text("large", 3_000_000).split(b"\r\n\r\n", 1)[1],
}
MESSAGES = {name: HEAD + message for name, message in MESSAGES.items()}


@pytest.fixture
def peers(root):
    made = []

    def make(peer):
        made.append(peer)
        return peer.start()

    yield make
    for peer in made:
        peer.stop()


@pytest.fixture
def exim(peers):
    if not exim_program():
        pytest.skip("Exim's package cannot be downloaded")
    return lambda **values: peers(Exim(**values))


@pytest.fixture
def dovecot(peers):
    if not os.path.exists("/usr/lib/dovecot/lmtp"):
        pytest.skip("no dovecot-lmtpd")
    return lambda **values: peers(Dovecot(**values))


@pytest.fixture
def unpacked(peers):
    """A peer of a class that brings its own packages."""

    def make(peer, **values):
        if peer.missing():
            pytest.skip(f"{peer.__name__}'s packages cannot be had")
        return peers(peer(**values))

    return make


def route(domain, via):
    return f'route "{domain}" {{ via = "{via}" }}'


def sender(node, name="near", **values):
    more = values.pop("more", "")
    return node(name=name, more=more, queue='retry = {"1s"}', limits='message_size = "90M"', **values).start()


def hand_in(n, message, recipient, mail=(), rcpt=()):
    with smtplib.SMTP(n.host, n.port, "client.example", timeout=30) as s:
        s.ehlo()
        code, said = s.mail("ann@example.org", ["BODY=8BITMIME", *mail])
        assert code == 250, said
        code, said = s.rcpt(recipient, list(rcpt))
        assert code == 250, said
        code, said = s.data(message)
        assert code == 250, said


def check_octets(n, peer, user, domain, lf=True):
    for i, (name, message) in enumerate(MESSAGES.items()):
        hand_in(n, message, f"{user}@{domain}")
        found = peer.await_mail(user, i + 1)
        want = message.replace(b"\r\n", b"\n") if lf else message
        assert any(stored.replace(b"\r\n", b"\n" if lf else b"\r\n").endswith(want) for stored in found), name
    n.await_empty(20)


def test_exim__octet_for_octet(node, exim):
    peer = exim()
    n = sender(node, more=route("exim.example", f"smtp://127.0.0.1:{peer.port}"))
    check_octets(n, peer, "eve", "exim.example")
    assert "K" in peer.log()  # CHUNKING was used


def test_postfix__octet_for_octet(node, root):
    peer = Postfix().start()
    try:
        n = sender(node, more=route("postfix.example", f"smtp://127.0.0.1:{peer.port}"))
        for name, message in MESSAGES.items():
            user = f"user-{name}"
            hand_in(n, message, f"{user}@postfix.example")
            stored = peer.await_mail(user)[0]
            assert stored.endswith(message.replace(b"\r\n", b"\n")), name
        n.await_empty(20)
    finally:
        peer.stop()


@pytest.mark.parametrize("way", ["tcp", "unix"])
def test_dovecot_lmtp__octet_for_octet(node, dovecot, way):
    peer = dovecot()
    via = f"lmtp://127.0.0.1:{peer.lmtp}" if way == "tcp" else f"lmtp:unix:{peer.home}/lmtp"
    n = sender(node, more=route("dovecot.example", via))
    check_octets(n, peer, "eve", "dovecot.example")


def test_dovecot_lmtp__each_recipient_is_answered(node, dovecot):
    """RFC 2033 4.2."""
    peer = dovecot()
    n = sender(node, more=route("dovecot.example", f"lmtp://127.0.0.1:{peer.lmtp}"))
    with smtplib.SMTP(n.host, n.port, "client.example", timeout=30) as s:
        s.sendmail("ann@example.org", [f"u{i}@dovecot.example" for i in range(20)], text("many"))
    for i in range(20):
        peer.await_mail(f"u{i}")
    n.await_empty(20)
    assert len(n.events("delivered")) == 20


def test_dovecot_submission__hands_on_to_us(node, dovecot):
    n = sender(node)
    peer = dovecot(onward=n.port)
    with smtplib.SMTP("127.0.0.1", peer.submission, "client.example", timeout=30) as s:
        s.login("ann", "secret")
        s.sendmail("ann@example.org", ["bob@example.org"], MESSAGES["eight-bit"], ["BODY=8BITMIME"])
    assert n.await_mail("bob")[0].endswith(MESSAGES["eight-bit"].replace(b"\r\n", b"\n"))


UNPACKED = {OpenSMTPD: "opensmtpd.example", Sendmail: "sendmail.example"}


@pytest.mark.parametrize("kind", UNPACKED, ids=lambda k: k.__name__)
def test_unpacked__octet_for_octet(node, unpacked, kind):
    peer = unpacked(kind)
    n = sender(node, more=route(UNPACKED[kind], f"smtp://127.0.0.1:{peer.port}"))
    check_octets(n, peer, "eve", UNPACKED[kind])


@pytest.mark.parametrize("kind", UNPACKED, ids=lambda k: k.__name__)
def test_unpacked__hands_on_to_us(node, unpacked, kind):
    """What it relays to us is what it was given: dots, 8 bit, 990 octets a line."""
    n = sender(node)
    peer = unpacked(kind, onward=n.port)
    for name in ("plain", "dots", "eight-bit", "long-lines", "blanks", "large"):
        with smtplib.SMTP("127.0.0.1", peer.port, "client.example", timeout=60) as s:
            s.sendmail("ann@example.org", [f"to-{name}@example.org"], MESSAGES[name], ["BODY=8BITMIME"])
        stored = n.await_mail(f"to-{name}", seconds=60)[0]
        assert stored.endswith(MESSAGES[name].replace(b"\r\n", b"\n")), (name, stored[:2000])
        assert b"with ESMTP" in stored


def test_smtp_server__octet_for_octet(node, unpacked):
    """nodemailer's."""
    peer = unpacked(NodeServer)
    n = sender(node, more=route("node.example", f"smtp://127.0.0.1:{peer.port}"))
    check_octets(n, peer, "eve", "node.example", lf=False)


def test_postfix__hands_on_by_lmtp(node, root):
    """Its LMTP client, our LMTP listener: each of the recipients has its own reply (RFC 2033 4.2)."""
    port = free_port()
    n = sender(node, more=f'listener "lmtp" {{ role = lmtp  address = {{"127.0.0.1:{port}"}}  tls = none }}')
    peer = Postfix(f"default_transport = lmtp:inet:127.0.0.1:{port}\n")
    master = peer.home / "etc/master.cf"
    master.write_text(master.read_text() + "lmtp      unix - - n - - lmtp\n")
    peer.start()
    try:
        with smtplib.SMTP("127.0.0.1", peer.port, "client.example", timeout=30) as s:
            s.sendmail("ann@example.org", ["a@example.org", "nobody@foreign.example", "b@example.org"], MESSAGES["dots"])
        for user in ("a", "b"):
            stored = n.await_mail(user, seconds=60)[0]
            assert stored.endswith(MESSAGES["dots"].replace(b"\r\n", b"\n")) and b"with LMTP" in stored, stored
        wait_until(lambda: "status=bounced" in peer.log() and peer.log().count("status=sent") >= 2, 30, peer.log)
    finally:
        peer.stop()


def test_aiosmtpd__octet_for_octet(node):
    controller = pytest.importorskip("aiosmtpd.controller")

    class Box:
        def __init__(self):
            self.messages = []

        async def handle_DATA(self, server, session, envelope):
            self.messages.append(envelope.content)
            return "250 2.0.0 taken"

    box = Box()
    c = controller.Controller(box, hostname="127.0.0.1", port=free_port(), data_size_limit=50_000_000)
    c.start()
    try:
        n = sender(node, more=route("aio.example", f"smtp://127.0.0.1:{c.port}"))
        for i, (name, message) in enumerate(MESSAGES.items()):
            hand_in(n, message, "eve@aio.example")
            wait_until(lambda i=i: len(box.messages) > i, 20, n.log)
            assert box.messages[i].endswith(message), name
    finally:
        c.stop()


# ---- reports: through them and back ----


def await_report(n, user="ann", seconds=20):
    """The fields of the first report's recipients."""
    report = email.message_from_bytes(n.await_mail(user, seconds=seconds)[0])
    assert report.get_content_type() == "multipart/report", report.as_string()
    status = report.get_payload()[1]
    assert status.get_content_type() == "message/delivery-status"
    return status.get_payload()


WANTED = {"mail": ["RET=HDRS", "ENVID=QQ314159"], "rcpt": ["NOTIFY=SUCCESS", "ORCPT=rfc822;Eve+2B@x.example"]}


def check_report(parts, action, reporter):
    """Exim hands ORCPT back as it came, in xtext; ours is decoded (RFC 3464 2.3.1)."""
    assert parts[0]["Original-Envelope-Id"] == "QQ314159", parts[0].as_string()
    assert parts[0]["Reporting-MTA"].endswith(reporter)
    assert parts[1]["Original-Recipient"].replace(" ", "").lower() in ("rfc822;eve+@x.example", "rfc822;eve+2b@x.example")
    assert parts[1]["Action"].lower().startswith(action)


def test_dsn__ours_to_a_mailbox(node):
    n = sender(node)
    hand_in(n, MESSAGES["plain"], "eve@example.org", **WANTED)
    check_report(await_report(n), "delivered", "mx.example.org")


def test_dsn__relayed_to_a_peer_without(node, sink):
    s = sink()
    n = sender(node, more=route("far.example", f"smtp://127.0.0.1:{s.port}"))
    hand_in(n, MESSAGES["plain"], "eve@far.example", **WANTED)
    check_report(await_report(n), "relayed", "mx.example.org")


def test_dsn__exim_reports_delivery(node, exim):
    n = sender(node, more="")
    peer = exim(onward=n.port)
    n.write_config(more=route("exim.example", f"smtp://127.0.0.1:{peer.port}"))
    n.run("reload")
    hand_in(n, MESSAGES["plain"], "eve@exim.example", **WANTED)
    check_report(await_report(n), "delivered", "mx.exim.example")


def test_dsn__through_exim_and_back(node, exim):
    """Near sends to Exim, Exim to far, far reports to near: what the sender gave survives both ways."""
    near = sender(node)
    far = sender(node, name="far", domain="far.example", via=f'via = "smtp://127.0.0.1:{near.port}"')
    peer = exim(onward=far.port)
    near.write_config(more=route("far.example", f"smtp://127.0.0.1:{peer.port}"))
    near.run("reload")
    hand_in(near, MESSAGES["eight-bit"], "eve@far.example", **WANTED)
    assert far.await_mail("eve", domain="far.example")[0].endswith(MESSAGES["eight-bit"].replace(b"\r\n", b"\n"))
    check_report(await_report(near), "delivered", "mx.example.org")


def test_dsn__sendmail_reports_delivery(node, unpacked):
    n = sender(node)
    peer = unpacked(Sendmail, onward=n.port)
    n.write_config(more=route("sendmail.example", f"smtp://127.0.0.1:{peer.port}"))
    n.run("reload")
    hand_in(n, MESSAGES["plain"], "eve@sendmail.example", **WANTED)
    check_report(await_report(n, seconds=60), "delivered", "mx.sendmail.example")


def test_dsn__opensmtpd_reports_delivery(node, unpacked):
    """It reports in a form of its own (multipart/mixed, neither envelope id nor original recipient): that it knew what
    NOTIFY asked for is what reached it from us."""
    n = sender(node)
    peer = unpacked(OpenSMTPD, onward=n.port)
    n.write_config(more=route("opensmtpd.example", f"smtp://127.0.0.1:{peer.port}"))
    n.run("reload")
    hand_in(n, MESSAGES["plain"], "eve@opensmtpd.example", **WANTED)
    report = email.message_from_bytes(n.await_mail("ann", seconds=60)[0])
    fields = report.get_payload()[1].as_string()
    assert "Reporting-MTA: dns; mx.opensmtpd.example" in fields and "Action: delivered" in fields, fields


@pytest.mark.parametrize("kind", UNPACKED, ids=lambda k: k.__name__)
def test_dsn__through_unpacked_and_back(node, unpacked, kind):
    """Near sends to the peer, the peer to far, far reports to near."""
    near = sender(node)
    far = sender(node, name="far", domain="far.example", via=f'via = "smtp://127.0.0.1:{near.port}"')
    peer = unpacked(kind, onward=far.port)
    near.write_config(more=route("far.example", f"smtp://127.0.0.1:{peer.port}"))
    near.run("reload")
    hand_in(near, MESSAGES["eight-bit"], "eve@far.example", **WANTED)
    stored = far.await_mail("eve", domain="far.example", seconds=60)[0]
    assert stored.endswith(MESSAGES["eight-bit"].replace(b"\r\n", b"\n"))
    check_report(await_report(near, seconds=60), "delivered", "mx.example.org")


def test_dsn__through_postfix_and_back(node, root):
    near = sender(node)
    far = sender(node, name="far", domain="far.example", via=f'via = "smtp://127.0.0.1:{near.port}"')
    peer = Postfix(f"relayhost = [127.0.0.1]:{far.port}\n").start()
    try:
        near.write_config(more=route("far.example", f"smtp://127.0.0.1:{peer.port}"))
        near.run("reload")
        hand_in(near, MESSAGES["eight-bit"], "eve@far.example", **WANTED)
        stored = far.await_mail("eve", domain="far.example", seconds=60)[0]
        assert stored.endswith(MESSAGES["eight-bit"].replace(b"\r\n", b"\n"))
        check_report(await_report(near, seconds=60), "delivered", "mx.example.org")
    finally:
        peer.stop()


def test_dsn__postfix_reports_delivery(node, root):
    near = sender(node)
    peer = Postfix(f"relayhost = [127.0.0.1]:{near.port}\n").start()
    try:
        near.write_config(more=route("postfix.example", f"smtp://127.0.0.1:{peer.port}"))
        near.run("reload")
        hand_in(near, MESSAGES["plain"], "eve@postfix.example", **WANTED)
        check_report(await_report(near, seconds=60), "delivered", "mx.postfix.example")
    finally:
        peer.stop()


def test_dsn__failure_returns_the_whole_message(node, sink):
    s = sink(rule=lambda verb, argument: "550 5.1.1 no such user" if verb == "RCPT" else None)
    n = sender(node, more=route("far.example", f"smtp://127.0.0.1:{s.port}"))
    hand_in(n, MESSAGES["eight-bit"], "eve@far.example", ["RET=FULL"], [])
    report = email.message_from_bytes(n.await_mail("ann")[0])
    whole = report.get_payload()[2]
    assert whole.get_content_type() == "message/rfc822"
    assert whole.get_payload()[0]["Subject"] == "eight"
    assert whole.get_payload()[0].get_payload(decode=True).decode().endswith("Köln €\n")


def test_conversion__the_peer_without_8bitmime_gets_the_same_text(node, sink):
    """RFC 6152 3."""
    s = sink(extensions=("PIPELINING",))
    n = sender(node, more=route("far.example", f"smtp://127.0.0.1:{s.port}"))
    hand_in(n, MESSAGES["eight-bit"], "eve@far.example")
    wait_until(lambda: s.messages, 20, n.log)
    got = s.messages[0].data
    assert all(c < 128 for c in got)
    parsed = email.message_from_bytes(got)
    assert parsed["Content-Transfer-Encoding"] == "quoted-printable"
    assert parsed.get_payload(decode=True) == "Grüße aus Köln €\r\n".encode()




# ---- UTF-8 addresses and chunks: through them and back ----

UTF8_HEAD = HEAD.replace(b"From: ann@", "From: \u00e4nn@".encode()) + "Subject: Gr\u00fc\u00dfe\r\n\r\n".encode()


def hand_in_utf8(n, recipient, message):
    with smtplib.SMTP(n.host, n.port, "client.example", timeout=30) as s:
        s.command_encoding = "utf-8"
        s.ehlo()
        for line in ("MAIL FROM:<\u00e4nn@example.org> SMTPUTF8 BODY=8BITMIME ENVID=QQ1",
                     f"RCPT TO:<{recipient}> NOTIFY=SUCCESS"):
            code, said = s.docmd(line)
            assert code == 250, said
        assert s.data(message)[0] == 250


@pytest.mark.parametrize("kind", ["exim", "postfix"])
def test_smtputf8__through_and_back(node, exim, kind):
    """Near to the peer by BDAT, the peer to far: envelope and header in UTF-8 both times; the report finds a UTF-8 sender."""
    near = sender(node)
    far = sender(node, name="far", domain="far.example", via=f'via = "smtp://127.0.0.1:{near.port}"')
    if kind == "exim":
        peer = exim(onward=far.port)
    else:
        peer = Postfix(f"relayhost = [127.0.0.1]:{far.port}\nsmtputf8_enable = yes\n").start()
    try:
        near.write_config(more=route("far.example", f"smtp://127.0.0.1:{peer.port}"))
        near.run("reload")
        message = UTF8_HEAD + "aus K\u00f6ln\r\n.\r\n..\r\n".encode()
        hand_in_utf8(near, "j\u00fcrgen@far.example", message)
        stored = far.await_mail("j\u00fcrgen", domain="far.example", seconds=60)[0]
        assert stored.endswith(message.replace(b"\r\n", b"\n")), stored
        assert b"with UTF8SMTP" in stored.partition(b"by mx.example.org")[2].partition(b";")[0], stored
        report = near.await_mail("\u00e4nn", seconds=60)[0]
        assert b"Action: delivered" in report and "j\u00fcrgen@far.example".encode() in report, report
        if kind == "postfix":
            near.stop()  # the session ends, and Postfix says what was in it
            wait_until(lambda: " bdat=1 " in peer.log(), 20, peer.log)
        else:
            assert all(" K " in line for line in peer.log().splitlines() if "T=remote" in line), peer.log()
    finally:
        if kind == "postfix":
            peer.stop()


def test_chunks__of_a_large_message_through_exim_and_back(node, exim):
    """Many chunks each way (RFC 3030): what comes out is what went in, and nobody took DATA."""
    near = sender(node)
    far = sender(node, name="far", domain="far.example")
    peer = exim(onward=far.port)
    near.write_config(more=route("far.example", f"smtp://127.0.0.1:{peer.port}"))
    near.run("reload")
    hand_in(near, MESSAGES["large"], "eve@far.example")
    stored = far.await_mail("eve", domain="far.example", seconds=60)[0]
    assert stored.endswith(MESSAGES["large"].replace(b"\r\n", b"\n"))
    lines = [line for line in peer.log().splitlines() if " <= " in line or " => " in line]
    assert len(lines) == 2 and all(" K " in line for line in lines), lines


def test_dovecot_submission__by_chunks(node, dovecot):
    """It offers CHUNKING to clients; what comes so is handed on to us."""
    n = sender(node)
    peer = dovecot(onward=n.port)
    with smtplib.SMTP("127.0.0.1", peer.submission, "client.example", timeout=30) as s:
        s.ehlo()
        assert s.has_extn("chunking")
        s.login("ann", "secret")
        s.mail("ann@example.org", ["BODY=8BITMIME"])
        s.rcpt("bob@example.org")
        half = len(MESSAGES["dots"]) // 2
        for chunk, last in ((MESSAGES["dots"][:half], ""), (MESSAGES["dots"][half:], " LAST")):
            s.send(f"BDAT {len(chunk)}{last}\r\n".encode() + chunk)
            assert s.getreply()[0] == 250
    assert n.await_mail("bob")[0].endswith(MESSAGES["dots"].replace(b"\r\n", b"\n"))
