"""TLS reports (RFC 8460): signed zones, MX hosts that fail in each way, an HTTPS host that takes the reports."""

import json
import os
import signal
import struct
import subprocess
import time

import pytest
from authority import Authority
from internet import Internet, missing
from node import PROGRAM, wait_until
from reports import Reports
from test_dns import row_of, submit
from test_sts import Policies, policy
from tlspeer import TlsPeer

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

UNUSABLE = "0 0 1 " + "ab" * 32
OTHER = "3 1 1 " + "cd" * 32
EE, TA = (lambda leaf, ca: leaf.tlsa()), (lambda leaf, ca: ca.tlsa(2, 0, 1))

# domain: how it is set up; wanted: policy-type, successful sessions, failed ones by result-type, and whether the mail
# arrives. "plain": what is told of the session beside it, under no policy.
CASES = {
    "dane": {"tlsa": EE, "want": ("tlsa", 1, {}), "arrives": True},
    "dane-stripped": {"tlsa": EE, "starttls": False, "want": ("tlsa", 0, {"starttls-not-supported": 1})},
    "dane-refused": {"tlsa": EE, "starttls": "refuse", "want": ("tlsa", 0, {"starttls-not-supported": 1})},
    "dane-mismatch": {"tlsa": lambda leaf, ca: OTHER, "want": ("tlsa", 0, {"tlsa-invalid": 1})},
    "dane-unusable": {"tlsa": lambda leaf, ca: UNUSABLE, "want": ("tlsa", 0, {"tlsa-invalid": 1}), "arrives": True},
    "dane-name": {"tlsa": TA, "names": ["other.test"], "want": ("tlsa", 0, {"certificate-host-mismatch": 1})},
    "dane-expired": {"tlsa": TA, "expired": True, "want": ("tlsa", 0, {"certificate-expired": 1})},
    "dane-garbled": {"tlsa": EE, "starttls": "break", "want": ("tlsa", 0, {"validation-failure": 1})},
    "dane-bogus": {"child": "expired", "want": ("tlsa", 0, {"dnssec-invalid": 1})},
    "dane-servfail": {"child": "broken", "want": ("tlsa", 0, {"dnssec-invalid": 1})},
    "required": {"want": ("no-policy-found", 0, {"dane-required": 1})},
    "sts": {"sts": {}, "want": ("sts", 1, {}), "arrives": True},
    "sts-stripped": {"sts": {}, "starttls": False, "want": ("sts", 0, {"starttls-not-supported": 1})},
    "sts-name": {"sts": {}, "names": ["other.test"], "want": ("sts", 0, {"certificate-host-mismatch": 1})},
    "sts-untrusted": {"sts": {}, "foreign": True, "want": ("sts", 0, {"certificate-not-trusted": 1})},
    "sts-expired": {"sts": {}, "expired": True, "want": ("sts", 0, {"certificate-expired": 1})},
    "sts-host": {"sts": {"policy": policy(mx="elsewhere.{zone}")}, "want": ("sts", 0, {"validation-failure": 1})},
    "sts-testing": {"sts": {"policy": policy("testing")}, "names": ["other.test"], "arrives": True,
                    "want": ("sts", 0, {"certificate-host-mismatch": 1})},
    "sts-testing-host": {"sts": {"policy": policy("testing", mx="elsewhere.{zone}")}, "arrives": True,
                         "want": ("sts", 0, {"validation-failure": 1})},
    "sts-fetch": {"sts": {"status": 404}, "want": ("sts", 0, {"sts-policy-fetch-error": 1}), "plain": 1,
                  "arrives": True},
    "sts-broken": {"sts": {"policy": "version: STSv1\nmode: strict\n"}, "plain": 1, "arrives": True,
                   "want": ("sts", 0, {"sts-policy-invalid": 1})},
    "sts-webpki": {"sts": {"https": "elsewhere"}, "want": ("sts", 0, {"sts-webpki-invalid": 1}), "plain": 1,
                   "arrives": True},
    "plain": {"want": ("no-policy-found", 1, {}), "arrives": True},
    "plain-stripped": {"starttls": False, "want": ("no-policy-found", 0, {"starttls-not-supported": 1}),
                       "arrives": True},
}
# What domains say about their reports, and what comes of it.
RECORDS = {
    "two-uris": '"v=TLSRPTv1; rua=https://reports.example/one , https://reports.example/two"',
    "joined": '"v=TLSRPTv1; rua=https://reports" ".example/joined;"',
    "beside": '"something else"\n_smtp._tls TXT "v=TLSRPTv1;rua=https://reports.example/beside"',
    "several": '"v=TLSRPTv1;rua=https://reports.example/several"\n'
               '_smtp._tls TXT "v=TLSRPTv1;rua=https://reports.example/several2"',
    "brokenrecord": '"v=TLSRPTv1;rua"',
    "mail": '"v=TLSRPTv1; rua=mailto:tls@mail.example,https://reports.example/mail"',
    "refusing": '"v=TLSRPTv1; rua=https://reports.example/refusing"',
    "failing": '"v=TLSRPTv1; rua=https://reports.example/failing"',
    "hanging": '"v=TLSRPTv1; rua=https://reports.example/hanging"',
    "unreachable": '"v=TLSRPTv1; rua=https://reports.example:9/x"',
    "nohost": '"v=TLSRPTv1; rua=https://nobody.example/x"',
    "wrongname": '"v=TLSRPTv1; rua=https://wrong.example/x"',
}


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def add_case(net, ca, foreign, https, name, case):
    zone, address = f"{name}.example", net.address()
    leaf = (foreign if case.get("foreign") else ca).issue(*case.get("names", [f"mx.{zone}"]),
                                                         expired=case.get("expired", False))
    text = f"@ MX 10 mx\nmx A {address}\n"
    text += f"_25._tcp.mx TLSA {case['tlsa'](leaf, ca)}\n" if "tlsa" in case else ""
    record = case.get("record", f'"v=TLSRPTv1; rua=https://reports.example/{name}"')
    text += f"_smtp._tls TXT {record}\n" if record else ""
    if "sts" in case:
        text += f'_mta-sts TXT "v=STSv1; id=1"\nmta-sts A {https}\n'
        net.policies.add(zone, case["sts"])
    net.zone(zone, text)
    if "child" in case:
        net.zone(f"_tcp.mx.{zone}", "_25 TLSA " + OTHER + "\n", case["child"])
    net.peers[name] = TlsPeer(leaf, starttls=case.get("starttls", True), host=address, port=25)


