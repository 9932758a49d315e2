"""Those who speak for others, where the log or the limits have to know."""

import time

from dialogue import Client

PROXY = 'processes { receivers = 1 }\nlistener "behind" { address = {"127.0.0.1:@second@"}  proxy = {"127.0.0.4/32"} }'


def test_xforward__the_log_says_where_the_message_came_from(servers):
    s = servers("proxied")
    with Client(s, "127.0.0.6", host="second") as c:
        c.hello()
        c.command("XFORWARD ADDR=192.0.2.55 HELO=spike.example.net", 250)
        c.command("XFORWARD IDENT=A+20B", 250)
        c.mail("x@forwarded.example", ["bob@example.org"], b"Subject: x\r\n\r\nx\r\n")
        # Of this message only.
        c.mail("y@forwarded.example", ["bob@example.org"], b"Subject: x\r\n\r\nx\r\n")
    end = time.monotonic() + 10
    rows = {}
    while len(rows) < 2 and time.monotonic() < end:
        rows = {row["from"]: row for row in s.events("message-accepted") if row["from"].endswith("@forwarded.example")}
    assert rows["x@forwarded.example"]["forwarded"] == "ADDR=192.0.2.55 HELO=spike.example.net IDENT=A+20B"
    assert "forwarded" not in rows["y@forwarded.example"]


def test_proxy__the_limit_of_an_address_is_the_clients(server):
    s = server(limits="connections_per_ip = 2", more=PROXY).start()
    made = []

    def connect(address):
        made.append(Client(s, "127.0.0.4", host="second"))
        made[-1].send(b"PROXY TCP4 %s 127.0.0.1 4711 25\r\n" % address)
        return made[-1]

    try:
        for address in (b"192.0.2.1", b"192.0.2.1", b"192.0.2.2", b"192.0.2.2"):
            connect(address).expect(220)
        refused = connect(b"192.0.2.1")
        refused.expect(421, "4.7.0")
        refused.expect_close()
        # One goes, one may come.
        made[0].command("QUIT", 221)
        made[0].expect_close()
        connect(b"192.0.2.1").expect(220)
    finally:
        for c in made:
            c.close()
    connected = {row["client"] for row in s.events("connect") if row.get("proxy") == "127.0.0.4"}
    assert connected == {"192.0.2.1", "192.0.2.2"}
