"""Logins that are bound to the TLS connection, from one Postrider to another: somebody in between, with a certificate
that the client trusts, cannot pass the login on, and cannot talk the two out of the binding (RFC 5802 6)."""

import socket
import ssl
import threading

import pytest
from authority import Authority
from node import free_port, wait_until
from test_client_certificate import SMART_HOST, USER, hand_over

PASSWORD = "p:ss w0rd, nobody=may-see"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def smart_host(node, ca):
    def make(mechanisms):
        ports = {"starttls": free_port(), "implicit": free_port()}
        names = ", ".join(f'"{m}"' for m in mechanisms)
        n = node("smart", SMART_HOST.format(leaf=ca.issue("localhost"), **ports) + f"auth {{ mechanisms = {{{names}}} }}")
        n.run("user", "add", USER, "--password-stdin", input=PASSWORD.encode())
        n.ports = ports
        return n.start()

    return make


def client_of(node, ca, tmp_path, via, **values):
    (tmp_path / "secret").write_text(f"{USER}:{PASSWORD}\n")
    return node(via=f'via = "{via}" tls = verify tls_ca = "{ca.cert}" credentials = "file:{tmp_path}/secret"',
                domain="elsewhere.example", **values).start()


class Between(threading.Thread):
    """Takes TLS with its own certificate, and passes on to TLS; edit: what the client gets to read."""

    def __init__(self, leaf, ca, onward, edit=lambda octets: octets):
        super().__init__(daemon=True)
        self.inner = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.inner.load_cert_chain(leaf.chain, leaf.key)
        self.outer = ssl.create_default_context(cafile=str(ca.cert))
        self.onward, self.edit, self.seen = onward, edit, b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            client = self.inner.wrap_socket(client, server_side=True)
            server = self.outer.wrap_socket(socket.create_connection(("127.0.0.1", self.onward), 20),
                                            server_hostname="localhost")
        except OSError:
            return
        threading.Thread(target=self.pump, args=(server, client, self.edit), daemon=True).start()
        self.pump(client, server, self.note)

    def note(self, octets):
        self.seen += octets
        return octets

    @staticmethod
    def pump(source, sink, edit):
        try:
            while octets := source.recv(65536):
                sink.sendall(edit(octets))
        except OSError:
            pass
        for s in (source, sink):
            s.close()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1"])
@pytest.mark.parametrize("way", ["starttls", "implicit"])
def test_each_form(node, ca, smart_host, tmp_path, mechanism, way):
    smart = smart_host([mechanism])
    scheme = "smtps" if way == "implicit" else "smtp"
    n = client_of(node, ca, tmp_path, f"{scheme}://localhost:{smart.ports[way]}")
    hand_over(n, mechanism)
    smart.await_mail("alice", 1, domain="example.org", seconds=20)
    row = smart.await_events("auth-ok", 1)[0]
    assert row["mechanism"] == mechanism and row["user"] == USER, row
    assert PASSWORD not in n.log() + smart.log()


def refused(n, smart):
    hand_over(n, "between")
    row = wait_until(lambda: n.events("deferred"), 20, n.log)[0]
    assert row["enhanced"] == "4.7.8" and row["code"] == 535, row
    assert smart.await_events("auth-failed", 1) and not smart.events("auth-ok")


def test_bound_elsewhere__is_refused(node, ca, smart_host, tmp_path):
    smart = smart_host(["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"])
    between = Between(ca.issue("localhost"), ca, smart.ports["implicit"])
    refused(client_of(node, ca, tmp_path, f"smtps://localhost:{between.port}", queue='retry = {"1h"}'), smart)
    assert b"AUTH SCRAM-SHA-256-PLUS " in between.seen


def test_plus_taken_away__is_refused(node, ca, smart_host, tmp_path):
    """The client says that it could have bound the channel; the server knows that it had offered that."""
    smart = smart_host(["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"])
    between = Between(ca.issue("localhost"), ca, smart.ports["implicit"],
                      lambda octets: octets.replace(b" SCRAM-SHA-256-PLUS", b""))
    refused(client_of(node, ca, tmp_path, f"smtps://localhost:{between.port}", queue='retry = {"1h"}'), smart)
    assert b"AUTH SCRAM-SHA-256 " in between.seen and b"-PLUS" not in between.seen


def test_somebody_between__has_nothing_to_do_where_nothing_is_bound(node, ca, smart_host, tmp_path):
    """The two tests above would fail for no other reason."""
    smart = smart_host(["SCRAM-SHA-256"])
    between = Between(ca.issue("localhost"), ca, smart.ports["implicit"])
    hand_over(client_of(node, ca, tmp_path, f"smtps://localhost:{between.port}"), "unbound")
    smart.await_mail("alice", 1, domain="example.org", seconds=20)
