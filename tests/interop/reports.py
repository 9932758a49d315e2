"""The HTTPS host that takes TLS reports (RFC 8460 5.4), and what a report must look like (4.4)."""

import datetime
import gzip
import http.server
import ipaddress
import json
import ssl
import threading

RESULTS = {"starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted",
           "validation-failure", "tlsa-invalid", "dnssec-invalid", "dane-required", "sts-policy-fetch-error",
           "sts-policy-invalid", "sts-webpki-invalid"}


class Reports:
    """answers: by path, a status, or "hang". Reports by policy domain of their path's last part."""

    def __init__(self, address, leaf, answers=None):
        self.answers, self.posts = answers or {}, []
        self.released = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posts.append((self.path, dict(self.headers), body))
                answer = outer.answers.get(self.path, 201)
                if answer == "hang":
                    outer.released.wait(60)
                    return
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf.chain, leaf.key)
        self.server = http.server.ThreadingHTTPServer((address, 443), Handler)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def bodies(self, path):
        return [read(headers, body) for p, headers, body in list(self.posts) if p == path]

    def stop(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


def read(headers, body):
    assert headers["Content-Type"] == "application/tlsrpt+gzip", headers
    report = json.loads(gzip.decompress(body))
    validate(report)
    return report


def keys(value, must, may=()):
    assert isinstance(value, dict), value
    assert set(must) <= set(value) <= set(must) | set(may), (sorted(value), must, may)


def moment(text):
    assert text.endswith("Z") and "." not in text, text
    return datetime.datetime.fromisoformat(text[:-1] + "+00:00")


def count(value):
    assert type(value) is int and value >= 0, value
    return value


def strings(value):
    assert isinstance(value, list) and value and all(isinstance(s, str) and s for s in value), value


def validate(report):
    """Field by field, as RFC 8460 4.4 has it: nothing is missing, of another type, or unknown."""
    keys(report, ["organization-name", "date-range", "contact-info", "report-id", "policies"])
    assert isinstance(report["organization-name"], str) and report["organization-name"]
    assert report["contact-info"].count("@") == 1
    assert isinstance(report["report-id"], str) and report["report-id"]
    keys(report["date-range"], ["start-datetime", "end-datetime"])
    begin, end = (moment(report["date-range"][k]) for k in ("start-datetime", "end-datetime"))
    assert begin <= end and end - begin < datetime.timedelta(days=1), report["date-range"]
    assert report["policies"]
    for policy in report["policies"]:
        validate_policy(policy)


def validate_policy(row):
    keys(row, ["policy", "summary"], ["failure-details"])
    p = row["policy"]
    keys(p, ["policy-type", "policy-domain"], ["policy-string", "mx-host"])
    assert p["policy-type"] in ("tlsa", "sts", "no-policy-found")
    assert isinstance(p["policy-domain"], str) and "." in p["policy-domain"]
    if p["policy-type"] == "no-policy-found":
        assert "policy-string" not in p and "mx-host" not in p
    if p["policy-type"] == "tlsa":
        assert "mx-host" not in p
        for s in p.get("policy-string", []):
            usage, selector, matching, data = s.split(" ")
            assert (usage, selector, matching) == tuple(str(int(x)) for x in (usage, selector, matching))
            assert bytes.fromhex(data)
    for key in ("policy-string", "mx-host"):
        if key in p:
            strings(p[key])
    keys(row["summary"], ["total-successful-session-count", "total-failure-session-count"])
    failed = count(row["summary"]["total-failure-session-count"])
    assert failed + count(row["summary"]["total-successful-session-count"]) > 0
    assert sum(validate_detail(d) for d in row.get("failure-details", [])) == failed
    assert bool(failed) == ("failure-details" in row)


def validate_detail(detail):
    keys(detail, ["result-type", "failed-session-count"],
         ["sending-mta-ip", "receiving-mx-hostname", "receiving-ip", "failure-reason-code"])
    assert detail["result-type"] in RESULTS
    for key in ("sending-mta-ip", "receiving-ip"):
        if key in detail:
            ipaddress.ip_address(detail[key])
    for key in ("receiving-mx-hostname", "failure-reason-code"):
        assert detail.get(key, "x")
    assert count(detail["failed-session-count"]) > 0
    return detail["failed-session-count"]
