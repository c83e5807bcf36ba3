"""Fixtures of all tests and doctests."""

import os
from pathlib import Path

import pytest

LEAN = Path(__file__).parent / "tests" / "lean"
#: It would hide the package here too.
collect_ignore = [str(LEAN)]


def pytest_configure(config):
    """Filter warnings of the library, except in the process that only hands tests out: it need not import torch."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return
    config.addinivalue_line("filterwarnings", "error::robustxai.exceptions.EvaluationWarning")
    # a fact about most of the small tables of the tests; tests/model_selection/test_scorers.py asks for it
    config.addinivalue_line("filterwarnings", "default::robustxai.exceptions.SharedExplanationWarning")


@pytest.fixture(scope="session", autouse=True)
def lean_processes():
    """Keep two imports out of the processes that tests start, which take 4 of 8 seconds of every new process.

    skorch imports torch_geometric where it is installed; the library works without it, and no test uses graphs in
    another process. torch imports its compiler at the first step of an optimizer; where it is used, it is still found.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(LEAN), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def forked_workers():
    """Fork the processes of joblib from one that has imported the library: on its own, each takes seconds for that.

    They are processes as any others, except that they see the environment as it was when the first of them started.
    """
    import multiprocessing

    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.backend import context

    multiprocessing.set_forkserver_preload(["tests.forked"])
    before = context.get_start_method()
    get_reusable_executor().shutdown(wait=True)
    context.set_start_method("forkserver", force=True)
    yield
    get_reusable_executor().shutdown(wait=True)
    context.set_start_method(before, force=True)


@pytest.fixture(scope="module")
def quick_ensemble():
    """Cut the attacks of the ensemble to 5 iterations each, for tests that do not look at how much they find."""
    from robustxai.attacks import _auto

    with pytest.MonkeyPatch.context() as patch:
        for presets in (_auto.PRESETS, _auto._WITHOUT_DERIVATIVE):
            for name, specs in presets.items():
                patch.setitem(presets, name, [(kind, {**options, "max_iter": 5}) for kind, options in specs])
        yield
