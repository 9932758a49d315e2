"""REQUIRETLS (RFC 8689) from one of our servers to another over the Internet: kept where the next hop promises it too,
given back where it does not."""

import smtplib
import ssl

import pytest
from authority import Authority
from internet import Internet, missing
from node import SMALL
from test_dns import row_of
from test_sts import Policies
from test_trace import ended, trace
from tlspeer import TlsPeer

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

PEER = """\
hostname = "mx.{zone}"
data = "data"
listener "mx" {{ address = {{"{address}:25", "127.0.0.1:PORT"}} }}
tls {{ certificate = "{leaf.chain}"  key = "{leaf.key}" }}
domain "{zone}" {{ users = "any"  deliver = "maildir:mail/{{domain}}/{{local}}" }}
log {{ format = "json" }}
{small}
"""


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def net(tmp_path_factory, ca):
    """Zones whose host is ours (dane, sts), offers no REQUIRETLS (without), is proved by nothing (unproved), or has a
    first host without and a second one with it (second)."""
    net = Internet(tmp_path_factory.mktemp("internet"))
    https = net.address()
    net.at = {name: net.address() for name in ("dane", "sts", "without", "unproved", "second")}
    net.leaf = {name: ca.issue(f"mx.{name}.example") for name in net.at}
    net.peers, net.policies = [], Policies(https, ca)
    for name in ("dane", "without"):
        net.zone(f"{name}.example", f"@ MX 10 mx\nmx A {net.at[name]}\n_25._tcp.mx TLSA {net.leaf[name].tlsa()}\n")
    net.zone("sts.example", f"@ MX 10 mx\nmx A {net.at['sts']}\nmta-sts A {https}\n_mta-sts TXT \"v=STSv1; id=1\"\n",
             "unsigned")
    net.policies.add("sts.example", {})
    net.zone("unproved.example", f"@ MX 10 mx\nmx A {net.at['unproved']}\n", "unsigned")
    net.zone("second.example", f"@ MX 10 mx.without.example.\n@ MX 20 mx\nmx A {net.at['second']}\n"
             f"_25._tcp.mx TLSA {net.leaf['second'].tlsa()}\n")
    for name in ("without", "unproved"):
        net.peers.append(TlsPeer(net.leaf[name], host=net.at[name], port=25))
    yield net.start()
    for p in net.peers:
        p.stop()
    net.policies.stop()
    net.stop()


def relay(node, net, ca):
    n = node(name="relay", via='via = "mx"', queue='retry = {"1h"}',
             more=net.config(timeout="5s") + f'tls {{ ca = "{ca.cert}" }}')
    n.values["name"] = "relay.own.example"
    n.write_config()
    return n.start()


def peer(node, net, name):
    return node(name=name, text=PEER.format(zone=f"{name}.example", address=net.at[name], leaf=net.leaf[name],
                                             small=SMALL)).start()


def submit(n, recipient, *options, sender="ann@example.org"):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", n.port, timeout=20) as s:
        s.starttls(context=context)
        s.ehlo()
        assert s.has_extn("requiretls")
        s.sendmail(sender, [recipient], "Subject: with care\r\n\r\nhello\r\n", mail_options=options)


@pytest.mark.parametrize("name", ["dane", "sts"])
def test_kept_by_a_server_that_promises_it(node, net, ca, name):
    there, n = peer(node, net, name), relay(node, net, ca)
    tracer = trace(n, f"{name}.example")
    submit(n, f"bob@{name}.example", "REQUIRETLS")
    row = row_of(n, "delivered", f"bob@{name}.example", seconds=30)
    assert row["tls"].endswith(f" {name}"), row
    there.await_mail("bob", domain=f"{name}.example")
    said = ended(tracer)
    mail = [line for line in said if line.startswith("> MAIL FROM:<ann@example.org>")]
    assert len(mail) == 1 and mail[0].endswith(" REQUIRETLS"), said
    # The promise begins inside TLS.
    assert said.index("> STARTTLS") < said.index(next(line for line in said if line.startswith("< 250") and
                                                     line.endswith("REQUIRETLS"))), said


@pytest.mark.parametrize("name,why", [("without", "does not promise"), ("unproved", "")])
def test_given_back_where_it_would_be_broken(node, net, ca, name, why):
    n = relay(node, net, ca)
    submit(n, f"bob@{name}.example", "REQUIRETLS")
    row = row_of(n, "failed", f"bob@{name}.example", seconds=30)
    assert row["enhanced"] == "5.7.30" and why in row["text"], row
    assert "5.7.30" in str(n.await_mail("ann")[0])
    assert not any(f"bob@{name}." in str(m) for p in net.peers for m in p.messages)
    # The same without the wish goes.
    submit(n, f"eve@{name}.example")
    row_of(n, "delivered", f"eve@{name}.example")


def test_the_next_host_may_promise(node, net, ca):
    there, n = peer(node, net, "second"), relay(node, net, ca)
    submit(n, "bob@second.example", "REQUIRETLS")
    assert row_of(n, "delivered", "bob@second.example", seconds=30)["remote"].startswith(net.at["second"])
    there.await_mail("bob", domain="second.example")
    assert not any("bob@second." in str(m) for m in net.peers[0].messages)
