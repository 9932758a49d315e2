"""kill -9 under load of 20 sessions: of each single process in turn, of the supervisor, of all at once.

CRASH_ROUNDS kills of each (`make crash`: 20; in `make test` fewer). Every message that got its 250 arrives after the
restart, none twice but those that the log named possible-duplicate."""

import os
import random
import signal
import time

import pytest
from node import Node, wait_until
from pressure import Pressure, settle

ROUNDS = int(os.environ.get("CRASH_ROUNDS") or 4)
ROLES = ["receiver", "dispatcher", "deliverer", "mailbox", "directory", "control", "reporter"]


@pytest.fixture
def loaded(tmp_path, sink):
    n = Node(tmp_path, via=f'via = "smtp://127.0.0.1:{sink.port}"', queue='retry = {"1s"}').start()
    n.deaths_expected = True
    p = Pressure(n.port).start()
    yield n, p, sink
    if p.thread.is_alive():
        p.ending = True
    if n.process.poll() is None:
        n.stop()


def finish(n, p, sink, say):
    p.stop()
    numbers = settle(p, n, sink)
    n.check_log()
    print(f"{say}: {numbers[0]} promised deliveries, {numbers[1]} doubled, {numbers[2]} named; "
          f"{p.broken} sessions broken, refused {dict(p.refused)}")
    assert numbers[0] > 20 * ROUNDS
    assert n.stop() == 0
    n.forget()


def test_kill_of_each_process__nothing_lost_nothing_silently_doubled(loaded):
    n, p, sink = loaded
    rng = random.Random(1)
    killed = 0
    for _ in range(ROUNDS):
        for role in ROLES:
            for pid in sorted(n.children(role)):
                time.sleep(rng.uniform(0.4, 0.9))
                os.kill(pid, signal.SIGKILL)
                killed += 1
                wait_until(lambda role=role, pid=pid: n.children(role) and pid not in n.children(role), 20, n.log)
    wait_until(lambda: len(n.events("process-restarted")) >= killed, 20)
    finish(n, p, sink, f"{killed} kills")


def test_kill_of_the_supervisor__nothing_lost_nothing_silently_doubled(loaded):
    n, p, sink = loaded
    rng = random.Random(2)
    for _ in range(ROUNDS):
        time.sleep(rng.uniform(0.3, 1.0))
        n.process.kill()
        n.process.wait()
        n.start()
    finish(n, p, sink, f"{ROUNDS} kills of the supervisor")


def test_kill_of_all_at_once__nothing_lost_nothing_silently_doubled(loaded):
    n, p, sink = loaded
    rng = random.Random(3)
    for _ in range(ROUNDS):
        time.sleep(rng.uniform(0.3, 1.0))
        n.kill_all()
        n.start()
    finish(n, p, sink, f"{ROUNDS} kills of all")
