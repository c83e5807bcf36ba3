"""The experiments on images, pairs and graphs, in miniature."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robustxai.classifiers import LinearClassifier, R2ETClassifier
from robustxai.experiments.r2et import R2ETShapes, ShapeCell, run_shape_cell, shapes_markdown
from robustxai.experiments.r2et import _shapes as shapes

TINY = {"n_train": 60, "n_test": 40, "n_pairs": 40, "epochs": 2, "warm_up_epochs": 1, "n_rows": 10, "paper_steps": 3}


@pytest.fixture
def dataset():
    """The names whose files are on this machine; skips where there is none of them."""

    def on_this_machine(*names):
        home = Path(os.environ.get("ROBUSTXAI_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
        folders = {"abide": "abide_nyu"}
        found = [name for name in names if (home / folders.get(name, name)).is_dir()]
        if not found:
            pytest.skip("needs the real data: set ROBUSTXAI_DATA")
        return found

    return on_this_machine


@pytest.fixture(autouse=True)
def miniature(monkeypatch):
    """Every data set with a handful of samples and steps."""
    small = {name: replace(shape, sizes={"small": TINY, "full": TINY}) for name, shape in shapes.SHAPES.items()}
    monkeypatch.setattr(shapes, "SHAPES", small)
    monkeypatch.setattr(shapes, "_STEPS", 2)


@pytest.mark.parametrize(
    "data", ["mnist", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cifar10", "abide"))]
)
def test_a_cell_is_trained_attacked_and_measured_alike_each_time(data, dataset):
    dataset(data)
    if data == "abide":
        pytest.importorskip("torch_geometric")
    row, again = (run_shape_cell(ShapeCell(data, "R2ET-mm", 0)) for _ in range(2))
    assert 0 <= row["precision_at_k"] <= min(row["precision_at_k_er"], row["precision_at_k_random"]) <= 1
    assert 0 <= row["roc_auc"] <= 1
    assert row["n_rows"] == 10
    assert {"comprehensiveness", "sufficiency", "precision_at_k_er_paper", "precision_at_k_mse_paper"} <= set(row)
    del row["fit_seconds"], again["fit_seconds"]
    assert row == again


def test_a_linear_model_never_moves(dataset):
    dataset("cifar10")
    row = run_shape_cell(ShapeCell("cifar10", "Logistic regression", 0))
    assert row["precision_at_k"] == row["precision_at_k_er_paper"] == 1


def test_test_and_validation_rows_are_others(dataset):
    for data in dataset("mnist", "cifar10", "abide"):
        parts = [shapes.SHAPES[data].load(0, part, TINY)[1] for part in ("test", "validation")]
        rows = [{sample.tobytes() for sample in part} for part in parts]
        assert not rows[0] & rows[1]


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"size": "full"}, {"part": "validation"}, {"method": "R2ET-mm"}, {"params": (("lambda_gap", 9.0),)}],
)
def test_every_cell_has_a_file_of_its_own(change):
    cell = ShapeCell("mnist", "R2ET", 0)
    assert cell.name != replace(cell, **change).name


def test_settings_are_part_of_the_name(monkeypatch):
    cell = ShapeCell("mnist", "R2ET", 0)
    before = cell.name
    monkeypatch.setattr(shapes, "_STEPS", 4)
    assert cell.name != before


def test_every_method_sees_the_data_as_often():
    for data in shapes.SHAPES:
        for method in shapes.SHAPE_METHODS:
            estimator = ShapeCell(data, method, 0).estimator()
            if isinstance(estimator, LinearClassifier):
                continue
            assert estimator.max_epochs + estimator.warm_up_epochs == 2
            assert not isinstance(estimator, R2ETClassifier) or estimator.k == shapes.SHAPES[data].k


def test_bad_names_are_named():
    with pytest.raises(ValueError, match=r"no data set 'mnits'.*mnist"):
        R2ETShapes(data=("mnits",))
    with pytest.raises(ValueError, match=r"no method 'R2E'.*R2ET"):
        R2ETShapes(methods=("R2E",))
    with pytest.raises(ValueError, match="small"):
        R2ETShapes(size="tiny")


def test_markdown_has_means_deviations_and_the_paper_s_figures():
    rows = [
        {"data": "mnist", "method": method, "seed": seed, "size": "small", "k": 50, "epsilon": 1.0, "n_train": 8,
         "n_rows": 4, "roc_auc": 0.9 + 0.02 * seed, "precision_at_k_er_paper": 0.5 + 0.1 * seed}
        for method in ("Logistic regression", "R2ET")
        for seed in (0, 1)
    ]  # fmt: skip
    text = shapes_markdown(pd.DataFrame(rows))
    assert "## mnist (small, 8 training samples, 4 attacked, epsilon 1 in l2, 2 seeds)" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| R2ET, normalized ")]
    assert f"0.9100 ± {np.std([0.9, 0.92], ddof=1):.4f}" in line
    assert f"| 55.0 ± {np.std([50, 60], ddof=1):.1f} |" in line
    # the paper's R2ET is another method: its figures stand alone, below the columns of its attacks
    (paper,) = [row for row in text.splitlines() if row.startswith("| R2ET (paper) ")]
    heads = next(row for row in text.splitlines() if row.startswith("| method")).split(" | ")
    figures = dict(zip(heads, paper.split(" | ")))
    assert figures.pop("P@50 ER, paper's attack (paper's figure)") == "(85.7)"
    assert figures.pop("P@50 MSE, paper's attack (paper's figure)") == "(90.8)"
    assert set(list(figures.values())[1:-1]) == {"-"}
    (line,) = [line for line in text.splitlines() if line.startswith("| Logistic regression ")]
    assert "(" not in line
