"""MTA-STS (RFC 8461) against an HTTPS host of its own on port 443 of loopback: docs/tls-out.md lists the cases."""

import http.server
import ssl
import threading
import time

import pytest
from authority import Authority
from internet import Internet, missing
from node import wait_until
from test_dns import row_of, submit
from tlspeer import TlsPeer

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


def policy(mode="enforce", mx="mx.{zone}", max_age=86400):
    return f"version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {max_age}\r\n"


# domain: the policy's text, how it is served, how the host answers; want as in test_dane.py
CASES = {
    "enforce": {"want": "sts"},
    "wildcard": {"policy": policy(mx="*.{zone}"), "want": "sts"},
    "otherhost": {"policy": policy(mx="elsewhere.{zone}"), "want": ("4.7.5", "MTA-STS")},
    "stripped": {"starttls": False, "want": ("4.7.4", "STARTTLS")},
    "garbled": {"starttls": "break", "want": ("4.7.5", "")},
    "badname": {"names": ["other.test"], "want": ("4.7.5", "mismatch")},
    "untrusted": {"foreign": True, "want": ("4.7.5", "self-signed")},
    "expiredcert": {"expired": True, "want": ("4.7.5", "expired")},
    "testing": {"policy": policy("testing", mx="elsewhere.{zone}"), "names": ["other.test"], "want": "unverified",
                "said": "sts-testing-failure"},
    "modenone": {"policy": policy("none"), "starttls": False, "want": None},
    "nohttps": {"address": False, "want": "pkix", "said": "sts-policy-unusable"},
    "notfound": {"status": 404, "want": "pkix", "said": "sts-policy-unusable"},
    "redirect": {"status": 302, "want": "pkix", "said": "sts-policy-unusable"},
    "html": {"type": "text/html", "want": "pkix", "said": "sts-policy-unusable"},
    "broken": {"policy": "version: STSv1\nmode: strict\n", "want": "pkix", "said": "sts-policy-unusable"},
    "large": {"policy": "x: y\n" * 20000, "want": "pkix", "said": "sts-policy-unusable"},
    "httpsname": {"https": "elsewhere", "want": "pkix", "said": "sts-policy-unusable"},
    "slow": {"delay": 60, "want": "pkix", "said": "sts-policy-unusable"},
    "notxt": {"txt": "", "want": "pkix"},
    "badtxt": {"txt": '_mta-sts TXT "v=STSv1; id=no-hyphens"\n', "want": "pkix"},
    "twotxt": {"txt": '_mta-sts TXT "v=STSv1; id=1"\n_mta-sts TXT "v=STSv1; id=2"\n', "want": "pkix"},
    "danefirst": {"policy": policy(mx="elsewhere.{zone}"), "dane": True, "want": "dane"},
}


class Policies:
    """The HTTPS host of all domains, a certificate for each by SNI."""

    def __init__(self, address, ca):
        self.ca, self.served, self.asked = ca, {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                zone = self.headers["Host"].removeprefix("mta-sts.")
                case = outer.served.get(zone, {})
                outer.asked.append(zone)
                time.sleep(case.get("delay", 0))
                body = case.get("policy", policy()).format(zone=zone).encode()
                self.send_response(case.get("status", 200))
                self.send_header("Content-Type", case.get("type", "text/plain; charset=utf-8"))
                self.send_header("Location", "https://mta-sts.enforce.example/.well-known/mta-sts.txt")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        self.contexts = {}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        first = ca.issue("nobody.test")
        context.load_cert_chain(first.chain, first.key)
        context.sni_callback = self.choose
        self.server = http.server.ThreadingHTTPServer((address, 443), Handler)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, zone, case):
        self.served[zone] = case
        leaf = self.ca.issue(f"{case.get('https', 'mta-sts')}.{zone}")
        self.contexts[f"mta-sts.{zone}"] = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf.chain, leaf.key)

    def choose(self, sock, name, context):
        if name in self.contexts:
            sock.context = self.contexts[name]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def net(tmp_path_factory, ca):
    net = Internet(tmp_path_factory.mktemp("internet"))
    foreign = Authority(tmp_path_factory.mktemp("foreign"), "Foreign Root")
    https = net.address()
    net.policies, net.peers = Policies(https, ca), {}
    for name, case in CASES.items():
        zone, address = f"{name}.example", net.address()
        leaf = (foreign if case.get("foreign") else ca).issue(*case.get("names", [f"mx.{zone}"]),
                                                              expired=case.get("expired", False))
        text = f"@ MX 10 mx\nmx A {address}\n"
        text += case.get("txt", '_mta-sts TXT "v=STSv1; id=20261122"\n')
        text += f"mta-sts A {https}\n" if case.get("address", True) else ""
        text += f"_25._tcp.mx TLSA {leaf.tlsa()}\n" if case.get("dane") else ""
        net.zone(zone, text, "signed" if case.get("dane") else "unsigned")
        net.policies.add(zone, case)
        net.peers[name] = TlsPeer(leaf, starttls=case.get("starttls", True), host=address, port=25)
    yield net.start()
    net.policies.stop()
    for p in net.peers.values():
        p.stop()
    net.stop()


def server(node, net, ca, name="mx"):
    n = node(name=name, via='via = "mx"', queue='retry = {"2s"}',
             more=net.config(timeout='"3s"') + f'tls {{ ca = "{ca.cert}" }}\n')
    return n.start()


def expect(n, name, want, recipient):
    if want is None or isinstance(want, str):
        row = row_of(n, "delivered", recipient, 40)
        assert row.get("tls", "").endswith(want or ""), (name, row)
        assert want is not None or "tls" not in row
    else:
        row = row_of(n, "deferred", recipient)
        assert row["enhanced"] == want[0] and want[1] in row["text"], (name, row)


def test_each_case(node, net, ca):
    """All in one server: a policy that cannot be had, or is slow to come, delays its own domain only."""
    n = server(node, net, ca)
    begun = time.monotonic()
    for name in CASES:
        submit(n, f"u@{name}.example")
    row_of(n, "delivered", "u@enforce.example", 15)
    assert time.monotonic() - begun < 15
    for name, case in CASES.items():
        expect(n, name, case["want"], f"u@{name}.example")
        if "said" in case:
            assert any(r["domain"] == f"{name}.example" for r in n.events(case["said"])), name
    assert not any(p.messages for name, p in net.peers.items() if isinstance(CASES[name]["want"], tuple))


def test_policy_outlives_a_restart_and_the_host(node, net, ca):
    """RFC 8461 5.1: what was fetched holds to the end of its max_age, whoever suppresses record and host later."""
    n = server(node, net, ca, "keeps")
    submit(n, "u@enforce.example")
    row_of(n, "delivered", "u@enforce.example")
    assert (n.folder / "data/sts/enforce.example").read_bytes().startswith(b"sts1 20261122 ")
    before = net.policies.asked.count("enforce.example")
    n.stop()
    n.start()
    submit(n, "again@enforce.example")
    assert row_of(n, "delivered", "again@enforce.example")["tls"].endswith(" sts")
    assert net.policies.asked.count("enforce.example") == before


def test_fetched_once_for_many(node, net, ca):
    n = server(node, net, ca, "once")
    before = net.policies.asked.count("wildcard.example")
    for i in range(20):
        submit(n, f"u{i}@wildcard.example")
    wait_until(lambda: len(n.events("delivered")) == 20, 30)
    assert net.policies.asked.count("wildcard.example") - before <= 2  # at most once a deliverer
