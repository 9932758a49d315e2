"""A certificate of ours shown to smart hosts: to Postfix, which knows its fingerprint; to Exim and to another Postrider,
by AUTH EXTERNAL. Its key is in the keys process only, and a renewed one is taken in by itself."""

import os
import shutil
import smtplib

import pytest
import smarthosts
from authority import Authority
from exim import exim_program
from node import PROGRAM, free_port, wait_until
from test_smarthosts import ca, outcomes, routes, start  # noqa: F401
from test_tls_keys import holds, secrets_of

pytestmark = pytest.mark.usefixtures("root")
ONE_TRY = 'retry = {"1h"}'


def keys(ca, leaf=None, more=""):  # noqa: F811
    text = f'tls = verify  tls_ca = "{ca.cert}" {more}'
    return text + (f' certificate = "{leaf.cert}"  key = "{leaf.key}"' if leaf else "")


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_postfix__by_fingerprint(node, start, ca, kind):  # noqa: F811
    """No AUTH is offered: to have shown it is enough."""
    mine, other = (ca.issue("relay.example", kind=kind, use="clientAuth") for _ in range(2))
    server = smarthosts.postfix(ca.issue("localhost"), who="permit_tls_clientcerts, reject",
                                settings="smtpd_tls_ask_ccert = yes\nsmtpd_tls_fingerprint_digest = sha256\n")
    known = server.home / "etc/known"
    known.write_text(":".join(f"{octet:02X}" for octet in bytes.fromhex(mine.fingerprint())) + " mine\n")
    server.set(f"relay_clientcerts = texthash:{known}")
    start(server)
    via = f"smtp://localhost:{server.port}"
    entries = {"mine.example": (via, keys(ca, mine)), "other.example": (via, keys(ca, other)),
               "none.example": (via, keys(ca))}
    n = node(more=routes(entries), queue=ONE_TRY).start()
    rows = outcomes(n, entries)
    assert rows["mine.example"]["event"] == "delivered" and rows["mine.example"]["tls"].endswith(" pkix"), rows
    for name in ("other.example", "none.example"):
        assert rows[name]["event"] == "failed" and rows[name]["code"] == 554, rows


EXIM_EXTERNAL = """\
certificate:
  driver = external
  public_name = EXTERNAL
  server_advertise_condition = $tls_in_certificate_verified
  server_param2 = ${certextract{subject,CN}{$tls_in_peercert}}
  server_condition = ${if eq{$auth2}{relay.example}}
  server_set_id = $auth2
"""


def test_exim__external(node, start, ca, tmp_path):  # noqa: F811
    if not exim_program():
        pytest.skip("Exim's package cannot be downloaded")
    server = smarthosts.exim(ca.issue("localhost"), authenticators=EXIM_EXTERNAL,
                             main=f"tls_try_verify_hosts = *\ntls_verify_certificates = {tmp_path}/root.pem")
    server.conf.write_text(server.conf.read_text().replace(f"{tmp_path}/root.pem", f"{server.home}/root.pem"))
    shutil.copy(ca.cert, server.home / "root.pem")
    start(server)
    via = f"smtp://localhost:{server.port}"
    entries = {"mine.example": (via, keys(ca, ca.issue("relay.example", use="clientAuth"))),
               "other.example": (via, keys(ca, ca.issue("stranger.example", use="clientAuth")))}
    n = node(more=routes(entries), queue=ONE_TRY).start()
    rows = outcomes(n, entries)
    assert rows["mine.example"]["event"] == "delivered", (rows, server.log())
    assert rows["other.example"]["event"] == "deferred" and rows["other.example"]["code"] == 535, rows
    assert "EXTERNAL was refused" in rows["other.example"]["text"], rows
    wait_until(lambda: " A=certificate:relay.example " in server.mainlog(), 10, server.log)


SMART_HOST = """\
hostname = "localhost"
data = "data"
grace = "5s"
listener "mx" {{ address = {{"127.0.0.1:PORT"}} }}
listener "submission" {{ address = {{"127.0.0.1:{starttls}"}} role = submission }}
listener "submissions" {{ address = {{"127.0.0.1:{implicit}"}} role = submission tls = implicit }}
tls {{ certificate = "{leaf.chain}"  key = "{leaf.key}"  client = request }}
domain "example.org" {{ users = "sqlite:users.db"  deliver = "maildir:mail/{{domain}}/{{local}}" }}
log {{ format = "json" }}
spool {{ segment_size = "4M" }}
"""
USER = "alice@example.org"


