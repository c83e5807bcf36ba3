"""The evidence for the default number of epochs."""

import runpy
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from robustxai.benchmark import DATA, DEFENSES, BaseCell, _experiment
from robustxai.classifiers import SoftplusClassifier
from robustxai.experiments.default_epochs import EpochsCell, epochs_markdown, run_epochs_cell

CELL = EpochsCell("breast_cancer", 426, 0, "vanilla", "eighth")


def small_table():
    X = pd.DataFrame({"a": np.arange(200.0), "b": np.arange(200.0) % 7})
    return X, pd.Series(np.arange(200) % 2)


def test_the_cells_of_the_command_can_be_sent_to_other_processes(monkeypatch, tmp_path):
    seen = []

    def on_this_machine(cells, run, n_jobs):
        seen.extend([*map(type, cells), run])
        raise KeyboardInterrupt

    monkeypatch.setattr(_experiment, "on_this_machine", on_this_machine)
    monkeypatch.setattr(sys, "argv", ["default_epochs", str(tmp_path), "--data", "wine", "--seeds", "1"])
    with pytest.raises(KeyboardInterrupt):
        runpy.run_module("robustxai.experiments.default_epochs", run_name="__main__")
    assert {thing.__module__ for thing in seen} == {"robustxai.experiments.default_epochs._cell"}


def test_the_name_has_everything_that_the_result_depends_on(monkeypatch):
    changes = {"data": "wine", "n_train": 200, "seed": 1, "defense": "r2et", "schedule": "default"}
    names = {CELL.name, *(replace(CELL, **{name: value}).name for name, value in changes.items())}
    with monkeypatch.context() as patch:
        patch.setitem(DEFENSES, "vanilla", lambda k, seed: SoftplusClassifier(random_state=seed))
        names.add(CELL.name)
    monkeypatch.setitem(DATA, "breast_cancer", small_table)
    names.add(CELL.name)
    assert len(names) == len(changes) + 3
    assert isinstance(CELL, BaseCell)


def test_a_row_has_what_the_table_shows(monkeypatch):
    monkeypatch.setitem(DATA, "breast_cancer", small_table)
    cells = [replace(CELL, n_train=100, defense=name) for name in ("logistic_regression", "vanilla", "r2et")]
    rows = [run_epochs_cell(replace(cell, schedule="eighth")) for cell in cells[1:]]
    rows.append(run_epochs_cell(replace(cells[0], schedule="default")))
    schedules = ("eighth", "quarter", "old", "default")
    table = pd.DataFrame([{**row, "schedule": name} for row in rows for name in schedules])
    lines = epochs_markdown(table).splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("| breast_cancer | 100 | 2 | ")
    assert lines[2].count("|") == lines[0].count("|") == 4 + 2 * len(schedules) + 1
