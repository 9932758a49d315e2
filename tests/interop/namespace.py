"""A network namespace of a test's own: with the addresses that an Internet has, and with nobody else in it.

Only this thread moves there, and back when the fixture ends; what it starts meanwhile (threads, servers, name servers)
is born inside. Needs root; nothing else is asked of the machine."""

import contextlib
import ctypes
import os
import socket
import subprocess

import pytest

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def missing():
    """What this machine lacks for it, or ''."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    done = subprocess.run(["unshare", "--net", "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    return f"this machine makes no network namespaces: {done.stderr.strip()}" if done.returncode else ""


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, (words, done.stderr)


class Silent:
    """A host that never answers: its queue of connections is full, so that the kernel drops every further SYN."""

    def __init__(self, address, port=25):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.create_server((address, port), family=family, backlog=0)
        self.held = socket.create_connection((address, port), timeout=10)

    def stop(self):
        self.held.close()
        self.listener.close()


class Namespace:
    def __init__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self):
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        ip("link", "set", "lo", "up")

    def add(self, *addresses):
        for a in addresses:
            ip("addr", "add", f"{a}/128" if ":" in a else f"{a}/32", "dev", "lo", *(["nodad"] if ":" in a else []))

    def leave(self):
        if libc.setns(self.home, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(self.home)


@contextlib.contextmanager
def namespace(*addresses):
    if missing():
        pytest.skip(missing())
    n = Namespace()
    n.enter()
    try:
        n.add(*addresses)
        yield n
    finally:
        n.leave()
