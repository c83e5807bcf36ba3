"""The experiments on images, pairs and graphs, in miniature."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from robustxai.classifiers import LinearClassifier, R2ETClassifier
from robustxai.engine import ExplainedBatch
from robustxai.experiments.r2et import (
    PUBLISHED_SHAPES,
    R2ETShapes,
    ShapeCell,
    run_shape_cell,
    shapes_markdown,
    shapes_summary,
)
from robustxai.experiments.r2et import _shapes as shapes
from robustxai.experiments.r2et._shape_data import SHAPES, ShapeSize
from robustxai.explainers import Gradient

TINY = ShapeSize(n_train=60, n_test=40, n_pairs=40, epochs=2, warm_up_epochs=1, n_rows=10, paper_steps=3)


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
    row, again = (run_shape_cell(ShapeCell(data, "R2ET-mm, Eq. 6", 0)) for _ in range(2))
    assert 0 <= row["precision_at_k"] <= min(row["precision_at_k_er"], row["precision_at_k_random"]) <= 1
    assert 0 <= row["roc_auc"] <= 1
    assert row["n_rows"] == 10
    assert {"comprehensiveness", "sufficiency", "precision_at_k_er_paper", "precision_at_k_mse_paper"} <= set(row)
    del row["fit_seconds"], again["fit_seconds"]
    assert row == again


def test_a_linear_model_of_two_classes_never_moves(dataset):
    dataset("mnist")
    row = run_shape_cell(ShapeCell("mnist", "Logistic regression", 0))
    assert row["precision_at_k"] == row["precision_at_k_er_paper"] == 1


def test_colors_are_attacked_with_the_steps_of_the_paper_and_of_its_code(dataset):
    dataset("cifar10")
    row = run_shape_cell(ShapeCell("cifar10", "Logistic regression", 0))
    assert 0 < row["precision_at_k_er_paper"] < row["precision_at_k_er_code"] < 1


def test_test_and_validation_rows_are_others(dataset):
    for data in dataset("mnist", "cifar10", "abide"):
        parts = [shapes.SHAPES[data].load(0, part, TINY)[1] for part in ("test", "validation")]
        rows = [{sample.tobytes() for sample in part} for part in parts]
        assert not rows[0] & rows[1]


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"size": "full"}, {"part": "validation"}, {"method": "SP"}, {"params": (("lambda_gap", 9.0),)}],
)
def test_every_cell_has_a_file_of_its_own(change):
    cell = ShapeCell("mnist", "R2ET, normalized", 0)
    assert cell.name != replace(cell, **change).name


def test_settings_are_part_of_the_name(monkeypatch):
    cell = ShapeCell("mnist", "R2ET, Eq. 6", 0)
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


def test_colors_are_standardized_images_of_ten_classes_in_their_box(dataset):
    dataset("cifar10")
    X, _, y, _ = SHAPES["cifar10"].load(0, "test", TINY)
    assert set(y) == set(range(10))
    low, high = SHAPES["cifar10"].bounds
    assert (low - 1e-6 <= X).all()
    assert (high + 1e-6 >= X).all()
    pixels = (X - low) / (high - low)
    np.testing.assert_allclose(pixels * 255, np.round(pixels * 255), atol=1e-3)


def test_connectomes_have_whole_rounds_of_five_folds_in_which_every_subject_is_tested_once(dataset):
    cells = R2ETShapes(data=("mnist", "abide"), methods=("SP",), seeds=2).cells()
    assert [(cell.data, cell.seed) for cell in cells] == [("mnist", 0), ("mnist", 1), *(("abide", n) for n in range(5))]
    dataset("abide")
    size = replace(TINY, n_pairs=200)
    folds = [SHAPES["abide"].load(seed, "test", size) for seed in range(5)]
    trained = [{subject.tobytes() for subject in fold[0].reshape(-1, 116 * 116)} for fold in folds]
    tested = [{pair[0].tobytes() for pair in fold[1]} for fold in folds]
    assert sum(map(len, tested)) == len(set.union(*tested)) == 182
    for train, test in zip(trained, tested):
        assert not train & test


@pytest.mark.parametrize("form", ["R2ET", "R2ET-mm"])
def test_the_paper_s_rows_are_eq_6(form):
    """The penalty is the naive sum over the pairs, and the Hessian term that of Est-H."""
    k, n_units = SHAPES["mnist"].k, 2 * 28 * 28
    estimator, without = (ShapeCell("mnist", f"{form}{end}, Eq. 6", 0).estimator() for end in ("", "\\H"))
    gap, hessian = estimator.terms(n_units)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(n_units, 3), nn.Softplus(), nn.Linear(3, 2)).double()
    x = torch.rand(2, 2, 1, 28, 28, dtype=torch.float64)
    batch = ExplainedBatch(module, x.requires_grad_(), Gradient())
    found = estimator.lambda_gap * gap.penalty(batch).detach()
    scores = batch.attribution.detach().abs().flatten(1).sort(dim=1, descending=True).values
    top, rest = scores[:, :k], scores[:, k:]
    gaps = (top[:, :, None] - rest[:, None, :]).sum((1, 2)) if form == "R2ET" else (top - rest[:, :k]).sum(1)
    torch.testing.assert_close(found, -estimator.lambda_gap * gaps)
    assert hessian.weight == ShapeCell("mnist", "Est-H", 0).estimator().lambda_hessian
    assert estimator.gap == "linear"
    assert without.terms(n_units)[1].weight == 0


def test_markdown_has_means_deviations_and_the_paper_s_figures_with_differences():
    rows = [
        {"data": "mnist", "method": method, "seed": seed, "size": "small", "k": 50, "epsilon": 1.0, "n_train": 8,
         "n_rows": 4, "roc_auc": 0.9 + 0.02 * seed, "precision_at_k_er_paper": 0.5 + 0.1 * seed, "precision_at_k": 0.4}
        for method in ("Logistic regression", "Vanilla", "R2ET, Eq. 6", "R2ET, normalized")
        for seed in (0, 1)
    ]  # fmt: skip
    results = pd.DataFrame(rows)
    lines = shapes_markdown(results).splitlines()
    assert "Size small; 8 training samples; 4 attacked samples, epsilon 1 in l2; 2 seeds." in lines
    heads = next(line for line in lines if line.startswith("| method")).split(" | ")
    assert "P@50 ER, paper's attack (paper, difference)" in heads
    own, normalized, linear = (
        next(line for line in lines if line.startswith(f"| {name} "))
        for name in ("R2ET, Eq. 6", "R2ET, normalized", "Logistic regression")
    )
    spread = f"55.0 ± {np.std([50, 60], ddof=1):.1f}"
    assert f"0.9100 ± {np.std([0.9, 0.92], ddof=1):.4f}" in own
    assert f"| {spread} (85.7, -30.7) |" in own
    # the library's form is another method than the paper's
    assert f"| {spread} |" in normalized
    assert "(" not in normalized + linear
    # a form without a row of ours still has the paper's figures
    assert any(line.startswith("| R2ET-mm (paper) ") and "(85.3)" in line for line in lines)
    summary = shapes_summary(results)
    assert "R2ET, Eq. 6: 55.0 (+0.0) under the paper's ERAttack" in summary
    assert "the paper prints 85.7 (+26.7) under its ERAttack" in summary


def test_connectomes_stand_beside_both_of_the_paper_s_data_sets():
    row = {"data": "abide", "method": "Vanilla", "seed": 0, "size": "small", "k": 50, "epsilon": 1.0, "n_train": 8}
    row |= {"n_rows": 4, "roc_auc": 0.5, "precision_at_k": 0.5, "precision_at_k_er_paper": 0.5, "thickness": 0.95}
    text = shapes_markdown(pd.DataFrame([row]))
    assert "P@50 ER, paper's attack (ADHD, difference; BP, difference)" in text
    assert "50.0 (45.5, +4.5; 69.4, -19.4)" in text
    assert "0.9500 (0.9261, +0.0239; 0.9282, +0.0218)" in text


def test_published_tables_have_every_method_of_the_paper():
    methods = {"Vanilla", "WD", "SP", "Est-H", "AT", "R2ET\\H", "R2ET-mm\\H", "R2ET", "R2ET-mm"}
    assert all(set(table) == methods for table in PUBLISHED_SHAPES.values())
    assert {name.removesuffix(", Eq. 6") for name in shapes.SHAPE_METHODS} >= methods
