"""TLS and AUTH towards next hops: each level against peers that are good, bad, or in between (docs/tls-out.md)."""

import pytest
from authority import Authority
from node import wait_until
from test_delivery import send
from tlspeer import TlsPeer

SECRET = "p:ss w0rd-nobody-may-see"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def peer():
    made = []

    def make(*words, **values):
        made.append(TlsPeer(*words, **values))
        return made[-1]

    yield make
    for p in made:
        p.stop()


def relay(node, p, ca=None, scheme="smtp", more="", host="127.0.0.1", **values):
    """A node whose relay goes to the peer; more: keys of the relay block."""
    values = {"queue": 'retry = {"1s"}'} | values
    if ca:
        values["more"] = values.get("more", "") + f'tls {{ ca = "{ca.cert}" }}'
    return node(via=f'via = "{scheme}://{host}:{p.port}" {more}', **values)


def outcome(n, event):
    return wait_until(lambda: n.events(event), 15, lambda: n.log()[-3000:])[0]


def delivered(n, p):
    row = outcome(n, "delivered")
    assert len(p.messages) == 1
    return row, p.messages[0]


def test_auto__opportunistic(node, peer, ca):
    p = peer(ca.issue("peer.example"))
    n = relay(node, p).start()
    send(n, ["bob@far.example"])
    row, message = delivered(n, p)
    assert message["tls"] and row["tls"].startswith("TLSv1.3 ") and row["tls"].endswith("unverified"), row


@pytest.mark.parametrize("starttls", ["break", "drop", "inject"])
def test_auto__failed_handshake_goes_on_in_clear(node, peer, ca, starttls):
    p = peer(ca.issue("peer.example"), starttls=starttls)
    n = relay(node, p).start()
    send(n, ["bob@far.example"])
    row, message = delivered(n, p)
    assert not message["tls"] and "tls" not in row
    assert n.events("tls-fallback") and p.connections == 2


def test_auto__starttls_refused_goes_on_in_the_same_session(node, peer, ca):
    p = peer(ca.issue("peer.example"), starttls="refuse")
    n = relay(node, p).start()
    send(n, ["bob@far.example"])
    _, message = delivered(n, p)
    assert not message["tls"] and p.connections == 1


def test_none__starttls_is_not_said(node, peer, ca):
    p = peer(ca.issue("peer.example"))
    n = relay(node, p, more="tls = none").start()
    send(n, ["bob@far.example"])
    delivered(n, p)
    assert not any("STARTTLS" in c for c in p.commands)


@pytest.mark.parametrize("starttls,code", [(False, "4.7.4"), ("refuse", "4.7.4"), ("break", "4.7.5"),
                                           ("inject", "4.7.5")])
def test_encrypt__never_less(node, peer, ca, starttls, code):
    p = peer(ca.issue("peer.example"), starttls=starttls)
    n = relay(node, p, more="tls = encrypt").start()
    send(n, ["bob@far.example"])
    row = outcome(n, "deferred")
    assert row["enhanced"] == code and not p.messages and not any("MAIL" in c for c in p.commands), row


def test_encrypt__self_signed_will_do(node, peer, ca):
    p = peer(ca.issue("other.example"))
    n = relay(node, p, more="tls = encrypt").start()
    send(n, ["bob@far.example"])
    assert delivered(n, p)[1]["tls"]


CERTIFICATES = [
    # names, ips, expired, trusted, keys of the relay block, what is said (None: delivered)
    ("name", ("localhost",), (), False, True, "", None),
    ("other_name", ("other.example",), (), False, True, "", "hostname mismatch"),
    ("extra_name", ("other.example",), (), False, True, 'tls_names = {"other.example"}', None),
    ("below_a_name", ("mx.other.example",), (), False, True, 'tls_names = {".other.example"}', None),
    ("expired", ("localhost",), (), True, True, "", "certificate has expired"),
    ("unknown_root", ("localhost",), (), False, False, "", "self-signed certificate in certificate chain"),
]