@pytest.fixture(scope="module")
def net(tmp_path_factory, ca):
    net = Internet(tmp_path_factory.mktemp("internet"))
    foreign = Authority(tmp_path_factory.mktemp("foreign"), "Foreign Root")
    https, where = net.address(), net.address()
    net.policies, net.peers = Policies(https, ca), {}
    net.reports = Reports(where, ca.issue("reports.example"))
    for name in ("reports", "wrong"):
        net.zone(f"{name}.example", f"@ A {where}\n")
    for name, case in CASES.items():
        add_case(net, ca, foreign, https, name, case)
    for name, record in RECORDS.items():
        add_case(net, ca, foreign, https, name, {"record": record})
    add_case(net, ca, foreign, https, "silentrecord", {"record": ""})
    # Guests of the host of "plain".
    for name in ("guest", "visitor"):
        net.zone(f"{name}.example", "@ MX 10 mx.plain.example.\n"
                 f'_smtp._tls TXT "v=TLSRPTv1; rua=https://reports.example/{name}"\n')
    net.zone("_tls.silentrecord.example", "", "broken")
    yield net.start()
    net.policies.stop()
    net.reports.stop()
    for p in net.peers.values():
        p.stop()
    net.stop()


@pytest.fixture(autouse=True)
def answers(net):
    net.reports.answers = {"/refusing": 404, "/failing": 500, "/hanging": "hang"}
    net.reports.posts.clear()
    yield net.reports.answers
    net.reports.released.set()
    net.reports.released.clear()


def server(node, net, ca, name="mx", tlsrpt="", more=""):
    more += f'route "required.example" {{ via = "mx"  tls = dane }}\ntlsrpt {{ {tlsrpt} }}\n'
    n = node(name=name, via='via = "mx"', queue='retry = {"1h"}',
             more=net.config(timeout='"3s"') + f'tls {{ ca = "{ca.cert}" }}\n' + more)
    return n.start()


def tlsrpt(n, *words):
    out = subprocess.run([PROGRAM, "tlsrpt", *words, "--json", "-c", str(n.conf)], capture_output=True, text=True,
                         timeout=60)
    assert out.returncode == 0, (words, out.stdout, out.stderr)
    return out.stdout


