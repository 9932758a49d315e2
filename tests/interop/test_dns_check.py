"""`dns check`: what a delivery would meet at each host, certificates and policies included, without one."""

import json
import subprocess

import pytest
from authority import Authority
from internet import Internet, missing
from node import PROGRAM
from test_sts import Policies
from tlspeer import TlsPeer

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
OTHER = "3 1 1 " + "cd" * 32


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def net(tmp_path_factory, ca):
    net = Internet(tmp_path_factory.mktemp("internet"))
    https = net.address()
    net.policies, net.peers = Policies(https, ca), {}
    cases = {  # name: TLSA of the leaf, names of the certificate, more records, values of the peer
        "dane": (lambda leaf: leaf.tlsa(), None, "", {}),
        "mismatch": (lambda leaf: OTHER, None, "", {}),
        "othername": (None, ["other.test"], "", {}),
        "stripped": (lambda leaf: leaf.tlsa(), None, "", {"starttls": False}),
        "sts": (None, None, f"mta-sts A {https}\n_mta-sts TXT \"v=STSv1; id=1\"\n", {}),
        "nopolicy": (None, None, f"mta-sts A {https}\n_mta-sts TXT \"v=STSv1; id=1\"\n", {}),
    }
    for name, (tlsa, names, more, values) in cases.items():
        zone, address = f"{name}.example", net.address()
        leaf = ca.issue(*(names or [f"mx.{zone}"]))
        net.zone(zone, f"@ MX 10 mx\nmx A {address}\n{more}" + (f"_25._tcp.mx TLSA {tlsa(leaf)}\n" if tlsa else ""))
        net.peers[name] = TlsPeer(leaf, host=address, port=25, **values)
    net.policies.add("sts.example", {})
    net.policies.add("nopolicy.example", {"status": 404})
    yield net.start()
    for p in net.peers.values():
        p.stop()
    net.policies.stop()
    net.stop()


@pytest.fixture
def n(node, net, ca, tmp_path):
    table = tmp_path / "routes"
    table.write_text("sts.example smtp://127.0.0.1:9\n")
    return node(via='via = "mx"', more=net.config(timeout="5s") + f'tls {{ ca = "{ca.cert}" }}\n'
                f'route "nopolicy.example" {{ via = "mx"  tls = verify }}\n'
                f'route "file:{table}" {{ via = "smtp://127.0.0.1:9" }}').start()


def check(n, *words):
    done = subprocess.run([PROGRAM, "dns", "check", "-c", str(n.conf), *words], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def test_certificates_and_policies(n, net):
    rows = [json.loads(line) for line in check(n, "--json", *(f"{name}.example" for name in net.peers)).splitlines()]
    domains = {row["domain"].partition(".")[0]: row for row in rows}
    hosts = {name: row["hosts"][0] for name, row in domains.items()}
    good = hosts["dane"]
    assert good["tls_policy"] == "dane, by dane" and good["connection"]["ok"], good
    assert good["connection"]["tls"].endswith(" dane") and good["webpki"] == "verifies", good
    first = good["certificates"][0]
    assert first["names"] == "mx.dane.example" and "Test Root" in first["issuer"], first
    assert first["begins"] < first["ends"]
    # What was refused is shown all the same.
    bad = hosts["mismatch"]
    assert not bad["connection"]["ok"] and "TLSA" in bad["connection"]["failure"], bad
    assert bad["certificates"][0]["names"] == "mx.mismatch.example" and bad["webpki"] == "verifies", bad
    name = hosts["othername"]
    assert name["connection"]["ok"] and name["tls_policy"].startswith("may") and "mismatch" in name["webpki"], name
    assert "STARTTLS" in hosts["stripped"]["connection"]["failure"] and not hosts["stripped"]["certificates"]
    sts = domains["sts"]
    assert sts["sts_policy"] == {"mode": "enforce", "max_age": 86400, "mx": ["mx.sts.example"]}, sts
    assert hosts["sts"]["sts"].startswith("enforced") and hosts["sts"]["connection"]["tls"].endswith("sts"), hosts["sts"]
    assert sts["by_route"].startswith("smtp://127.0.0.1:9"), sts
    none = domains["nopolicy"]
    assert "404" in none["sts_problem"] and "sts_policy" not in none, none
    assert hosts["nopolicy"]["tls_policy"].endswith("by route") and hosts["nopolicy"]["connection"]["ok"], none
    for p in net.peers.values():
        assert not any(verb in c for c in p.commands for verb in ("MAIL", "RCPT", "AUTH")), p.commands


def test_for_people(n):
    text = check(n, "dane.example", "sts.example")
    for words in ("session   127.25.", " dane\n", "shown     mx.dane.example; by CN=Test Root; ", "WebPKI    verifies",
                  "policy    mode enforce, max_age 86400, mx.sts.example", "route     smtp://127.0.0.1:9"):
        assert words in text, (words, text)


def test_without_connecting(n, net):
    before = {name: p.connections for name, p in net.peers.items()}
    row = json.loads(check(n, "--json", "--no-connect", "dane.example"))
    assert "connection" not in row["hosts"][0] and row["hosts"][0]["tls_policy"] == "dane, by dane", row
    assert {name: p.connections for name, p in net.peers.items()} == before