@pytest.mark.parametrize("case", CERTIFICATES, ids=lambda c: c[0])
def test_verify__certificates(node, peer, ca, tmp_path, case):
    _, names, ips, expired, trusted, keys, wanted = case
    other = Authority(tmp_path / "other", "Other Root")
    p = peer(ca.issue(*names, ips=ips, expired=expired))
    n = relay(node, p, ca if trusted else other, host="localhost", more=f"tls = verify {keys}").start()
    send(n, ["bob@far.example"])
    if wanted is None:
        row, message = delivered(n, p)
        assert message["tls"] and row["tls"].endswith(" pkix"), row
    else:
        row = outcome(n, "deferred")
        assert row["enhanced"] == "4.7.5" and wanted in row["text"].lower(), row
        assert not p.messages


def test_verify__address_literal(node, peer, ca):
    p = peer(ca.issue(ips=("127.0.0.1",)))
    n = relay(node, p, ca, more="tls = verify").start()
    send(n, ["bob@far.example"])
    assert delivered(n, p)[0]["tls"].endswith(" pkix")


def test_verify__own_roots_of_a_route(node, peer, ca, tmp_path):
    other = Authority(tmp_path / "other", "Other Root")
    p = peer(other.issue("localhost"))
    n = relay(node, p, ca, host="localhost", more=f'tls = verify tls_ca = "{other.cert}"').start()
    send(n, ["bob@far.example"])
    assert delivered(n, p)[0]["tls"].endswith(" pkix")


def test_verify__fingerprint(node, peer, ca):
    leaf = ca.issue("whatever.example")
    p = peer(leaf)
    n = relay(node, p, more=f'tls = verify tls_fingerprints = {{"{leaf.fingerprint()}"}}').start()
    send(n, ["bob@far.example"])
    assert delivered(n, p)[0]["tls"].endswith(" fingerprint")


def test_verify__wrong_fingerprint(node, peer, ca):
    p = peer(ca.issue("localhost"))
    n = relay(node, p, ca, host="localhost", more=f'tls = verify tls_fingerprints = {{"{"ab" * 32}"}}').start()
    send(n, ["bob@far.example"])
    assert "fingerprint" in outcome(n, "deferred")["text"] and not p.messages


def test_smtps__implicit(node, peer, ca):
    p = peer(ca.issue("localhost"), implicit=True)
    n = relay(node, p, ca, scheme="smtps", host="localhost", more="tls = verify").start()
    send(n, ["bob@far.example"])
    row, message = delivered(n, p)
    assert message["tls"] and row["tls"].endswith(" pkix") and p.sni[0] is None


def test_sessions__are_resumed(node, peer, ca):
    """The connection ends after each message (421 to the next MAIL); the TLS session is taken up again."""
    seen = []

    def rule(verb, argument):
        if verb == "MAIL":
            seen.append(argument)
            if len(seen) == 2:
                return "421 4.3.2 enough for this connection"
        return None

    p = peer(ca.issue("localhost"), rule=rule)
    n = relay(node, p, ca, host="localhost", more="tls = verify").start()
    for i in (1, 2):
        send(n, ["bob@far.example"], str(i))
        wait_until(lambda i=i: len(p.messages) == i, 10)
    assert p.connections == 2 and p.resumed == 1
    assert n.events("delivered")[1]["tls"].endswith(" pkix resumed")


@pytest.mark.parametrize("tls12", [True, False])
def test_close_notify__at_the_end_of_a_delivery(node, peer, ca, tls12):
    """RFC 8446 6.1, RFC 5246 7.2.1."""
    p = peer(ca.issue("localhost"), tls12=tls12)
    n = relay(node, p, ca, host="localhost", more="tls = encrypt").start()
    send(n, ["bob@far.example"])
    delivered(n, p)
    n.stop()  # kept connections are given up with QUIT
    wait_until(lambda: p.ends, 30)
    assert p.ends == ["close_notify"], p.ends


@pytest.mark.parametrize("mechanisms", ["PLAIN", "LOGIN", "PLAIN LOGIN CRAM-MD5", "CRAM-MD5 NTLM"])
@pytest.mark.parametrize("tls", [True, False])
def test_auth__logs_in(node, peer, ca, tmp_path, mechanisms, tls):
    p = peer(ca.issue("localhost"), starttls=tls, users={"ann": SECRET}, mechanisms=mechanisms)
    (tmp_path / "secret").write_text(f"# the smart host's\nann:{SECRET}\n")
    keys = f'credentials = "file:{tmp_path}/secret" tls = {"verify" if tls else "may"}'
    n = relay(node, p, ca, host="localhost", more=keys).start()
    send(n, ["bob@far.example"])
    delivered(n, p)
    used = next(c.removeprefix("tls ") for c in p.commands if c.removeprefix("tls ").startswith("AUTH "))
    assert used.split()[1] == mechanisms.split()[0], used
    assert SECRET not in n.log()


