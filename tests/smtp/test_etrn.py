"""RFC 1985: ETRN makes waiting mail of a configured domain be tried again, and no other."""

WAITS = """route "waits.example" { via = "smtp://127.0.0.1:9"  etrn = true }
route "other.example" { via = "smtp://127.0.0.1:19" }
"""


def test_etrn__waiting_mail_is_tried_now(server):
    from dialogue import Client

    s = server(more=WAITS).start()
    with Client(s, "127.0.0.2") as c:
        c.hello()
        c.mail("a@example.org", ["joe@waits.example"], b"Subject: x\r\n\r\nx\r\n")
        c.mail("a@example.org", ["joe@other.example"], b"Subject: x\r\n\r\nx\r\n")
        s.await_events("site-down", 2)
        c.command("ETRN waits.example", 250)
        rows = s.await_events("etrn")
        assert rows[0]["domain"] == "waits.example" and rows[0]["messages"] == 1, rows
        tried = s.await_events("site-down", 3, seconds=3)  # the probe would come after 5 s
        assert tried[2]["site"] == "smtp://127.0.0.1:9", tried
        # Asked again at once: it was just tried.
        c.command("ETRN waits.example", 250)
        c.command("ETRN other.example", 459)
        c.command("NOOP", 250)
    assert len(s.events("etrn")) == 1


def test_etrn__at_means_the_domains_below_too(server):
    """RFC 1985 5.2: "@" takes subdomains along, "#" a block's title; neighbours whose name only ends alike stay."""
    from dialogue import Client

    more = """route ".waits.example" { via = "smtp://127.0.0.1:9"  etrn = true }
route "waits.example" { via = "smtp://127.0.0.1:9" }
route "sowaits.example" { via = "smtp://127.0.0.1:9" }
"""
    s = server(more=more).start()
    with Client(s, "127.0.0.2") as c:
        c.hello()
        for domain in ("waits.example", "a.waits.example", "b.a.waits.example", "sowaits.example"):
            c.mail("a@example.org", [f"joe@{domain}"], b"Subject: x\r\n\r\nx\r\n")
        s.await_events("site-down", 1)
        for tries, node in enumerate(("@waits.example", "#.waits.example", "@a.waits.example"), 2):
            c.command(f"ETRN {node}", 250)
            s.await_events("site-down", tries)
        c.command("ETRN waits.example", 459)
        rows = s.await_events("etrn", 3)
    assert [(row["domain"], row["messages"]) for row in rows] == [
        ("@waits.example", 3), ("#.waits.example", 3), ("@a.waits.example", 2)], rows
