"""What other servers ask for by extensions when they hand us mail: DSN, CHUNKING, PRDR, SMTPUTF8."""

import subprocess

import pytest
from exim import Exim, exim_program
from node import wait_until
from postfix import Postfix

# The senders' domain is ours, too, so that reports find their way back.
SENDERS = 'domain "client.example" { users = "any"  deliver = "maildir:mail/{domain}/{local}" }'

BY_EXIM = """\
EHLO client.example
MAIL FROM:<exim@client.example> RET=HDRS ENVID=QQ1+20x SMTPUTF8
RCPT TO:<a@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Orig+2Bx@example.org
RCPT TO:<b@example.org> NOTIFY=NEVER
DATA
Subject: by exim

..dot at the start
last line
.
QUIT
"""


@pytest.fixture
def exim(node, root):
    if not exim_program():
        pytest.skip("Exim's package cannot be downloaded")
    server = node(more=SENDERS).start()
    client = Exim(server.port)
    yield server, client
    client.remove()


def test_exim__sends_by_bdat_and_prdr_and_gets_the_report_it_asked_for(exim):
    server, client = exim
    client.send(BY_EXIM)
    (stored,) = server.await_mail("a")
    server.await_mail("b")
    assert stored.endswith(b"\n\n.dot at the start\nlast line\n"), stored
    assert b"with UTF8SMTP" in stored

    def lines():
        return [line for line in client.log().splitlines() if " T=smtp " in line]

    # K: by BDAT; PRDR: one reply for each recipient.
    wait_until(lambda: len(lines()) == 2, 10, client.log)
    sent = lines()
    assert all(" PRDR " in line and " K " in line for line in sent), client.log()
    (report,) = server.await_mail("exim", domain="client.example", seconds=20)
    for field in (b"Original-Envelope-Id: QQ1 x\n", b"Original-Recipient: rfc822;", b"Action: delivered\n"):
        assert field in report, report
    assert b"b@example.org" not in report  # NOTIFY=NEVER


def postfix_sendmail(postfix, sender, recipient, words=(), text="Subject: by postfix\n\nbody\n"):
    done = subprocess.run(["/usr/sbin/sendmail", "-C", str(postfix.home / "etc"), "-f", sender, *words, recipient],
                          input=text.encode(), capture_output=True, timeout=60)
    assert done.returncode == 0, (done, postfix.log())


@pytest.fixture
def postfix(node, root):
    server = node(more=SENDERS).start()
    made = Postfix(f"relayhost = [127.0.0.1]:{server.port}\nvirtual_mailbox_domains =\nsmtputf8_enable = yes\n").start()
    yield server, made
    made.stop()


def test_postfix__asks_for_a_report_and_gets_it(postfix):
    server, client = postfix
    postfix_sendmail(client, "pf@client.example", "a@example.org", ["-N", "success", "-V", "env-17", "-R", "hdrs"])
    server.await_mail("a")
    (report,) = server.await_mail("pf", domain="client.example", seconds=20)
    for field in (b"Original-Envelope-Id: env-17\n", b"Original-Recipient: rfc822;", b"Action: delivered\n"):
        assert field in report, report


def test_postfix__sends_to_a_non_ascii_address(postfix):
    server, client = postfix
    postfix_sendmail(client, "pf@client.example", "j\u00fcrgen@example.org")
    found = wait_until(lambda: server.mailbox("j\u00fcrgen"), 20, lambda: client.log()[-3000:] + server.log()[-3000:])
    assert b"with UTF8SMTP" in found[0].read_bytes()
