"""Which way out: IPv6 beside IPv4, source addresses, and another way when one is refused. In a network namespace, where
addresses of both families are ours, and some are nobody's."""

import collections
import contextvars

import pytest
from internet import Internet
from load import Sink
from namespace import Silent, namespace
from node import wait_until
from test_delivery import await_messages
from test_dns import row_of, submit

V4, V6 = "192.0.2.1", "2001:db8::1"
OTHER_V4, OTHER_V6 = "192.0.2.2", "2001:db8::2"
DEAD_V4, DEAD_V6 = "192.0.2.9", "2001:db8::9"  # answers, by a reset
SILENT_V4, SILENT_V6 = "192.0.2.10", "2001:db8::10"  # never answers
FROM_V4 = [f"192.0.2.{n}" for n in (101, 102, 103)]
FROM_V6 = [f"2001:db8::{n}" for n in (101, 102, 103)]

VISITOR = contextvars.ContextVar("visitor")
NAME = contextvars.ContextVar("name", default="")


class Witness(Sink):
    """A host that notes from where each session came and as whom; refuse(visitor): a reply to MAIL, or None."""

    def __init__(self, address, refuse=lambda visitor: None, at="MAIL"):
        super().__init__(port=25, rule=self.note)
        self.address, self.refuse, self.at = address, refuse, at
        self.visits, self.taken = [], []

    async def session(self, reader, writer):
        VISITOR.set(writer.get_extra_info("peername")[0])
        await super().session(reader, writer)

    def note(self, verb, argument):
        if verb == "EHLO":
            NAME.set(argument)
            self.visits.append((VISITOR.get(), argument))
        if verb == "DOT":
            self.taken.append((VISITOR.get(), NAME.get()))
        return self.refuse(VISITOR.get()) if verb == self.at else None


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    with namespace(V4, V6, OTHER_V4, OTHER_V6, DEAD_V4, DEAD_V6, SILENT_V4, SILENT_V6, *FROM_V4,
                   *FROM_V6):
        silent = [Silent(a) for a in (SILENT_V4, SILENT_V6)]
        net = Internet(tmp_path_factory.mktemp("internet"))
        for name, addresses in {"both": (V4, V6), "silent6": (V4, SILENT_V6), "silent4": (SILENT_V4, V6),
                                "dead6": (V4, DEAD_V6), "dead4": (DEAD_V4, V6), "silent": (SILENT_V4, SILENT_V6),
                                "only4": (V4,), "only6": (V6,)}.items():
            records = "".join(f"mx {'AAAA' if ':' in a else 'A'} {a}\n" for a in addresses)
            net.zone(f"{name}.example", f"@ MX 10 mx\n{records}")
        net.zone("two.example", f"@ MX 10 mx1\n@ MX 20 mx2\nmx1 AAAA {V6}\nmx2 A {OTHER_V4}\n")
        yield net.start()
        net.stop()
        for host in silent:
            host.stop()


@pytest.fixture
def host():
    made = []

    def make(address, **values):
        made.append(Witness(address, **values).start())
        return made[-1]

    yield make
    for h in made:
        h.stop()


def server(node, net, relay="", queue='retry = {"1h"}', more=""):
    return node(name="mx", via=f'via = "mx" {relay}', queue=queue, more=net.config(timeout="5s") + more).start()


# ---- both families ----

RACES = {  # domain, who listens, who gets it, whether the other was waited for
    "both_alive__ipv6_first": ("both", (V4, V6), V6, False),
    "ipv6_silent__ipv4_beside_it": ("silent6", (V4,), V4, True),
    "ipv4_silent__ipv6_at_once": ("silent4", (V6,), V6, False),
    "ipv6_refuses__ipv4_at_once": ("dead6", (V4,), V4, False),
    "ipv4_refuses__ipv6": ("dead4", (V6,), V6, False),
}


@pytest.mark.parametrize("case", RACES)
def test_race(node, net, host, case):
    domain, alive, wanted, waited = RACES[case]
    hosts = {a: host(a) for a in alive}
    n = server(node, net, queue='retry = {"1h"} connect_timeout = "60s"')
    submit(n, f"u@{domain}.example")
    # Well before the silent address's timeout.
    row = row_of(n, "delivered", f"u@{domain}.example", seconds=40)
    assert row["remote"].startswith(f"[{wanted}]:25" if ":" in wanted else f"{wanted}:25"), row
    assert len(await_messages(hosts[wanted], 1)) == 1  # its thread may be behind the log
    assert sum(h.connections for h in hosts.values()) == 1, {a: h.connections for a, h in hosts.items()}
    if waited:  # RFC 8305 5: the attempt delay
        assert row["connect"] >= 0.25, row


def test_race__nobody_answers(node, net):
    n = server(node, net, queue='retry = {"1h"} connect_timeout = "1s"')
    submit(n, "u@silent.example")
    row = row_of(n, "deferred", "u@silent.example", seconds=30)
    assert row["enhanced"] == "4.4.1" and "timed out" in row["text"], row
    shown = n.run("queue", "show", row["id"]).stdout.decode()
    assert SILENT_V4 in shown and SILENT_V6 in shown


