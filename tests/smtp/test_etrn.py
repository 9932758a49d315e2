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
