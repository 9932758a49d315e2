"""Postfix and Exim hand their mail in to us, with a login: through STARTTLS on 587 and TLS from the first octet on 465."""

import os
import smtplib

import pytest
from exim import Exim, exim_program
from node import wait_until
from postfix import Postfix
from test_submission import PASSWORD, USER, submission  # noqa: F401

MAIL = f"From: {USER}\nTo: {USER}\nSubject: {{}}\n\nhello\n"

EXIM_AUTH = """\
begin authenticators
client:
  public_name = {mechanism}
  {how}
"""
EXIM_HOW = {
    "PLAIN": f"driver = plaintext\n  client_send = ^{USER}^{PASSWORD}",
    "LOGIN": f"driver = plaintext\n  client_send = : {USER} : {PASSWORD}",
    "CRAM-MD5": f"driver = cram_md5\n  client_name = {USER}\n  client_secret = {PASSWORD}",
}


def received(n, count, mechanism):
    messages = n.await_mail("alice", count, domain="example.org", seconds=40)
    row = n.await_events("auth-ok", count)[-1]
    assert row["mechanism"] == mechanism and row["user"] == USER, row
    assert all(b"with ESMTPSA" in m and b"version=TLSv1.3" in m for m in messages), messages[-1][:800]


def by_postfix(n, mechanism, way):
    p = Postfix(services="tlsmgr unix - - n 1000? 1 tlsmgr\n")
    where = f"[127.0.0.1]:{n.ports[way]}"
    (p.home / "etc/logins").write_text(f"{where} {USER}:{PASSWORD}\n")
    (p.home / "etc/root.pem").write_bytes(n.ca.read_bytes())
    p.set(f"relayhost = {where}\nsmtp_tls_security_level = verify\nsmtp_tls_verify_cert_match = localhost\n"
          f"smtp_tls_CAfile = {p.home}/etc/root.pem\nsmtp_tls_loglevel = 1\n"
          f"smtp_tls_wrappermode = {'yes' if way == 'implicit' else 'no'}\n"
          f"smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = texthash:{p.home}/etc/logins\n"
          f"smtp_sasl_mechanism_filter = {mechanism}\nsmtp_sasl_tls_security_options = noanonymous\n")
    try:
        p.start()
        with smtplib.SMTP("127.0.0.1", p.port, timeout=20) as client:
            client.sendmail(USER, [USER], MAIL.format(mechanism))
        wait_until(lambda: "status=sent" in p.log(), 40, lambda: p.log()[-3000:])
        assert "Verified TLS connection established" in p.log(), p.log()[-3000:]
    finally:
        p.stop()


def by_exim(n, mechanism, way):
    e = Exim(n.ports[way], settings="  hosts_require_tls = *\n  hosts_require_auth = *\n  tls_verify_hosts = *\n"
             f"  tls_verify_cert_hostnames =\n  tls_verify_certificates = {n.ca}\n"
             + ("  protocol = smtps" if way == "implicit" else ""),
             more=EXIM_AUTH.format(mechanism=mechanism, how=EXIM_HOW[mechanism]))
    try:
        text = MAIL.format(mechanism)
        e.send(f"EHLO a.example\nMAIL FROM:<{USER}>\nRCPT TO:<{USER}>\nDATA\n{text}.\nQUIT\n")
        assert " A=client" in e.log() and " CV=yes" in e.log(), e.log()
    finally:
        e.remove()


CASES = [("postfix", by_postfix, ["PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256"]), ("exim", by_exim, ["PLAIN", "LOGIN"])]


def hand_in(n, name, send, mechanisms):
    if name == "exim" and not exim_program():
        pytest.skip("Exim's package cannot be downloaded")
    if name == "postfix" and not os.path.exists("/usr/sbin/postfix"):
        pytest.skip("no postfix")
    # Exim reads what it trusts as somebody else.
    for folder in (n.folder, *n.folder.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o111)
    count = 0
    for mechanism in mechanisms:
        for way in n.ports:
            send(n, mechanism, way)
            count += 1
            received(n, count, mechanism)


@pytest.mark.parametrize(("name", "send", "mechanisms"), CASES, ids=[c[0] for c in CASES])
def test_server_hands_mail_in(submission, root, name, send, mechanisms):  # noqa: F811
    hand_in(submission(), name, send, mechanisms)


@pytest.mark.parametrize(("name", "send"), [c[:2] for c in CASES], ids=[c[0] for c in CASES])
def test_server_hands_mail_in_by_cram_md5(submission, root, name, send):  # noqa: F811
    hand_in(submission('auth { mechanisms = {"CRAM-MD5", "PLAIN"} }\n', ["--reversible"]), name, send, ["CRAM-MD5"])
