"""Postfix and Exim, with TLS and Dovecot's SASL, as our smart hosts: each mechanism, each level of TLS."""

import os

import pytest
import smarthosts
from authority import Authority
from exim import exim_program
from node import wait_until
from smarthosts import PASSWORD, USER, DovecotAuth
from test_delivery import send

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def start():
    made = []

    def make(server):
        made.append(server)
        return server.start()

    yield make
    for server in reversed(made):
        server.stop()


@pytest.fixture
def auth(start):
    if not os.path.exists("/usr/lib/dovecot/auth"):
        pytest.skip("no dovecot-core")
    return start(DovecotAuth({USER: PASSWORD}))


def routes(entries):
    """{domain: (via, keys)} as configuration."""
    return "\n".join(f'route "{name}" {{ via = "{via}" {keys} }}' for name, (via, keys) in entries.items())


def outcomes(n, entries):
    """Sends one message to each, and returns {domain: row of the log}."""
    for name in entries:
        send(n, [f"eve@{name}"], subject=name)

    def rows():
        ended = n.events("delivered") + n.events("deferred") + n.events("failed")
        found = {row["rcpt"].strip("<>").partition("@")[2]: row for row in ended}
        return found if len(found) == len(entries) else None

    return wait_until(rows, 60, lambda: n.log()[-4000:])


def logs_in(node, tmp_path, ca, server, ports):
    """Through STARTTLS and through smtps: at each port, which offers one mechanism."""
    (tmp_path / "secret").write_text(f"{USER}:{PASSWORD}\n")
    keys = f'credentials = "file:{tmp_path}/secret"  tls = verify  tls_ca = "{ca.cert}"'
    entries = {}
    for mechanism, pair in ports.items():
        for scheme, port in zip(("smtp", "smtps"), pair, strict=True):
            entries[f"{mechanism}.{scheme}.example".lower()] = f"{scheme}://localhost:{port}", keys
    n = node(more=routes(entries), queue='retry = {"1h"}').start()
    rows = outcomes(n, entries)
    wrong = {name: row for name, row in rows.items() if row["event"] != "delivered" or " pkix" not in row["tls"]}
    assert not wrong, (wrong, server.log()[-4000:])
    assert PASSWORD not in n.log()
    return rows


def test_postfix__each_mechanism(node, start, auth, ca, tmp_path):
    ports = smarthosts.ports_for(auth.MECHANISMS)
    server = start(smarthosts.postfix(ca.issue("localhost"), auth, ports))
    logs_in(node, tmp_path, ca, server, ports)
    for mechanism in ports:
        assert server.log().count(f"sasl_method={mechanism}, sasl_username={USER}") == 2, server.log()[-4000:]


def test_exim__each_mechanism(node, start, auth, ca, tmp_path):
    if not exim_program():
        pytest.skip("Exim's package cannot be downloaded")
    ports = smarthosts.ports_for(auth.MECHANISMS)
    server = start(smarthosts.exim(ca.issue("localhost"), auth, ports))
    logs_in(node, tmp_path, ca, server, ports)
    for mechanism in ports:
        seen = f" A={mechanism.lower().replace('-', '_')}:{USER} "
        wait_until(lambda seen=seen: server.mainlog().count(seen) == 2, 10, server.log)


def test_wrong_password__postfix_and_exim_refuse(node, start, auth, ca, tmp_path):
    ports = smarthosts.ports_for(["PLAIN", "SCRAM-SHA-256"])
    others = smarthosts.ports_for(["PLAIN", "SCRAM-SHA-256"])
    start(smarthosts.postfix(ca.issue("localhost"), auth, ports))
    start(smarthosts.exim(ca.issue("localhost"), auth, others))
    (tmp_path / "secret").write_text(f"{USER}:{PASSWORD}x\n")
    keys = f'credentials = "file:{tmp_path}/secret"  tls = verify  tls_ca = "{ca.cert}"'
    entries = {f"{name}.{m}.example".lower(): (f"smtp://localhost:{pair[0]}", keys)
               for name, some in (("postfix", ports), ("exim", others)) for m, pair in some.items()}
    n = node(more=routes(entries), queue='retry = {"1h"}').start()
    for name, row in outcomes(n, entries).items():
        assert row["event"] == "deferred" and row["code"] == 535 and row["enhanced"] == "4.7.8", (name, row)
    assert PASSWORD not in n.log()


