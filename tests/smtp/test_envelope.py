"""RFC 5321 4.5.3.1.8, 4.5.3.1.10: the number of recipients."""


def test_recipients__hundred_at_least_then_452(servers, connect):
    c = connect(servers("small"))
    c.hello()
    c.command("MAIL FROM:<a@example.net>", 250)
    c.send(b"".join(b"RCPT TO:<u%d@any.example>\r\n" % i for i in range(102)))
    codes = [c.reply() for _ in range(102)]
    assert [code for code, _ in codes] == [250] * 100 + [452] * 2
    assert codes[100][1][0].startswith("452 4.5.3 ")
    # What was accepted stays: the client sends the message, and the rest in another transaction.
    c.command("DATA", 354)
    c.send(b"Subject: many\r\n\r\nx\r\n.\r\n")
    c.expect(250, "2.0.0 Accepted as")


def test_recipients__thousand_by_default(servers, connect):
    c = connect(servers())
    c.hello()
    c.command("MAIL FROM:<a@example.net>", 250)
    c.send(b"".join(b"RCPT TO:<u%d@any.example>\r\n" % i for i in range(1001)))
    codes = [c.reply()[0] for _ in range(1001)]
    assert codes == [250] * 1000 + [452]
    c.command("QUIT", 221)


def test_recipients__harvest_is_slowed(servers, connect):
    s = servers("small")
    c = connect(s)
    c.hello()
    c.command("MAIL FROM:<a@example.net>", 250)
    # errors = 3: thirty refusals pass at full speed, then it takes longer, then it ends.
    c.send(b"".join(b"RCPT TO:<guess%d@example.org>\r\n" % i for i in range(60)))
    codes = []
    while codes[-1:] != [421]:
        codes.append(c.reply()[0])
    assert codes == [550] * 35 + [421]
    c.expect_close()
