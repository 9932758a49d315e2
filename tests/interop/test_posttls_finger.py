"""DANE verdicts beside those of Postfix's own probe, zone by zone (docs/tls-out.md): posttls-finger asks the system's
resolver, so both live in a network namespace where that is an Unbound with our trust anchor."""

import os
import re
import shutil
import subprocess

import pytest
from authority import Authority
from internet import missing
from namespace import namespace
from node import wait_until
from test_dane import CASES, internet_of_cases, server
from test_dns import submit

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
UNBOUND = """server:
  interface: 127.0.0.1
  port: 53
  username: ""
  chroot: ""
  directory: "{home}"
  pidfile: "{home}/unbound.pid"
  use-syslog: no
  logfile: "{home}/unbound.log"
  do-ip6: no
  do-not-query-localhost: no
  trust-anchor-file: "{anchor}"
  module-config: "validator iterator"
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{port}
"""
# Both say the same of each case. Where nobody speaks TLS the probe says no more than that: whether mail may go all the
# same is not its question, and `none-stripped` (it may) and `stripped` (RFC 7672 2.2: it may not) are one to it.
DIFFERENT = {}


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    lacking = [tool for tool in ("posttls-finger", "unbound", "unshare") if not shutil.which(tool, path=PATH)]
    if lacking or missing():
        pytest.skip(missing() or f"not installed: {', '.join(lacking)}")
    home = tmp_path_factory.mktemp("resolver")
    with namespace(), internet_of_cases(tmp_path_factory.mktemp("net"), Authority(home / "ca")) as net:
        (home / "unbound.conf").write_text(UNBOUND.format(home=home, anchor=net.folder / "anchor", port=net.port))
        (home / "resolv.conf").write_text("nameserver 127.0.0.1\noptions trust-ad edns0 timeout:10 attempts:2\n")
        (home / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = finger.example\n")
        unbound = subprocess.Popen(["unbound", "-d", "-c", home / "unbound.conf"], env=os.environ | {"PATH": PATH},
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        net.resolver = home
        try:
            wait_until(lambda: (home / "unbound.pid").exists() and "start of service" in
                       (home / "unbound.log").read_text(), 20, lambda: (home / "unbound.log").read_text())
            yield net
        finally:
            unbound.terminate()
            unbound.wait(10)


def finger(net, domain):
    """What the probe says, and its verdict: verified, mismatch, tls (any certificate), no-tls, lookup."""
    script = f'mount --bind "{net.resolver}/resolv.conf" /etc/resolv.conf && exec posttls-finger "$@"'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", "-T", "30", "-t", "30", "-l", "dane",
                           "-L", "routine,certmatch", domain], capture_output=True, text=True, timeout=120,
                          env=os.environ | {"PATH": PATH, "MAIL_CONFIG": str(net.resolver)})
    said = done.stdout + done.stderr
    if "TLSA lookup error" in said:
        return said, "lookup"
    if "server certificate verification failed" in said:
        return said, "mismatch"
    found = re.search(r"(\w+) TLS connection established", said)
    if found:
        return said, "verified" if found.group(1) == "Verified" else "tls"
    assert "Connected to" in said, said
    return said, "no-tls"


def ours(row):
    if row["event"] == "delivered":
        tls = row.get("tls", "")
        return "verified" if tls.endswith(" dane") else "tls" if tls else "no-tls"
    if "is not used" in row["text"]:
        return "lookup"
    return "mismatch" if re.search("mismatch|expired|TLSA", row["text"]) else "no-tls"


def test_zone_by_zone(node, net):
    n = server(node, net)
    for name in CASES:
        submit(n, f"u@{name}.example")

    def rows():
        found = {r["rcpt"]: r for r in n.events() if r.get("event") in ("delivered", "deferred")}
        return len(found) == len(CASES) and found

    mine = wait_until(rows, 60, lambda: n.log()[-3000:])
    verdicts, said = {}, {}
    for name in CASES:
        said[name], verdicts[name] = finger(net, f"{name}.example")
    differences = {name: (ours(mine[f"u@{name}.example"]), verdicts[name]) for name in CASES
                   if ours(mine[f"u@{name}.example"]) != verdicts[name]}
    assert differences == DIFFERENT, [(d, mine[f"u@{d}.example"], said[d]) for d in differences]
    assert set(verdicts.values()) == {"verified", "mismatch", "tls", "no-tls", "lookup"}