OPEN = {"postfix": (smarthosts.postfix, {"who": "permit_mynetworks, reject"}),
        "exim": (smarthosts.exim, {"acl": "  accept"})}


def levels(ca, other, leaf, port):
    """(keys of a route, the end of what the log says of TLS or None, why it is deferred or None) by name."""
    return {
        "none": ("tls = none", None, None),
        "may": ("tls = may", "unverified", None),
        "encrypt": ("tls = encrypt", "unverified", None),
        "name": (f'tls = verify tls_ca = "{ca.cert}"', "pkix", None),
        "names": (f'tls = verify tls_ca = "{ca.cert}" tls_names = {{"mx.smart.example"}}', "pkix", None),
        "fingerprint": (f'tls = verify tls_fingerprints = {{"{leaf.fingerprint()}"}}', "fingerprint", None),
        "other-ca": (f'tls = verify tls_ca = "{other.cert}"', None, "self-signed certificate in certificate chain"),
        "other-fingerprint": (f'tls = verify tls_fingerprints = {{"{other.fingerprint()}"}}', None, "fingerprints"),
    }


@pytest.mark.parametrize("kind", ["postfix", "exim"])
def test_levels(node, start, ca, tmp_path, kind):
    """What each level makes of the same server, by its certificate for localhost and by one for another name."""
    other, leaf = Authority(tmp_path / "other", "Other Root"), ca.issue("localhost", "mx.smart.example")
    make, anybody = OPEN[kind]
    server, stranger = make(leaf, **anybody), make(ca.issue("mx.smart.example"), **anybody)
    start(server)
    start(stranger)
    wanted = levels(ca, other, leaf, server.port)
    entries = {f"{name}.example": (f"smtp://localhost:{server.port}", keys) for name, (keys, _, _) in wanted.items()}
    entries["other-name.example"] = f"smtp://localhost:{stranger.port}", f'tls = verify tls_ca = "{ca.cert}"'
    wanted["other-name"] = None, None, "hostname mismatch"
    n = node(more=routes(entries), queue='retry = {"1h"}').start()
    rows = outcomes(n, entries)
    for name, (_, tls, why) in wanted.items():
        row = rows[f"{name}.example"]
        if why:
            assert row["event"] == "deferred" and row["enhanced"] == "4.7.5" and why in row["text"].lower(), row
        else:
            said = row.get("tls", "")
            assert row["event"] == "delivered" and (said.split()[-1:] == [tls] if tls else not said), (name, row)


@pytest.mark.parametrize("kind", ["postfix", "exim"])
def test_sessions__are_resumed(node, start, ca, kind):
    """The server hangs up after each message; the TLS session is taken up again, verified as it was."""
    make, anybody = OPEN[kind]
    brief = {"postfix": {"settings": "smtpd_timeout = 1s"},
             "exim": {"main": "tls_resumption_hosts = *\nsmtp_accept_max_per_connection = 1"}}[kind]
    server = start(make(ca.issue("localhost"), **anybody, **brief))
    entries = {"far.example": (f"smtp://localhost:{server.port}", f'tls = verify tls_ca = "{ca.cert}"')}
    n = node(more=routes(entries)).start()
    for count in (1, 2):
        send(n, ["eve@far.example"])
        wait_until(lambda count=count: len(n.events("delivered")) == count, 30, lambda: n.log()[-3000:])
        if kind == "postfix":
            wait_until(lambda: "timeout after" in server.log(), 30, server.log)
    assert n.events("delivered")[1]["tls"].endswith(" pkix resumed"), n.events("delivered")
