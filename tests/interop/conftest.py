import os
import pathlib

import pytest
from load import Sink
from node import PROGRAM, Node


def pytest_configure(config):
    if not pathlib.Path(PROGRAM).exists():
        raise pytest.UsageError(f"{PROGRAM} is missing: build it, or name it in POSTRIDER")


@pytest.fixture
def node(tmp_path, request):
    """Servers of a test: node(name="a", ...). Each must end well, leave nobody behind, and break no rule."""
    made = []

    def make(name="a", text=None, **values):
        made.append(Node(tmp_path / name, text, **values))
        return made[-1]

    yield make
    statuses = [n.stop() for n in made if n.process and n.process.poll() is None]
    for n in made:
        n.check_log()
    assert all(status == 0 for status in statuses), statuses
    if not getattr(request.node, "failed", False):
        for n in made:
            n.forget()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """For the fixtures: has the test failed?"""
    outcome = yield
    item.failed = getattr(item, "failed", False) or outcome.get_result().failed


@pytest.fixture
def sink():
    """Next hops of a test."""
    made = []

    def make(**values):
        made.append(Sink(**values).start())
        return made[-1]

    yield make
    for s in made:
        s.stop()


@pytest.fixture
def root():
    if os.geteuid() != 0:
        pytest.skip("needs root")
