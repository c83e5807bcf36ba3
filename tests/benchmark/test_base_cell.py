"""Names of results: another one for anything that the result depends on, the same for the same."""

import os
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from robustxai._fingerprint import read_once
from robustxai.attacks import AutoExplanationAttack, BoundaryMarginAttack, ERAttack, RandomAttack, _auto
from robustxai.benchmark import (
    ATTACKS,
    DATA,
    DEFENSES,
    STANDARD_ATTACKS,
    BaseCell,
    Cell,
    _base_cell,
    run_cell,
    run_cells,
)
from robustxai.classifiers import ATEXClassifier, R2ETClassifier, VanillaClassifier
from robustxai.exceptions import FailedCellsError
from robustxai.experiments.atex import SIZES, EfficacyCell, ImageCell, _efficacy, _images
from robustxai.experiments.atex._images_models import IMAGE_DATA
from robustxai.experiments.bracket import BracketCell, _bracket
from robustxai.experiments.r2et import FlipCell, ShapeCell, _shapes

pytestmark = pytest.mark.usefixtures("forked_workers")
CELLS = {
    "cell": Cell("breast_cancer", "vanilla", 0, STANDARD_ATTACKS),
    "retrained": Cell("breast_cancer", "r2et", 0, ("er",), start="vanilla"),
    "reference": Cell("breast_cancer", "r2et", 0, ("random",), reference_attacks=("er",)),
    "flip": FlipCell("breast_cancer", "vanilla", 0),
    "bracket": BracketCell("breast_cancer", "vanilla", 0, (0.1,)),
    "efficacy": EfficacyCell("breast_cancer", "atex", 0, 2),
    "image": ImageCell("mnist", "atex_wider", 0),
    "shape": ShapeCell("mnist", "R2ET, normalized", 0),
}


def another_table():
    X = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 3})
    return X, pd.Series(np.arange(40) % 2)


def default(function, name, value):
    """The keyword defaults of a function with one of them changed."""
    return {**function.__kwdefaults__, name: value}


#: What is changed, how, and the cells that depend on it.
CHANGES = {
    "an attack is replaced": (
        lambda patch: patch.setitem(ATTACKS, "er", lambda k, threat, max_iter, seed: RandomAttack(k=k, threat=threat)),
        {"cell", "retrained", "reference"},
    ),
    "an attack is built with another parameter": (
        lambda patch: patch.setitem(ATTACKS, "er_paper", lambda k, t, n, seed: ERAttack(k=k, threat=t, max_iter=9)),
        {"flip"},
    ),
    "a default of an attack": (
        lambda patch: patch.setattr(ERAttack.__init__, "__kwdefaults__", default(ERAttack.__init__, "momentum", 0.123)),
        set(CELLS),
    ),
    "what an attack maximizes": (
        lambda patch: patch.setattr(ERAttack, "objective", lambda self, attribution, reference: attribution.sum(1)),
        {"cell", "retrained", "reference", "flip", "bracket", "shape"},
    ),
    "a preset": (
        lambda patch: patch.setitem(_auto.PRESETS, "standard", [(RandomAttack, {}), (ERAttack, {"max_iter": 3})]),
        {"cell", "bracket"},
    ),
    "a parameter of a member of a preset": (
        lambda patch: patch.setitem(_auto.PRESETS, "standard", [*_auto.PRESETS["standard"][:-1], (ERAttack, {"k": 3})]),
        {"cell", "bracket"},
    ),
    "the code of a member of a preset only": (
        lambda patch: patch.setattr(_auto.MultiObjectiveAttack, "selection", lambda self: "last"),
        {"cell", "bracket"},
    ),
    "a defense is replaced": (
        lambda patch: patch.setitem(DEFENSES, "vanilla", lambda k, seed: R2ETClassifier(k=k, random_state=seed)),
        {"cell", "retrained", "flip", "bracket"},
    ),
    "a default of a defense": (
        lambda patch: patch.setattr(VanillaClassifier, "__init__", lambda self, rate=2, **params: None),
        {"cell", "retrained", "flip", "bracket", "efficacy"},
    ),
    "a method of a defense": (
        lambda patch: patch.setattr(R2ETClassifier, "terms", lambda self: {}),
        {"retrained", "reference", "shape"},
    ),
    "a default of the classifier of an image arm": (
        lambda patch: patch.setattr(ATEXClassifier, "terms", lambda self: {}),
        {"efficacy", "image"},
    ),
    "the table": (
        lambda patch: patch.setitem(DATA, "breast_cancer", another_table),
        {"cell", "retrained", "reference", "flip", "bracket", "efficacy"},
    ),
    "the images": (lambda patch: patch.setitem(IMAGE_DATA, "mnist", another_table), {"image"}),
    "the budget of images": (
        lambda patch: patch.setitem(SIZES, "small", replace(SIZES["small"], max_iter=3)),
        {"image"},
    ),
    "a setting of the bracket": (lambda patch: patch.setattr(_bracket, "_PRESETS", ("fast", "fast")), {"bracket"}),
    "a setting of the shapes": (lambda patch: patch.setattr(_shapes, "_STEPS", 3), {"shape"}),
    "the code of the package": (
        lambda patch: patch.setattr(_base_cell, "code_version", lambda module: "1"),
        set(CELLS),
    ),
    "nothing that any of them uses": (
        lambda patch: patch.setitem(ATTACKS, "mine", lambda *args: ERAttack()),
        set(),
    ),
}


