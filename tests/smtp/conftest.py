import pathlib

import pytest
from dialogue import Client
from server import PROGRAM, Server


def pytest_configure(config):
    if not pathlib.Path(PROGRAM).exists():
        raise pytest.UsageError(f"{PROGRAM} is missing: build it, or name it in POSTRIDER")


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """One server for each named configuration, started when it is first asked for."""
    running = {}

    def get(config="default"):
        if config not in running:
            running[config] = Server(tmp_path_factory.mktemp(config), config).start()
        assert running[config].process.poll() is None, running[config].log()[-4000:]
        return running[config]

    yield get
    for server in running.values():
        assert server.stop() == 0, server.log()[-4000:]
        server.check_log()
        server.forget()


@pytest.fixture
def server(tmp_path):
    """A server of the test's own: start() it, change it, kill it."""
    made = []

    def make(config="default", **changes):
        made.append(Server(tmp_path, config, **changes))
        return made[-1]

    yield make
    for s in made:
        if s.process and s.process.poll() is None:
            s.stop()
        s.check_log()
        s.forget()


@pytest.fixture
def connect():
    """Connections that end with the test."""
    made = []

    def make(server, source=None, **kw):
        made.append(Client(server, source, **kw))
        return made[-1]

    yield make
    for client in made:
        client.close()