def listed(n, name=None):
    rows = [json.loads(line) for line in tlsrpt(n, "list").splitlines()]
    return [r for r in rows if name is None or r["domain"] == f"{name}.example"]


def deliver(n, name, seconds=40):
    """One message to that domain, and its session counted."""
    submit(n, f"u@{name}.example")
    row_of(n, "delivered", f"u@{name}.example", seconds)
    wait_until(lambda: any(r["state"] == "collecting" for r in listed(n, name)), 10)


def report_of(net, path, seconds=30):
    return wait_until(lambda: net.reports.bodies(path), seconds, lambda: str(net.reports.posts))


def policies_of(report):
    """(type, successes, {result: count}) of each policy."""
    return sorted((p["policy"]["policy-type"], p["summary"]["total-successful-session-count"],
                   {d["result-type"]: d["failed-session-count"] for d in p.get("failure-details", [])})
                  for p in report["policies"])


def check_report(name, case, report):
    wanted = [case["want"]] + ([("no-policy-found", case["plain"], {})] if "plain" in case else [])
    assert policies_of(report) == sorted(wanted), (name, report)
    assert report["organization-name"] == "mx.example.org" and report["contact-info"] == "postmaster@mx.example.org"
    assert f"{name}.example" in report["report-id"]
    main = next(p for p in report["policies"] if p["policy"]["policy-type"] == case["want"][0])
    domain = f"mx.{name}.example" if case["want"][0] == "tlsa" else f"{name}.example"
    assert main["policy"]["policy-domain"] == domain, (name, main)
    if "tlsa" in case and "unusable" not in name:
        assert len(main["policy"]["policy-string"]) == 1
    if case["want"][0] == "sts" and not case.get("plain"):
        lines = case["sts"].get("policy", policy()).format(zone=f"{name}.example").split()
        assert " ".join(main["policy"]["policy-string"]).split() == lines
        assert main["policy"]["mx-host"] == [f"{'elsewhere' if name.endswith('-host') else 'mx'}.{name}.example"]
    for detail in main.get("failure-details", []):
        met = "starttls" in case or "certificate" in detail["result-type"] or "mismatch" in name
        if met:  # a session took place: between whom?
            assert detail["receiving-mx-hostname"] == f"mx.{name}.example", detail
            assert detail["receiving-ip"].startswith("127.25.") and detail["sending-mta-ip"].startswith("127.")


def test_each_failure_is_told(node, net, ca):
    """RFC 8460 4.3: all cases in one server; a man in the middle who strips STARTTLS is refused, and reported."""
    n = server(node, net, ca)
    for name in CASES:
        submit(n, f"u@{name}.example")
    for name, case in CASES.items():
        row_of(n, "delivered" if case.get("arrives") else "deferred", f"u@{name}.example", 40)
    wait_until(lambda: len(listed(n)) == len(CASES), 10, lambda: str(listed(n)))
    shown = json.loads(tlsrpt(n, "show", "dane.example"))
    assert shown["policies"][0]["summary"]["total-successful-session-count"] == 1
    tlsrpt(n, "send", "--today")
    for name, case in CASES.items():
        reports = report_of(net, f"/{name}")
        assert len(reports) == 1, name
        check_report(name, case, reports[0])
    wait_until(lambda: not listed(n), 20, lambda: str(listed(n)))
    assert len(n.events("tlsrpt-report-sent")) == len(CASES)
    for name, case in CASES.items():
        assert len(net.peers[name].messages) == (1 if case.get("arrives") else 0), name


def test_sessions_are_counted_not_messages(node, net, ca):
    """RFC 8460 4.2: a kept connection is one session; equal failures are one detail with a count."""
    n = server(node, net, ca, "counts")
    for i in range(3):
        submit(n, f"u{i}@dane.example")
        row_of(n, "delivered", f"u{i}@dane.example")
    sessions = net.peers["dane"].connections
    for i in range(3):
        submit(n, f"u{i}@dane-stripped.example")
    wait_until(lambda: len([r for r in n.events("deferred")]) == 3, 20)
    wait_until(lambda: [r["failures"] for r in listed(n, "dane-stripped")] == [3], 10, lambda: str(listed(n)))
    tlsrpt(n, "send", "--today")
    good, bad = report_of(net, "/dane")[0], report_of(net, "/dane-stripped")[0]
    count = good["policies"][0]["summary"]["total-successful-session-count"]
    assert 1 <= count <= 3 and count <= sessions
    assert policies_of(bad) == [("tlsa", 0, {"starttls-not-supported": 3})]
    assert len(bad["policies"][0]["failure-details"]) == 1