def names():
    with read_once():  # as a run does
        return {kind: cell.name for kind, cell in CELLS.items()}


@pytest.fixture(scope="module")
def before():
    return names()


@pytest.mark.parametrize("change", CHANGES)
def test_the_name_changes_with_what_the_result_depends_on_and_with_nothing_else(change, before, monkeypatch):
    make, dependent = CHANGES[change]
    with monkeypatch.context() as patch:
        make(patch)
        after = names()
    changed = {kind for kind in CELLS if after[kind] != before[kind]}
    assert changed == dependent
    assert names() == before


def test_names_say_what_they_are_of(before):
    assert before["cell"].startswith("breast_cancer-vanilla-0-")
    assert before["bracket"].startswith("bracket-100-breast_cancer-vanilla-0-")
    assert before["flip"].startswith("flip-500-50-10-breast_cancer-vanilla-0-")
    assert before["efficacy"].startswith("efficacy-breast_cancer-atex-0-2-")
    assert before["image"].startswith("images-mnist-atex_wider-0-small-test-")
    assert before["shape"].startswith("shape-mnist-R2ET, normalized-0-small-")
    assert len(set(before.values())) == len(before)
    assert before == {kind: cell.name for kind, cell in CELLS.items()}  # together or one by one
    assert all(isinstance(cell, BaseCell) for cell in CELLS.values())


class Mine(BoundaryMarginAttack):
    """A user's own attack."""


def test_an_attack_of_ones_own_is_known_by_its_code(monkeypatch):
    monkeypatch.setitem(ATTACKS, "mine", lambda k, threat, max_iter, seed: Mine(k=k, threat=threat, max_iter=max_iter))
    cell = Cell("breast_cancer", "vanilla", 0, ("mine",))
    before = cell.name
    with monkeypatch.context() as patch:
        patch.setattr(Mine, "objective", lambda self, attribution, reference: -attribution.sum(1), raising=False)
        assert cell.name != before
    assert cell.name == before


def test_the_files_of_a_data_set_count(monkeypatch, tmp_path):
    cell = Cell("compas", "vanilla", 0, ("er",))
    path = tmp_path / "compas" / "compas.csv"
    path.parent.mkdir()
    monkeypatch.setenv("ROBUSTXAI_DATA", str(tmp_path))
    seen = []
    for content in ("one", "two", "three", "one"):
        path.write_text(content)
        os.utime(path, ns=(len(seen), len(seen)))  # two changes may fall into one tick of the clock
        seen.append(cell.name)
    assert seen[0] == seen[3]
    assert len(set(seen)) == 3


def test_a_result_of_another_attack_is_left_alone_and_not_returned(monkeypatch, tmp_path):
    cell = Cell("breast_cancer", "vanilla", 0, ("er",), max_iter=20, n_rows=20, params=(("max_epochs", 10),))
    first = run_cells([cell], tmp_path)
    name = cell.name
    content = (tmp_path / "cells" / name).read_bytes()
    with monkeypatch.context() as patch:
        patch.setitem(ATTACKS, "er", lambda k, threat, n, seed: RandomAttack(k=k, threat=threat, max_iter=1))
        second = run_cells([cell], tmp_path)
        assert cell.name != name
        pd.testing.assert_frame_equal(run_cells([cell], tmp_path), second)
    assert second["precision_at_k"].item() > first["precision_at_k"].item()
    assert cell.name == name  # nor does a run leave anything behind that counts
    pd.testing.assert_frame_equal(run_cells([cell], tmp_path), first)
    assert (tmp_path / "cells" / name).read_bytes() == content
    assert len(list((tmp_path / "cells").iterdir())) == 2


