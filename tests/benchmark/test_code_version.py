"""The version of the code: what changes it, and what does not."""

import functools
import importlib
import sys

import pytest

from robustxai.benchmark import _code_version
from robustxai.benchmark._code_version import code_version, needed_modules

CELL, BRACKET = "robustxai.benchmark._cell", "robustxai.experiments.bracket._bracket"
FILES = {
    "__init__.py": '"""A package."""\n',
    "run.py": '"""Runs."""\nfrom tiny.inner import rate\nfrom tiny.inner._a import go\ndef run(): return go(rate)\n',
    "inner/__init__.py": "from tiny.inner._rate import rate\n",
    "inner/_rate.py": "rate = 2\n",
    "inner/_a.py": "def go(x):\n    import tiny.late\n    return tiny.late.finish(x)\n",
    "late.py": 'def finish(x):\n    """Finish."""\n    return x + 1\n',
    "table.py": "def table():\n    return 1\n",
}


def clear():
    for thing in vars(_code_version).values():
        if isinstance(thing, functools._lru_cache_wrapper):
            thing.cache_clear()


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A package in the place of the library; called with changes, it returns the version of its module `run`."""
    root = tmp_path / "tiny"
    for name, source in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.partition(".")[0] == "tiny"]:
        monkeypatch.delitem(sys.modules, name)  # of another test
    importlib.import_module("tiny")
    monkeypatch.setattr(_code_version, "_PACKAGE", "tiny")
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    clear()

    def version(**changed):
        clear()
        for name, source in {
            **FILES,
            **{f"{key.replace('__', '/')}.py": text for key, text in changed.items()},
        }.items():
            (root / name).write_text(source)
        return code_version("tiny.run")

    yield version
    clear()


def test_the_modules_are_those_that_are_imported_however_late(tiny):
    tiny()
    assert needed_modules("tiny.run") == ("tiny.inner", "tiny.inner._a", "tiny.inner._rate", "tiny.late", "tiny.run")
    assert needed_modules("notebook") == (
        "tiny",
        "tiny.inner",
        "tiny.inner._a",
        "tiny.inner._rate",
        "tiny.late",
        "tiny.run",
        "tiny.table",
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"run": FILES["run.py"].replace("go(rate)", "go(rate) + 1")},
        {"inner___rate": "rate = 2.0\n"},
        {"late": FILES["late.py"].replace("x + 1", "x - 1")},
        {"late": FILES["late.py"].replace("(x)", "(x, y=1)")},
        {"inner___a": FILES["inner/_a.py"].replace("(x):", "(x):\n    x += 1")},
    ],
)
def test_any_change_of_what_a_result_runs_on_is_another_version(tiny, changed):
    before = tiny()
    assert tiny(**changed) != before
    assert tiny() == before


@pytest.mark.parametrize(
    "changed",
    [
        {"run": "# A comment.\n\n" + FILES["run.py"].replace("Runs", "Runs it")},
        {"late": FILES["late.py"].replace("Finish", "Comes to an end")},
        {"late": FILES["late.py"].replace("x + 1", "(\n        x  # here\n        + 1\n    )")},
        {"table": "def table():\n    return 2\n"},
    ],
    ids=["comment", "docstring", "layout", "not needed"],
)
def test_what_cannot_change_a_result_is_the_same_version(tiny, changed):
    assert tiny(**changed) == tiny()


def test_the_versions_of_the_libraries_count(tiny, monkeypatch):
    before = tiny()
    monkeypatch.setattr(_code_version, "library_version", lambda name: "3.0" if name == "torch" else "1")
    assert tiny() != before


def test_a_cell_runs_on_what_trains_attacks_and_measures_and_not_on_what_shows():
    needed = set(needed_modules(CELL))
    expected = (
        "attacks._er",
        "attacks._auto",
        "classifiers._r2et",
        "training._net",
        "nets._mlp",
        "ranking",
        "perturbation",
    )
    assert {f"robustxai.{name}" for name in (*expected, "metrics._thickness", "datasets._preparation")} <= needed
    shown = ("cli", "inspection", "benchmark._table", "benchmark._frontier", "experiments", "_plotting")
    assert not [name for name in needed if name.removeprefix("robustxai.").startswith(shown)]
    assert set(needed_modules(BRACKET)) > needed
    shown = ("cli", "inspection", "benchmark._table", "benchmark._frontier", "experiments.bracket._tables", "_plotting")
    assert not [name for name in needed_modules(BRACKET) if name.removeprefix("robustxai.").startswith(shown)]
    assert len({code_version(CELL), code_version(BRACKET), code_version("__main__")}) == 3
