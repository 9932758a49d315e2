"""What a server costs that has nothing to do: memory of its own, libraries mapped, wake-ups. No clock decides: the
kernel's counts of each process do (docs/performance.md, Memory and Start)."""

import os
import pathlib
import re
import time

import pytest
from node import PROGRAM, Node, wait_until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="roles are not dumpable: only root may read their maps"),
    pytest.mark.skipif("asan" in str(PROGRAM), reason="a sanitized process maps terabytes of shadow"),
]

RELAY = """\
hostname = "relay.example.org"
data = "data"
processes { receivers = 2  deliverers = 2 }
listener "mx" { address = {"127.0.0.1:PORT"} }
relay { from = {"127.0.0.0/8"}  via = "smtp://127.0.0.1:9" }
log { format = "json" }
"""

# KiB that nobody shares, a third above what was measured; one process of it.
OWN_KIB = {"supervisor": 1250, "keys": 1550, "receiver": 1650, "directory": 1250, "dispatcher": 1750, "control": 1150,
           "mailbox": 1150, "deliverer": 2400, "resolver": 1700, "reporter": 2050}
ALL_KIB = 18 * 1024

# Who may map them; all else is linked (src/base/library.h). libcurl brings the rest of its line.
LOADED = {"libcurl": {"deliverer", "reporter"}, "libgnutls": {"deliverer", "reporter"}, "libkrb5": {"deliverer", "reporter"},
          "libldap": {"deliverer", "reporter"}, "libunbound": {"resolver"}, "libsqlite3": {"directory"},
          "libstdc++": set(), "libboost_context": set(), "libnss_": {"supervisor"}}  # fmt: skip


@pytest.fixture
def idle(tmp_path):
    node = Node(tmp_path, RELAY).start()
    node.await_events("recovered", 1)
    yield node
    assert node.stop() == 0
    node.check_log()


def roles(node):
    """pid -> role."""
    found = {node.process.pid: "supervisor"}
    for pid in node.children():
        found[pid] = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2].decode()
    assert len(found) == 12, found
    return found


def anonymous_kib(pid):
    """Pages of its own that no file has: they do not depend on who else runs this program."""
    return int(re.search(r"^Anonymous:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])


def test_empty_server__memory_of_its_own(idle):
    kib = {pid: (role, anonymous_kib(pid)) for pid, role in roles(idle).items()}
    assert {pid: row for pid, row in kib.items() if row[1] > OWN_KIB[row[0]]} == {}, OWN_KIB
    assert sum(own for _, own in kib.values()) < ALL_KIB, kib
    assert all(own > 300 for _, own in kib.values()), kib  # it was measured


def test_empty_server__libraries_where_they_are_called(idle):
    by_role = {}
    for pid, role in roles(idle).items():
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
        by_role.setdefault(role, set()).update(re.findall(r"/([^/\s]+)\.so[.\d]*", maps))
    for library, may in LOADED.items():
        have = {role for role, names in by_role.items() if any(name.startswith(library) for name in names)}
        assert have <= may, (library, have)
    for library, must in (("libcurl", LOADED["libcurl"]), ("libunbound", {"resolver"}), ("libsqlite3", {"directory"})):
        assert must <= {role for role, names in by_role.items() if library in names}, (library, by_role)


def test_empty_server__sleeps(idle):
    """Only the supervisor (are tables' files new?) and the dispatcher (is there room on the disk?) look at anything;
    the others wait for something to happen. A process that sleeps counts no switch."""
    busy = {"supervisor", "dispatcher"}
    quiet = {pid: role for pid, role in roles(idle).items() if role not in busy}

    def switches():
        return {pid: int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)",
                                   pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1]) for pid in quiet}

    def asleep():
        before = switches()
        time.sleep(3)
        after = switches()
        woke = {quiet[pid]: after[pid] - n for pid, n in before.items() if after[pid] != n}
        said.append(woke)
        return not woke

    said = []
    wait_until(asleep, 40, lambda: said)  # what is begun at the start ends first