class Weak(RandomAttack):
    """An attack that takes the parameters of any other and does next to nothing."""

    def __init__(self, estimator=None, *, k=8, threat=None, random_state=None, **ignored):
        super().__init__(estimator, k=k, threat=threat, max_iter=1, random_state=random_state)

    @classmethod
    def paper(cls, estimator=None, **given):
        return cls(estimator, **given)


def registered(name):
    return lambda patch: patch.setitem(ATTACKS, name, lambda k, threat, n, seed: Weak(k=k, threat=threat))


#: The name under which each kind of cell finds an attack, given to another attack.
REPLACED = {
    "cell": registered("er"),
    "retrained": registered("er"),
    "reference": registered("er"),
    "flip": registered("er_paper"),
    "bracket": lambda patch: patch.setattr(_bracket, "ERAttack", Weak),
    "efficacy": lambda patch: patch.setattr(_efficacy, "BoundaryMarginAttack", Weak),
    "image": lambda patch: patch.setattr(_images, "MSEAttack", Weak),
    "shape": lambda patch: patch.setattr(_shapes, "ERAttack", Weak),
}


@pytest.mark.parametrize("kind", CELLS)
def test_the_result_of_an_attack_does_not_come_back_for_another_of_the_same_name(kind, monkeypatch, tmp_path):
    cell, results = CELLS[kind], iter(range(9))

    def value():
        return run_cells([cell], tmp_path, run=lambda cell: {"value": next(results)})["value"].item()

    assert [value(), value()] == [0, 0]
    with monkeypatch.context() as patch:
        REPLACED[kind](patch)
        assert [value(), value()] == [1, 1]
    assert value() == 0


def test_other_processes_are_told_of_what_was_registered(monkeypatch, tmp_path):
    def weak(k, threat, max_iter, seed):
        return RandomAttack(k=k, threat=threat, max_iter=1, random_state=seed)

    monkeypatch.setitem(ATTACKS, "er", weak)
    monkeypatch.setitem(ATTACKS, "mine", weak)
    monkeypatch.setitem(DATA, "breast_cancer", lambda: another_table())
    options = {"k": 1, "max_iter": 5, "n_rows": 10, "params": (("max_epochs", 3),)}
    cells = [Cell("breast_cancer", "softplus", seed, ("er", "mine"), **options) for seed in range(2)]
    one, two = (run_cells(cells, tmp_path / str(n), n_jobs=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one.drop(columns="fit_seconds"), two.drop(columns="fit_seconds"))
    assert one["n_features"].tolist() == [2, 2]


def test_other_processes_refuse_what_they_cannot_know(monkeypatch, tmp_path):
    monkeypatch.setitem(_auto.PRESETS, "standard", [(RandomAttack, {"max_iter": 1})])
    cells = [Cell("breast_cancer", "logistic_regression", seed, ("auto",)) for seed in range(2)]
    with pytest.raises(FailedCellsError, match=r"(?s)would be another cell: .* Register what you changed .* n_jobs=1"):
        run_cells(cells, tmp_path, n_jobs=2)
    assert not list((tmp_path / "cells").iterdir())


@dataclass(frozen=True)
class OwnCell(BaseCell):
    """The least that a cell of one's own needs."""

    number: int
    scale: float = 1.0

    def label(self):
        return f"own-{self.number}"

    def depends_on(self):
        return AutoExplanationAttack()


def run_own(cell):
    return {"value": cell.scale * cell.number}


def test_a_cell_of_ones_own(tmp_path, monkeypatch):
    cells = [OwnCell(number) for number in range(3)]
    assert run_cells(cells, tmp_path, run=run_own)["value"].tolist() == [0, 1, 2]
    assert run_cells(cells, tmp_path, run=None)["value"].tolist() == [0, 1, 2]
    assert len({OwnCell(1).name, OwnCell(1, 2.0).name, OwnCell(2).name}) == 3
    before = OwnCell(1).name
    monkeypatch.setitem(_auto.PRESETS, "standard", [(ERAttack, {})])
    assert OwnCell(1).name != before


def test_what_rows_share_is_told_in_the_row_of_the_table():
    options = {"k": 3, "max_iter": 2, "n_rows": 10, "certify": True}
    row = run_cell(Cell("breast_cancer", "logistic_regression", 0, ("random",), **options))
    assert "100 % of their top-3 sets in common" in row["warning"]
    assert (row["between_rows_precision"], row["distinct_top_k_sets"], row["commonest_top_k_share"]) == (1, 1, 1)
    assert np.isnan(row["corrected_precision_at_k"])
