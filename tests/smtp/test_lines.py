"""One table for each grammar that a client's line may break: what is said, and the code of its reply (RFC 5321 4.1.1,
4.1.2, 4.1.3, 4.1.1.11 and the extensions' parameters). Each stands between good commands in one group: the replies
stay in step, and each has an enhanced code of its class (RFC 2034 4, RFC 2920 3.2)."""

import re

import pytest

MAIL = b"MAIL FROM:<a@example.net>"
RCPT = b"RCPT TO:<alice@example.org>"
# Parameters of MAIL.
OF_MAIL = [
    (b"SIZE=", 501), (b"SIZE=0", 250), (b"SIZE=1 SIZE=1", 501), (b"SIZE", 501), (b"SIZE=18446744073709551615", 552),
    (b"SIZE=18446744073709551616", 552), (b"SIZE=99999999999999999999", 552), (b"SIZE=999999999999999999999", 501),
    (b"SIZE=-1", 501), (b"SIZE=1x", 501), (b"size=10 body=8bitmime", 250), (b"BODY=", 501), (b"BODY=FOO", 501),
    (b"BODY=8BITMIME BODY=7BIT", 501), (b"BODY", 501), (b"=x", 501), (b"SIZE==5", 501), (b"S\xc3\xb6=1", 501),
    (b"-X=1", 501), (b"X-Y=1", 555), (b"X_Y=1", 501), (b"RET=FULL RET=FULL", 501), (b"RET=HDRS RET=FULL", 501),
    (b"RET=", 501), (b"RET", 501), (b"RET=BODY", 501), (b"ret=hdrs", 250), (b"ENVID=", 501),
    (b"ENVID=" + b"a" * 100, 250), (b"ENVID=" + b"a" * 101, 501), (b"ENVID=+41+42", 250), (b"ENVID=+4", 501),
    (b"ENVID=+4g", 501), (b"ENVID=+4a", 501), (b"ENVID=a+0D+0Ab", 501), (b"ENVID=+00", 501), (b"ENVID=+7F", 501),
    (b"ENVID=+80", 501), (b"ENVID=a=b", 501), (b"ENVID=x ENVID=y", 501), (b"ENVID=+2B+3D", 250), (b"BY=10;R", 250),
    (b"BY=0;R", 501), (b"BY=-1;R", 501), (b"BY=0;N", 250), (b"BY=-10;N", 250), (b"BY=10", 501), (b"BY=10;", 501),
    (b"BY=10;X", 501), (b"BY=10;NT", 250), (b"BY=10;RT", 250), (b"BY=10;RTT", 501), (b"BY=10;TR", 501),
    (b"BY=;R", 501), (b"BY=1234567890;R", 501), (b"BY=999999999;R", 250), (b"BY=--1;N", 501), (b"BY=5;r", 250),
    (b"BY=5;R BY=5;N", 501), (b"BY=+5;N", 250), (b"MT-PRIORITY=0", 250), (b"MT-PRIORITY=9", 250),
    (b"MT-PRIORITY=-9", 250), (b"MT-PRIORITY=10", 501), (b"MT-PRIORITY=-10", 501), (b"MT-PRIORITY=", 501),
    (b"MT-PRIORITY=+1", 501), (b"MT-PRIORITY=-0", 501), (b"MT-PRIORITY=1 MT-PRIORITY=1", 501),
    (b"MT-PRIORITY=01", 501), (b"HOLDFOR=1", 555), (b"REQUIRETLS", 555), (b"AUTH=<>", 555), (b"SMTPUTF8=1", 501),
    (b"SMTPUTF8", 250), (b"SMTPUTF8 SMTPUTF8", 501), (b"PRDR", 250), (b"PRDR=1", 501), (b"PRDR PRDR", 501),
    (b"NOTIFY=NEVER", 555), (b"XOORG=x", 555), (b"SMTPUTF8 BODY=7BIT", 250),
]
# Parameters of RCPT.
OF_RCPT = [
    (b"NOTIFY=", 501), (b"NOTIFY=NEVER", 250), (b"NOTIFY=NEVER,SUCCESS", 501), (b"NOTIFY=SUCCESS,NEVER", 501),
    (b"NOTIFY=SUCCESS,", 501), (b"NOTIFY=,SUCCESS", 501), (b"NOTIFY=SUCCESS,,DELAY", 501),
    (b"NOTIFY=SUCCESS,FAILURE,DELAY", 250), (b"NOTIFY=success", 250), (b"NOTIFY=NEVER,NEVER", 501),
    (b"NOTIFY=SUCCESS,SUCCESS", 250), (b"NOTIFY=DELAY NOTIFY=DELAY", 501), (b"NOTIFY", 501), (b"NOTIFY=FOO", 501),
    (b"ORCPT=rfc822;a@b.c", 250), (b"ORCPT=rfc822;", 501), (b"ORCPT=;a@b", 501), (b"ORCPT=rfc822", 501),
    (b"ORCPT=", 501), (b"ORCPT", 501), (b"ORCPT=rfc822;a+2Bb@c", 250), (b"ORCPT=rfc822;a+2b@c", 501),
    (b"ORCPT=rfc822;a=b@c", 501), (b"ORCPT=rfc822;a+0D+0Ab", 501), (b"ORCPT=rfc822;a ORCPT=rfc822;b", 501),
    (b"ORCPT=x-y;abc", 250), (b"ORCPT=rfc822;" + b"a" * 493, 250), (b"ORCPT=rfc822;" + b"a" * 494, 501),
    (b"ORCPT=utf-8;a\\x{F6}b@c.example", 250), (b"ORCPT=utf-8;a\xc3\xb6b@c.example", 501),
    (b"ORCPT=utf-8;\\x{D800}", 501), (b"ORCPT=utf-8;\\x{}", 501), (b"ORCPT=utf-8;\\x{110000}", 501),
    (b"ORCPT=r@c822;a", 501), (b"RET=FULL", 555), (b"SIZE=5", 555), (b"FOO", 555),
]
# Reverse-paths.
SENDERS = [
    (b"<>", 250), (b"<a@[127.0.0.1]>", 250), (b"<a@[256.0.0.1]>", 501), (b"<a@[1.2.3]>", 501),
    (b"<a@[IPv6:::1]>", 250), (b"<a@[IPv6:2001:db8::1]>", 250), (b"<a@[IPv6:1:2:3:4:5:6:7:8]>", 250),
    (b"<a@[IPv6:1:2:3:4:5:6:7:8:9]>", 501), (b"<a@[IPv6:1::2::3]>", 501), (b"<a@[IPv6:::ffff:1.2.3.4]>", 250),
    (b"<a@[IPv6:]>", 501), (b"<a@[IPv6:g::1]>", 501), (b"<a@[ipv6:::1]>", 250), (b"<a@[X-tag:abc]>", 501),
    (b"<a@[tag:]>", 501), (b"<a@[]>", 501), (b"<a@[::1]>", 501), (b"<a@[127.0.0.1>", 501), (b"<a@127.0.0.1]>", 501),
    (b"<\"a b\"@c.example>", 250), (b"<\"a\\\"b\"@c.example>", 250), (b"<\"a\\\\\"@c.example>", 250),
    (b"<\"a\\\"@c.example>", 501), (b"<\"\"@c.example>", 250), (b"<\"a\x01\"@c.example>", 500),
    (b"<\"a\"b@c.example>", 501), (b"<a\"b\"@c.example>", 501), (b"<a..b@c.example>", 501), (b"<.a@c.example>", 501),
    (b"<a.@c.example>", 501), (b"<a@.c.example>", 501), (b"<a@c..example>", 501), (b"<a@c.example.>", 501),
    (b"<a@-c.example>", 501), (b"<a@c-.example>", 501), (b"<a@c_d.example>", 501),
    (b"<a@" + b"x" * 63 + b".example>", 250), (b"<a@" + b"x" * 64 + b".example>", 501),
    (b"<@h1.example,@h2.example:a@c.example>", 250), (b"<@h1.example:a@c.example>", 250),
    (b"<@h1.example a@c.example>", 501), (b"<@:a@c.example>", 501), (b"<@h1.example,:a@c.example>", 501),
    (b"<a@c.example", 501), (b"a@c.example", 501), (b"<a>", 501), (b"<@c.example>", 501), (b"<a@>", 501),
    (b"< a@c.example>", 501), (b"<a@c.example >", 501), (b" <a@c.example>", 250), (b"<a@c.example>x", 501),
    (b"<a@b@c.example>", 501), (b"<a\xc3\xb6@c.example>", 553), (b"<a@\xc3\xb6.example>", 553),
    (b"<a!b%c@c.example>", 250), (b"<a!#$%&'*+-/=?^_`{|}~@c.example>", 250), (b"<a(x)@c.example>", 501),
    (b"<a,b@c.example>", 501), (b"", 501), (b"<<a@c.example>>", 501), (b"<\x00@c.example>", 500),
    (b"<a@c.example> ", 250), (b"<\"a\x00b\"@c.example>", 500), (b"<" + b"a" * 65 + b"@c.example>", 501),
]
# Reverse-paths with SMTPUTF8.
SENDERS_UTF8 = [
    (b"<a\xc3\xb6@c.example>", 250), (b"<a\xc3@c.example>", 501), (b"<a@\xc3\xb6.example>", 250),
    (b"<a\xed\xa0\x80@c.example>", 501), (b"<a@\xe2\x80\x8b.example>", 553), (b"<\"\xc3\xb6 x\"@c.example>", 250),
]
# Forward-paths, and what may stand behind them.
RECIPIENTS = [
    (b"<>", 501), (b"<postmaster>", 250), (b"<PostMaster>", 250), (b"<postmaster@>", 501), (b"<alice>", 501),
    (b"<Alice@EXAMPLE.ORG>", 250), (b"<\"alice\"@example.org>", 250), (b"<\"al\\ice\"@example.org>", 250),
    (b"<@x.example:alice@example.org>", 250), (b"<alice@[127.0.0.1]>", 250), (b"<alice@example.org> FOO", 555),
    (b"<alice@example.org> NOTIFY", 501), (b"<alice@example.org>NOTIFY=NEVER", 501), (b"<nobody@example.org>", 550),
    (b"<x@foreign.example>", 550), (b"<alice%foreign.example@example.org>", 550),
    (b"<\"alice@foreign.example\"@example.org>", 550),
]
# Other commands, outside a transaction.
WORDS = [
    (b"BDAT 5\r\nhel", 503), (b"DATA", 503), (b"NOOP " + b"x" * 600, 250), (b"NOOP " + b"x" * 100000, 500),
    (b"RSET x", 501), (b"NOOP x y z", 250), (b"HELP", 214), (b"HELP MAIL", 214), (b"HELP \xff", 501), (b"VRFY", 501),
    (b"EXPN", 501), (b"VRFY alice", 252), (b"EXPN team", 502), (b"ETRN example.org", 502), (b"ETRN", 501),
    (b"TURN", 500), (b"SEND FROM:<a@b.c>", 500), (b"SOML FROM:<a@b.c>", 500), (b"SAML FROM:<a@b.c>", 500),
    (b"XCLIENT ADDR=1.2.3.4", 550), (b"XFORWARD ADDR=1.2.3.4", 550), (b"LHLO x", 500), (b"MAIL", 501),
    (b"MAIL FROM", 501), (b"MAIL TO:<a@b.c>", 501), (b"MAIL FROM <a@b.c>", 501), (b"RCPT TO:<a@b.c>", 503),
    (b"mail from:<a@b.c>", 250), (b"MAIL FROM: <a@b.c>", 250), (b"BURL x", 500), (b"DATA", 503), (b"BDAT x", 501),
    (b"VRFY <alice@example.org>", 252), (b"VRFY alice@example.org SMTPUTF8", 252),
    (b"VRFY \xc3\xb6@example.org SMTPUTF8", 252), (b"EXPN team SMTPUTF8", 502),
]
CASES = (
    [(b"", MAIL + b" " + p, c) for p, c in OF_MAIL]
    + [(MAIL, RCPT + b" " + p, c) for p, c in OF_RCPT]
    + [(b"", b"MAIL FROM:" + p, c) for p, c in SENDERS]
    + [(b"", b"MAIL FROM:" + p + b" SMTPUTF8", c) for p, c in SENDERS_UTF8]
    + [(MAIL, b"RCPT TO:" + p, c) for p, c in RECIPIENTS]
    + [(b"", w, c) for w, c in WORDS]
)


@pytest.mark.parametrize("before, said, code", CASES)
def test_line__between_good_ones(servers, connect, before, said, code):
    c = connect(servers())
    c.hello()
    group = [line for line in (before, said, b"NOOP", b"QUIT") if line]
    c.send(b"\r\n".join(group) + b"\r\n")
    replies = [c.reply() for _ in group]
    want = ([250] if before else []) + [code, 250, 221]
    assert [got for got, _ in replies] == want, (said, replies)
    for _, lines in replies:
        for line in lines:
            match = re.match(r"([245])\d\d[ -]([245])\.\d{1,3}\.\d{1,3} ", line)
            assert match and match[1] == match[2], (said, line)