# ---- source addresses ----


def test_sources__by_weight_each_with_its_name(node, net, host):
    h = host(V4)
    pool = f'source = {{"{FROM_V4[0]} one.example.org x3", "{FROM_V4[1]} two.example.org"}}'
    n = server(node, net, pool)
    for i in range(200):
        submit(n, f"u{i}@only4.example")
    await_messages(h, 200, seconds=60)
    n.await_empty(30)
    names = {FROM_V4[0]: "one.example.org", FROM_V4[1]: "two.example.org"}
    assert {v: name for v, name in h.taken} == names and set(h.visits) == set(names.items()), set(h.visits)
    count = collections.Counter(v for v, _ in h.taken)
    assert 115 <= count[FROM_V4[0]] <= 185, count  # 150 of 200, within five and a half sigma


def test_sources__by_family_each_with_its_name(node, net, host):
    four, six = host(V4), host(V6)
    n = server(node, net, f'source = {{"{FROM_V4[0]} four.example.org", "{FROM_V6[0]} six.example.org"}}')
    submit(n, "u@only4.example")
    submit(n, "u@only6.example")
    await_messages(four, 1)
    await_messages(six, 1)
    assert four.visits == [(FROM_V4[0], "four.example.org")] and six.visits == [(FROM_V6[0], "six.example.org")]


def test_sources__by_route(node, net, host):
    h = host(V4)
    n = server(node, net, f'source = {{"{FROM_V4[0]} relay.example.org"}}', more=(
        f'route "only4.example" {{ via = "mx" source = {{"{FROM_V4[1]} route.example.org"}} }}\n'
        f'route "from:news@example.org" {{ via = "mx" source = {{"{FROM_V4[2]} news.example.org"}} }}\n'))
    submit(n, "u@only4.example")
    submit(n, "u@silent6.example", sender="news@example.org")
    await_messages(h, 2)
    assert sorted(h.visits) == [(FROM_V4[1], "route.example.org"), (FROM_V4[2], "news.example.org")], h.visits


def test_sources__one_that_this_machine_lacks(node, net, host):
    host(V4)
    n = server(node, net, 'source = {"203.0.113.7"}')
    submit(n, "u@only4.example")
    row = row_of(n, "deferred", "u@only4.example")
    assert "assign requested address" in row["text"], row


# ---- a reply that means our address ----

REFUSED = {
    "mail": ("MAIL", "550 5.7.25 {0} has no reverse name"),
    "greeting": ("CONNECT", "554 5.7.1 blocked using bl.example; {0}"),
    "rcpt": ("RCPT", "450 4.7.1 Service refused, client host [{0}] is listed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused__the_other_family(node, net, host, case):
    at, reply = REFUSED[case]
    six, four = host(V6, refuse=reply.format, at=at), host(V4)
    n = server(node, net)
    submit(n, "u@both.example")
    row = row_of(n, "delivered", "u@both.example")
    assert row["remote"].startswith(f"{V4}:25") and six.connections == 1 and not six.messages, row
    assert not n.events("deferred") and not n.events("failed") and len(await_messages(four, 1)) == 1


def test_refused__the_other_family_at_the_next_host(node, net, host):
    six, four = host(V6, refuse=REFUSED["mail"][1].format), host(OTHER_V4)
    n = server(node, net)
    submit(n, "u@two.example")
    assert row_of(n, "delivered", "u@two.example")["remote"].startswith(f"{OTHER_V4}:25")
    assert six.connections == 1 and len(await_messages(four, 1)) == 1


@pytest.mark.parametrize("case", REFUSED)
def test_refused__another_source(node, net, host, case):
    at, reply = REFUSED[case]
    h = host(V4, refuse=lambda v: reply.format(v) if v == FROM_V4[0] else None, at=at)
    n = server(node, net, f'source = {{"{FROM_V4[0]} one.example.org x1000", "{FROM_V4[1]} two.example.org"}}')
    submit(n, "u@only4.example")
    row_of(n, "delivered", "u@only4.example")
    assert h.taken == [(FROM_V4[1], "two.example.org")] and not n.events("deferred"), h.visits


def test_refused__everywhere(node, net, host):
    """Each source and family once, then the answer stands."""
    h = [host(a, refuse=REFUSED["mail"][1].format) for a in (V4, V6)]
    n = server(node, net, "source = {" + ", ".join(f'"{a}"' for a in (*FROM_V4, *FROM_V6)) + "}")
    submit(n, "u@both.example")
    row = row_of(n, "failed", "u@both.example")
    assert row["code"] == 550 and row["enhanced"] == "5.7.25", row
    assert 2 <= sum(x.connections for x in h) <= 3, [x.visits for x in h]


def test_refused__for_another_reason(node, net, host):
    """What is about the message or the recipient is asked once."""
    h = [host(a, refuse=lambda v: "550 5.7.1 we do not like your sender") for a in (V4, V6)]
    n = server(node, net)
    submit(n, "u@both.example")
    row_of(n, "failed", "u@both.example")
    assert sum(x.connections for x in h) == 1
