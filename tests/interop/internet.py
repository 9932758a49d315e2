"""An Internet of its own: a root and the zones below "example.", served by NSD on loopback, signed by ldns.

Zones are signed, unsigned, badly signed, broken (the server fails), or silent (nobody answers). Hosts that take
mail listen on port 25 of addresses in 127.25.0.0/16, which needs root (or CAP_NET_BIND_SERVICE)."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import time

from load import Sink

PORTS = iter(range(25300 + os.getpid() % 200, 25999))
ADDRESSES = iter(f"127.25.{a}.{b}" for a in range(1, 250) for b in range(1, 250))
TOOLS = ("nsd", "ldns-keygen", "ldns-signzone")
SOA = "@ 60 IN SOA ns.example. hostmaster.example. 1 3600 600 86400 60\n@ 60 IN NS ns.example.\n"


def free_port(kind=socket.SOCK_DGRAM):
    for port in PORTS:
        with socket.socket(socket.AF_INET, kind) as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


def missing():
    """What this machine lacks for these tests, or ''."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    lacking = [tool for tool in TOOLS if not shutil.which(tool, path=path)]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    with socket.socket() as s:
        try:
            s.bind(("127.25.0.1", 25))
        except OSError as e:
            return f"port 25 of 127.25.0.1 cannot be bound: {e}"
    return ""


def run(*command, **more):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60,
                          env=os.environ | {"PATH": path}, **more).stdout.strip()


class Internet:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.zones = {}  # name -> (records, kind)
        self.silent = None  # the socket of servers that never answer
        self.sinks = []
        self.process = None
        self.zone("example.", "ns A 127.0.0.1\n")

    def zone(self, name, records="", kind="signed"):
        """kind: signed, unsigned, expired (signed, but long ago), broken (SERVFAIL), silent (no answer)."""
        name = name if name.endswith(".") else name + "."
        self.zones[name] = (records, kind)
        return name

    def parent(self, name):
        above = [z for z in self.zones if z not in (name, ".") and name.endswith("." + z)]
        return max(above, key=len, default=".")

    def sign(self, name, text, kind):
        """The zone's file; returns its DS record, '' for zones without signatures."""
        path = self.folder / f"{name.rstrip('.') or 'root'}.zone"
        path.write_text(f"$ORIGIN {name}\n$TTL 60\n{SOA}{text}")
        if kind == "broken":
            path.write_text("this is no zone file\n")
        if kind in ("unsigned", "broken", "silent"):
            return ""
        key = run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", name, cwd=self.folder)
        dates = ("-i", "20200101000000", "-e", "20200201000000") if kind == "expired" else ()
        run("ldns-signzone", *dates, "-f", str(path), str(path), key, cwd=self.folder)
        return (self.folder / f"{key}.ds").read_text()

    def start(self):
        """Children first, so that their DS records stand in their parents."""
        delegations = {name: "" for name in [*self.zones, "."]}
        records = {".": "", **{name: text for name, (text, _) in self.zones.items()}}
        for name in sorted(self.zones, key=lambda z: -z.count(".")):
            text, kind = self.zones[name]
            ds = self.sign(name, text + delegations[name], kind)
            delegations[self.parent(name)] += f"{name} NS ns.example.\n{ds}"
        anchor = self.sign(".", records["."] + delegations["."], "signed")
        (self.folder / "anchor").write_text(anchor)
        self.serve()
        return self

    def serve(self):
        conf = [f"""server:
  ip-address: 127.0.0.1@{self.port}
  username: ""
  zonesdir: "{self.folder}"
  database: ""
  zonelistfile: "{self.folder}/zone.list"
  xfrdfile: "{self.folder}/xfrd.state"
  pidfile: "{self.folder}/nsd.pid"
  logfile: "{self.folder}/nsd.log"
  server-count: 1
remote-control:
  control-enable: no
"""]
        for name, (_, kind) in {**self.zones, ".": ("", "signed")}.items():
            if kind != "silent":
                conf.append(f'zone:\n  name: "{name}"\n  zonefile: "{name.rstrip(".") or "root"}.zone"\n')
        (self.folder / "nsd.conf").write_text("".join(conf))
        self.silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.silent.bind(("127.0.0.1", 0))
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        self.process = subprocess.Popen(
            ["nsd", "-d", "-c", str(self.folder / "nsd.conf")], env=os.environ | {"PATH": path},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self.folder / "nsd.err").open("wb"))
        self.await_ready()

    def await_ready(self, seconds=10):
        question = b"\0\1\1\0\0\1\0\0\0\0\0\0\7example\0\0\6\0\1"
        end = time.monotonic() + seconds
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            while time.monotonic() < end:
                with contextlib.suppress(OSError):
                    s.sendto(question, ("127.0.0.1", self.port))
                    if s.recv(512)[3] & 15 == 0:
                        return
                time.sleep(0.05)
        raise RuntimeError(f"nsd does not answer: {(self.folder / 'nsd.err').read_text()}")

    def config(self, **more):
        """The dns block that asks this Internet, and nobody else."""
        lines = [f'server = {{"127.0.0.1:{self.port}"}}', f'trust_anchor = "{self.folder}/anchor"']
        silent = [name.rstrip(".") for name, (_, kind) in self.zones.items() if kind == "silent"]
        if silent:
            port = self.silent.getsockname()[1]
            lines.append("stub = {" + ", ".join(f'"{name} 127.0.0.1:{port}"' for name in silent) + "}")
        lines += [f"{key} = {value}" for key, value in more.items()]
        return "dns {\n  " + "\n  ".join(lines) + "\n}\n"

    def address(self):
        return next(ADDRESSES)

    def host(self, address=None, **values):
        """A mail server on port 25 of an address of its own: (address, sink)."""
        address = address or self.address()
        sink = Sink(port=25, **values)
        sink.address = address
        self.sinks.append(sink.start())
        return address, sink

    def stop(self):
        for sink in self.sinks:
            sink.stop()
        if self.process:
            self.process.terminate()
            self.process.wait(10)
        if self.silent:
            self.silent.close()