def test_records(node, net, ca):
    """RFC 8460 3 and 5: which records count, and what becomes of each URI."""
    n = server(node, net, ca, "records")
    for name in [*RECORDS, "silentrecord"]:
        submit(n, f"u@{name}.example")
    wait_until(lambda: len(listed(n)) == len(RECORDS) + 1, 40, lambda: str(listed(n)))
    tlsrpt(n, "send", "--today")
    for path in ("/one", "/two", "/joined", "/beside", "/mail", "/refusing", "/failing", "/hanging"):
        report_of(net, path)
    by_domain = wait_until(lambda: settled(n), 40, lambda: str(listed(n)))
    states = {d.removesuffix(".example"): r["state"] for d, r in by_domain.items()}
    assert states == {"mail": "waiting for DKIM", "failing": "sending", "hanging": "sending",
                      "unreachable": "sending", "nohost": "sending", "wrongname": "sending",
                      "silentrecord": "collected"}
    assert "500" in by_domain["failing.example"]["text"]
    assert "address" in by_domain["nohost.example"]["text"]
    assert [t["state"] for t in by_domain["mail.example"]["targets"]] == ["waiting", "sent"]
    assert net.reports.bodies("/several") == []
    refused = [r for r in n.events("tlsrpt-report-refused")]
    assert [r["domain"] for r in refused] == ["refusing.example"] and "404" in refused[0]["reason"]
    waiting = [r for r in n.events("tlsrpt-report-waiting")]
    assert [(r["domain"], r["uri"]) for r in waiting] == [("mail.example", "mailto:tls@mail.example")]
    assert list((n.folder / "data/tlsrpt").glob("*.json.gz"))
    # One that hangs is cut off: the server ends within its grace all the same, and forgets nothing.
    begun = time.monotonic()
    n.stop()
    assert time.monotonic() - begun < 20
    n.start()
    wait_until(lambda: {r["domain"] for r in listed(n)} == set(by_domain), 10, lambda: str(listed(n)))
    net.reports.answers["/failing"] = 200
    tlsrpt(n, "send")
    report_of(net, "/failing")
    wait_until(lambda: not listed(n, "failing"), 20, lambda: str(listed(n)))
    ids = {r["report-id"] for r in net.reports.bodies("/failing")}
    assert len(ids) == 1  # a repetition can be told


def test_a_kept_session_counts_once_for_each_domain(node, net, ca):
    """Domains behind one provider share its connections; each is told of its own."""
    n = server(node, net, ca, "guests", more="processes { deliverers = 1 }\n")
    before = net.peers["plain"].connections
    for name in ("guest", "visitor", "guest", "visitor"):
        submit(n, f"u@{name}.example")
        wait_until(lambda: not [r for r in queued(n)], 20)
    assert net.peers["plain"].connections - before == 1
    tlsrpt(n, "send", "--today")
    for name in ("guest", "visitor"):
        assert policies_of(report_of(net, f"/{name}")[0]) == [("no-policy-found", 1, {})], name


def queued(n):
    out = subprocess.run([PROGRAM, "queue", "list", "--json", "-c", str(n.conf)], capture_output=True, text=True,
                         timeout=60)
    return out.stdout.splitlines()


def settled(n):
    """Rows by domain, once everything was tried that can be."""
    rows = {r["domain"]: r for r in listed(n)}
    tried = all(r["text"] or r["domain"] == "hanging.example" for r in rows.values() if r["state"] == "sending")
    made = all(r["state"] != "collected" or r["domain"] == "silentrecord.example" for r in rows.values())
    gone = not {"two-uris.example", "joined.example", "beside.example", "several.example", "brokenrecord.example",
                "refusing.example"} & set(rows)
    mail = rows.get("mail.example", {}).get("state") == "waiting for DKIM"
    return rows if tried and made and gone and mail else None


def test_restart_between_collecting_and_sending(node, net, ca):
    n = server(node, net, ca, "restart")
    submit(n, "u@plain.example")
    row_of(n, "delivered", "u@plain.example")
    n.stop()  # at once: what deliverers said last is counted all the same
    n.start()
    deliver(n, "dane")
    assert {r["domain"]: r["sessions"] for r in listed(n)} == {"plain.example": 1, "dane.example": 1}
    tlsrpt(n, "send", "--today")
    assert policies_of(report_of(net, "/plain")[0]) == [("no-policy-found", 1, {})]
    report_of(net, "/dane")


