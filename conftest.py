"""Fixtures of all tests and doctests."""

import os
from pathlib import Path

import pytest

LEAN = Path(__file__).parent / "tests" / "lean"
#: It would hide the package here too.
collect_ignore = [str(LEAN)]


@pytest.fixture(scope="session", autouse=True)
def lean_processes():
    """Hide torch_geometric from the processes that tests start.

    skorch imports it where it is installed, which takes 2 of 6 seconds of every new process. The library works without
    it, and no test uses graphs in another process.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(LEAN), prepend=os.pathsep)
        yield