@pytest.fixture
def smart_host(node, ca):  # noqa: F811
    ports = {"starttls": free_port(), "implicit": free_port()}
    n = node("smart", SMART_HOST.format(leaf=ca.issue("localhost"), **ports))
    n.run("user", "add", USER, "--password-stdin", input=b"unused")
    n.ports = ports
    return n.start()


def known_to(n, leaf):
    """The running server looks at its tables twice a second."""
    before = len(n.events("table-loaded"))
    n.run("user", "cert", "add", USER, leaf.fingerprint())
    wait_until(lambda: len(n.events("table-loaded")) > before, 20, n.log)


def hand_over(n, subject):
    text = f"From: {USER}\r\nTo: {USER}\r\nSubject: {subject}\r\n\r\nhello\r\n"
    with smtplib.SMTP(n.host, n.port, timeout=30) as client:
        client.sendmail(USER, [USER], text)


@pytest.mark.skipif("asan" in str(PROGRAM), reason="a sanitized process keeps what was freed")
@pytest.mark.parametrize("way", ["starttls", "implicit"])
def test_postrider__external_with_a_key_that_no_deliverer_has(node, ca, smart_host, tmp_path, way):  # noqa: F811
    leaf = ca.issue("relay.example", use="clientAuth", kind="rsa" if way == "implicit" else "ec")
    known_to(smart_host, leaf)
    # The key may stand in the certificate's file.
    both = tmp_path / "both.pem"
    both.write_bytes(leaf.cert.read_bytes() + leaf.key.read_bytes())
    scheme = "smtps" if way == "implicit" else "smtp"
    n = node(via=f'via = "{scheme}://localhost:{smart_host.ports[way]}" tls = verify tls_ca = "{ca.cert}" '
             f'certificate = "{both}"', domain="elsewhere.example").start()
    hand_over(n, way)
    smart_host.await_mail("alice", 1, domain="example.org", seconds=20)
    row = smart_host.await_events("auth-ok", 1)[0]
    assert row["mechanism"] == "EXTERNAL" and row["user"] == USER, row
    secrets = secrets_of(leaf.key)
    assert all(holds(pid, secrets) for pid in n.children("keys"))
    others = set(n.children()) - set(n.children("keys"))
    assert others and not any(holds(pid, secrets) for pid in [*others, n.process.pid])


def test_postrider__a_renewed_certificate_is_taken_in(node, ca, smart_host, tmp_path):  # noqa: F811
    first, second = (ca.issue("relay.example", use="clientAuth") for _ in range(2))
    live = {name: tmp_path / name for name in ("cert", "key")}

    def install(leaf):
        for name, path in live.items():
            shutil.copy(getattr(leaf, name), path.with_suffix(".new"))
            os.replace(path.with_suffix(".new"), path)

    install(first)
    known_to(smart_host, second)
    n = node(via=f'via = "smtp://localhost:{smart_host.ports["starttls"]}" tls = verify tls_ca = "{ca.cert}" '
             f'certificate = "{live["cert"]}" key = "{live["key"]}"', domain="elsewhere.example",
             queue='retry = {"1s"}').start()
    hand_over(n, "renewed")
    row = wait_until(lambda: n.events("deferred"), 20, n.log)[0]
    assert row["enhanced"] == "4.7.8", row
    install(second)
    smart_host.await_mail("alice", 1, domain="example.org", seconds=40)
    assert n.events("certificates-loaded")


BAD = {
    "mismatch": "no key fits the certificate",
    "missing": "cannot be read: No such file",
    "expired": "expired on 2020-",
    "no-certificate": "there is a key and no certificate",
}


@pytest.mark.parametrize("what", BAD)
def test_bad_ones__check_and_serve_say_which(node, tmp_path, what):
    authority = Authority(tmp_path / "ca")
    leaf = authority.issue("relay.example", use="clientAuth", expired=what == "expired")
    certificate, key = leaf.cert, leaf.key
    if what == "mismatch":
        key = authority.issue("other.example").key
    if what == "missing":
        certificate = tmp_path / "none.pem"
    text = "" if what == "no-certificate" else f'certificate = "{certificate}" '
    n = node(more=f'route "far.example" {{ via = "smtp://localhost:25" {text}key = "{key}" }}')
    done = n.run("check", check=False)
    said = done.stderr.decode()
    assert done.returncode == 78 and BAD[what] in said and f"{n.conf}:" in said, said
    status, said = n.refused_start()
    assert status == 78 and BAD[what] in said, (status, said)
