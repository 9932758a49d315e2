import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
from load import Sink  # noqa: E402
from node import PROGRAM  # noqa: E402


def pytest_configure(config):
    if not pathlib.Path(PROGRAM).exists():
        raise pytest.UsageError(f"{PROGRAM} is missing: build it, or name it in POSTRIDER")


@pytest.fixture
def sink():
    s = Sink().start()
    yield s
    s.stop()
