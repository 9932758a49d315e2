"""DANE (RFC 7672) against signed zones and TLS peers: docs/tls-out.md lists the cases."""

import contextlib
import smtplib

import pytest
from authority import Authority
from internet import Internet, missing
from test_dns import row_of, server, submit
from tlspeer import TlsPeer

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

UNUSABLE = "0 0 1 " + "ab" * 32
OTHER = "3 1 1 " + "cd" * 32

# domain: what its MX host publishes and how it answers; the wanted outcome: what the tls of `delivered` ends with,
# or the enhanced code of `deferred` and words of its text.
CASES = {
    "ee": {"tlsa": lambda leaf, ca: [leaf.tlsa(3, 1, 1)], "want": "dane"},
    "ee-sha512": {"tlsa": lambda leaf, ca: [leaf.tlsa(3, 1, 2)], "want": "dane"},
    "ee-full": {"tlsa": lambda leaf, ca: [leaf.tlsa(3, 0, 0)], "want": "dane"},
    "ee-othername": {"tlsa": lambda leaf, ca: [leaf.tlsa(3, 1, 1)], "names": ["other.test"], "want": "dane"},
    "ee-expired": {"tlsa": lambda leaf, ca: [leaf.tlsa(3, 1, 1)], "expired": True, "want": "dane"},
    "ta": {"tlsa": lambda leaf, ca: [ca.tlsa(2, 0, 1)], "want": "dane"},
    "ta-othername": {"tlsa": lambda leaf, ca: [ca.tlsa(2, 0, 1)], "names": ["other.test"],
                     "want": ("4.7.5", "mismatch")},
    "ta-nexthop": {"tlsa": lambda leaf, ca: [ca.tlsa(2, 0, 1)], "names": ["ta-nexthop.example"], "want": "dane"},
    "ta-expired": {"tlsa": lambda leaf, ca: [ca.tlsa(2, 0, 1)], "expired": True, "want": ("4.7.5", "expired")},
    "rollover": {"tlsa": lambda leaf, ca: [OTHER, leaf.tlsa(3, 1, 1)], "want": "dane"},
    "mismatch": {"tlsa": lambda leaf, ca: [OTHER], "want": ("4.7.5", "TLSA")},
    "unusable": {"tlsa": lambda leaf, ca: [UNUSABLE], "want": "unverified"},
    "unusable-stripped": {"tlsa": lambda leaf, ca: [UNUSABLE], "starttls": False, "want": ("4.7.4", "STARTTLS")},
    "mixed": {"tlsa": lambda leaf, ca: [UNUSABLE, leaf.tlsa(3, 1, 1)], "want": "dane"},
    "stripped": {"tlsa": lambda leaf, ca: [leaf.tlsa(3, 1, 1)], "starttls": False, "want": ("4.7.4", "STARTTLS")},
    "refused": {"tlsa": lambda leaf, ca: [leaf.tlsa(3, 1, 1)], "starttls": "refuse", "want": ("4.7.4", "STARTTLS")},
    "garbled": {"tlsa": lambda leaf, ca: [leaf.tlsa(3, 1, 1)], "starttls": "break", "want": ("4.7.5", "")},
    "servfail": {"tlsa": None, "child": "broken", "want": ("4.7.5", "TLSA")},
    "bogus": {"tlsa": None, "child": "expired", "want": ("4.7.5", "TLSA")},
    "insecure": {"tlsa": lambda leaf, ca: [OTHER], "kind": "unsigned", "want": "unverified"},
    "none": {"tlsa": lambda leaf, ca: [], "want": "unverified"},
    "none-stripped": {"tlsa": lambda leaf, ca: [], "starttls": False, "want": None},
    "alias": {"tlsa": lambda leaf, ca: [leaf.tlsa(3, 1, 1)], "alias": True, "want": "dane"},
}


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@contextlib.contextmanager
def internet_of_cases(folder, ca):
    """An Internet with a zone and a host for each case; net.peers has the hosts."""
    net = Internet(folder)
    net.peers = {}
    for name, case in CASES.items():
        zone, address = f"{name}.example", net.address()
        leaf = ca.issue(*case.get("names", [f"mx.{zone}"]), expired=case.get("expired", False))
        host = "real" if case.get("alias") else "mx"
        text = f"@ MX 10 mx\n{host} A {address}\n"
        if case.get("alias"):
            text += "mx CNAME real\n"
        if case["tlsa"]:
            text += "".join(f"_25._tcp.{host} TLSA {t}\n" for t in case["tlsa"](leaf, ca))
        net.zone(zone, text, case.get("kind", "signed"))
        if "child" in case:
            net.zone(f"_tcp.mx.{zone}", "_25 TLSA " + OTHER + "\n", case["child"])
        net.peers[name] = TlsPeer(leaf, starttls=case.get("starttls", True), host=address, port=25)
    try:
        yield net.start()
    finally:
        for p in net.peers.values():
            p.stop()
        net.stop()


@pytest.fixture(scope="module")
def net(tmp_path_factory, ca):
    with internet_of_cases(tmp_path_factory.mktemp("internet"), ca) as net:
        yield net


def expect(n, name, want, recipient):
    if want is None or isinstance(want, str):
        row = row_of(n, "delivered", recipient)
        assert row.get("tls", "").endswith(want or ""), row
        assert want is not None or "tls" not in row
    else:
        row = row_of(n, "deferred", recipient)
        assert row["enhanced"] == want[0] and want[1] in row["text"], row


def test_each_case(node, net):
    """All in one server: what fails at one domain delays no other."""
    n = server(node, net)
    for name in CASES:
        submit(n, f"u@{name}.example")
    for name, case in CASES.items():
        expect(n, name, case["want"], f"u@{name}.example")
        sent = len(net.peers[name].messages)
        assert sent == (0 if isinstance(case["want"], tuple) else 1), (name, sent)
    assert net.peers["ee"].sni[0] == "mx.ee.example"
    assert net.peers["alias"].sni[0] == "real.alias.example"


def test_next_host_when_the_first_fails(node, tmp_path, ca):
    """A host that DANE refuses is skipped, and the next one serves (RFC 7672 2.2, RFC 5321 5.1)."""
    net = Internet(tmp_path / "net")
    first, second = net.address(), net.address()
    leaf = ca.issue("two.two.example")
    net.zone("two.example", f"@ MX 10 one\n@ MX 20 two\none A {first}\ntwo A {second}\n"
             f"_25._tcp.one TLSA {OTHER}\n_25._tcp.two TLSA {leaf.tlsa()}\n")
    peers = [TlsPeer(leaf, host=first, port=25), TlsPeer(leaf, host=second, port=25)]
    net.start()
    try:
        n = server(node, net)
        submit(n, "u@two.example")
        assert row_of(n, "delivered", "u@two.example")["remote"].startswith(second)
        assert not peers[0].messages and len(peers[1].messages) == 1
    finally:
        net.stop()
        for p in peers:
            p.stop()


def test_tls_required_no__goes_all_the_same(node, net):
    """RFC 8689 3: the sender's word against the domain's policy."""
    n = server(node, net)
    with smtplib.SMTP("127.0.0.1", n.port, timeout=20) as s:
        s.sendmail("s@example.org", ["no@mismatch.example"], "TLS-Required: No\r\nSubject: x\r\n\r\nhello\r\n")
    row = row_of(n, "delivered", "no@mismatch.example")
    assert row["tls"].endswith("unverified"), row