def test_killed_reporter(node, net, ca):
    """It takes no mail with it; reports that are made stay; what comes behind is counted again."""
    n = server(node, net, ca, "killed")
    deliver(n, "failing")
    tlsrpt(n, "send", "--today")
    wait_until(lambda: any(r["text"] for r in listed(n, "failing")), 20)
    deliver(n, "sts")
    n.stop()  # saves what is counted, as each minute does
    n.start()
    n.deaths_expected = True
    os.kill(n.children("reporter")[0], signal.SIGKILL)
    submit(n, "u@plain.example")
    row_of(n, "delivered", "u@plain.example")
    wait_until(lambda: any(r["process"] == "reporter" for r in n.events("process-restarted")), 10)
    wait_until(lambda: "failing.example" in tlsrpt_now(n), 15)
    assert [r["sessions"] for r in listed(n, "sts")] == [1]
    net.reports.answers["/failing"] = 201
    deliver(n, "dane")
    tlsrpt(n, "send", "--today")
    wait_until(lambda: not listed(n), 20, lambda: str(listed(n)))
    report_of(net, "/dane")
    assert policies_of(report_of(net, "/sts")[0]) == [("sts", 1, {})]


def tlsrpt_now(n):
    """What is listed; nothing while the reporter is being started."""
    out = subprocess.run([PROGRAM, "tlsrpt", "list", "-c", str(n.conf)], capture_output=True, text=True, timeout=60)
    return out.stdout


def crc32c(data):
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_a_day_that_is_over_is_reported_by_itself(node, net, ca):
    """What a server finds of yesterday at its start is sent when its time has come, with yesterday's range."""
    n = server(node, net, ca, "daily", tlsrpt='delay = "0s"  organization = "Example Org"  contact = "tls@example.org"')
    deliver(n, "plain")
    n.stop()
    file, = (n.folder / "data/tlsrpt").glob("period-*")
    data = file.read_bytes()
    mark = data.index(b"\n") + 1
    begin, end = struct.unpack_from("<QQ", data, mark)
    data = data[:mark] + struct.pack("<QQ", begin - 86400, end - 86400) + data[mark + 16:-4]
    file.unlink()
    file.with_name(f"period-{begin - 86400}").write_bytes(data + struct.pack("<I", crc32c(data)))
    n.start()
    report = report_of(net, "/plain")[0]
    day = time.strftime("%Y-%m-%d", time.gmtime(begin - 86400))
    assert report["date-range"] == {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"}
    assert report["organization-name"] == "Example Org" and report["contact-info"] == "tls@example.org"
    wait_until(lambda: not list((n.folder / "data/tlsrpt").iterdir()), 20)


def test_damage_costs_counts_only(node, net, ca):
    n = server(node, net, ca, "damage")
    deliver(n, "plain")
    n.stop()
    file, = (n.folder / "data/tlsrpt").glob("period-*")
    file.write_bytes(file.read_bytes()[:-7])
    (n.folder / "data/tlsrpt/0123456789abcdef.state").write_text("tlsrpt-report 1\nend\n")
    (n.folder / "data/tlsrpt/0123456789abcdee.json.gz").write_text("")
    n.start()
    assert listed(n) == [] and len(n.events("tlsrpt-results-lost")) == 2
    deliver(n, "dane")


def test_switched_off(node, net, ca):
    n = server(node, net, ca, "off", tlsrpt="enabled = false")
    submit(n, "u@dane.example")
    row_of(n, "delivered", "u@dane.example")
    assert listed(n) == []


def test_dns_check_tells_where_reports_go(node, net, ca):
    n = server(node, net, ca, "check")
    out = subprocess.run([PROGRAM, "dns", "check", "--json", "-c", str(n.conf), "mail.example", "several.example"],
                         capture_output=True, text=True, timeout=60)
    mail, several = [json.loads(line) for line in out.stdout.splitlines()]
    assert mail["tlsrpt_targets"] == ["mailto:tls@mail.example", "https://reports.example/mail"]
    assert several["tlsrpt_targets"] == [] and "several" in several["tlsrpt_problem"]