def test_auth__wrong_password_waits_and_is_not_shown(node, peer, ca, tmp_path):
    p = peer(ca.issue("localhost"), users={"ann": "another"})
    (tmp_path / "secret").write_text(f"ann:{SECRET}\n")
    n = relay(node, p, ca, host="localhost",
              more=f'credentials = "file:{tmp_path}/secret" tls = encrypt').start()
    send(n, ["bob@far.example"])
    row = outcome(n, "deferred")
    assert row["enhanced"] == "4.7.8" and row["code"] == 535 and "credentials" in row["text"], row
    assert not p.messages and SECRET not in n.log() and SECRET not in n.run("queue", "list", "--json").stdout.decode()


def test_auth__a_corrected_file_reaches_waiting_mail(node, peer, ca, tmp_path):
    p = peer(ca.issue("localhost"), users={"ann": SECRET})
    (tmp_path / "secret").write_text("ann:wrong\n")
    n = relay(node, p, ca, host="localhost",
              more=f'credentials = "file:{tmp_path}/secret" tls = encrypt').start()
    send(n, ["bob@far.example"])
    outcome(n, "deferred")
    (tmp_path / "secret").write_text(f"ann:{SECRET}\n")
    wait_until(lambda: len(p.messages) == 1, 30, lambda: n.log()[-2000:])


def test_auth__credentials_missing_is_said(node, peer, ca, tmp_path):
    p = peer(ca.issue("localhost"))
    n = relay(node, p, more=f'credentials = "file:{tmp_path}/nothing"')
    status, said = n.refused_start()
    assert status != 0 and "credentials" in said and "nothing" in said


def test_two_next_hops__greeting_421_is_no_answer(node, peer, ca):
    p = peer(ca.issue("localhost"), greeting="421 4.3.2 not now")
    n = relay(node, p, host="localhost").start()
    send(n, ["bob@far.example"])
    row = outcome(n, "deferred")
    assert row["code"] == 421 and n.events("site-down")


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
@pytest.mark.parametrize("last_with_235", [False, True])
def test_auth__scram(node, peer, ca, tmp_path, mechanism, last_with_235):
    p = peer(ca.issue("localhost"), users={"ann": SECRET}, mechanisms=f"PLAIN {mechanism}",
             last_with_235=last_with_235)
    (tmp_path / "secret").write_text(f"ann:{SECRET}\n")
    n = relay(node, p, ca, host="localhost", more=f'credentials = "file:{tmp_path}/secret"').start()
    send(n, ["bob@far.example"])
    delivered(n, p)
    assert any(c.startswith(f"tls AUTH {mechanism} ") for c in p.commands)


def test_auth__scram_bound_to_the_channel(node, peer, ca, tmp_path):
    """By tls-server-end-point, as TLS 1.2 has it; tls-exporter: test_scram_plus.py."""
    p = peer(ca.issue("localhost"), users={"ann": SECRET}, mechanisms="PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS",
             tls12=True)
    (tmp_path / "secret").write_text(f"ann:{SECRET}\n")
    n = relay(node, p, ca, host="localhost", more=f'credentials = "file:{tmp_path}/secret"').start()
    send(n, ["bob@far.example"])
    delivered(n, p)
    assert p.bound == 1, p.errors


@pytest.mark.parametrize("wrong", ["rounds", "signature"])
def test_auth__scram_server_that_cheats(node, peer, ca, tmp_path, wrong):
    """Rounds that would burn the CPU; a server that does not know the password either."""
    p = peer(ca.issue("localhost"), users={"ann": SECRET}, mechanisms="SCRAM-SHA-256", wrong=wrong)
    (tmp_path / "secret").write_text(f"ann:{SECRET}\n")
    n = relay(node, p, ca, host="localhost", more=f'credentials = "file:{tmp_path}/secret"').start()
    send(n, ["bob@far.example"])
    row = outcome(n, "deferred")
    assert row["enhanced"] == "4.7.8" and not p.messages, row
