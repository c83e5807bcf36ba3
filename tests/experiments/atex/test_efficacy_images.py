"""Figure 4 of the ATEX paper: cells are what they say, and the run makes a table and a figure."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from robustxai.attacks import FGSM
from robustxai.experiments.atex import (
    FIGURE_4_ARMS,
    FIGURE_4_SIZES,
    ATEXFigure4,
    EfficacyDisplay,
    Figure4Cell,
    Figure4Size,
    _efficacy_images,
    efficacy_markdown,
    run_figure_4_cell,
)
from robustxai.perturbation import ThreatModel

CELL = Figure4Cell("mnist", "atex", 0, 1, "tiny")


def images(n_rows=None, subset="train", random_state=0, return_X_y=True):
    """Two kinds of bars with noise, in the form of the real images."""
    rng = np.random.default_rng([random_state, subset == "test"])
    y = np.arange(n_rows) % 2
    X = rng.uniform(0, 0.4, size=(n_rows, 1, 28, 28))
    X[y == 0, :, 8:12, 4:24] += 0.5
    X[y == 1, :, 4:24, 14:18] += 0.5
    return X.astype(np.float32), y


@pytest.fixture(autouse=True)
def _small_world(monkeypatch):
    monkeypatch.setitem(FIGURE_4_SIZES, "tiny", Figure4Size(40, 20, pretraining=2, adversarial=1, batch_size=20))
    monkeypatch.setitem(_efficacy_images._NET, "module__channels", (4,))
    monkeypatch.setitem(_efficacy_images.IMAGE_DATA, "mnist", images)
    monkeypatch.setattr(_efficacy_images, "_ROWS", 4)
    monkeypatch.setattr(_efficacy_images, "_STEPS", 2)
    for cache in (_efficacy_images._images, _efficacy_images._pretrained):
        cache.cache_clear()
    yield
    for cache in (_efficacy_images._images, _efficacy_images._pretrained):
        cache.cache_clear()


def test_iteration_0_is_the_same_for_every_arm_and_leaves_the_pretrained_model_alone():
    before = [value.clone() for value in _efficacy_images._pretrained("mnist", 0, "tiny").module_.parameters()]
    rows = [run_figure_4_cell(replace(CELL, defense=arm, iterations=0)) for arm in FIGURE_4_ARMS]
    after = _efficacy_images._pretrained("mnist", 0, "tiny").module_.parameters()
    assert all(torch.equal(one, other) for one, other in zip(before, after))
    for row in rows:
        assert {**row, "defense": "", "fit_seconds": 0} == {**rows[0], "defense": "", "fit_seconds": 0}
    other = run_figure_4_cell(CELL)
    assert other["roc_auc_before"] != rows[0]["roc_auc_before"] or other["precision_at_k"] != rows[0]["precision_at_k"]


def test_figures_are_those_of_the_pretrained_model():
    row = run_figure_4_cell(replace(CELL, iterations=0))
    model = _efficacy_images._pretrained("mnist", 0, "tiny")
    X, X_test, y, y_test = _efficacy_images._images("mnist", 0, "tiny")
    moved = FGSM(model, threat=ThreatModel(0.1, norm="inf", bounds=(0.0, 1.0))).fit(X).transform(X_test, y_test)
    assert (len(X), len(y), len(X_test)) == (40, 40, 20)
    assert row["accuracy_before"] == model.score(X_test, y_test)
    assert row["fgsm_accuracy_before"] == model.score(moved, y_test)
    assert row["majority"] == 0.5


def test_the_whole_has_a_table_and_a_figure(tmp_path, plt):
    study = ATEXFigure4(("mnist",), seeds=1, size="tiny", iterations=(0, 1), arms=("atex", "plain"))
    results = study.run(tmp_path)
    assert len(results) == len(study.cells()) == 4
    text = efficacy_markdown(results)
    assert "| P@50 |" in " ".join(text.split())
    assert sum(line.startswith(("| none", "| atex", "| plain")) for line in text.splitlines()) == 3
    display = EfficacyDisplay.from_results(results)
    assert display.axes_.shape == (2, 1)


def test_the_name_has_every_field():
    changes = {"data": "fashion_mnist", "defense": "plain", "seed": 1, "iterations": 3, "size": "small"}
    names = {CELL.name, *(replace(CELL, **{name: value}).name for name, value in changes.items())}
    assert len(names) == len(changes) + 1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"data": ("mnits",)}, "Did you mean 'mnist'"),
        ({"arms": ("atx",)}, "Did you mean 'atex'"),
        ({"iterations": (-1,)}, "iterations must be"),
        ({"size": "smal"}, "Did you mean 'small'"),
    ],
)
def test_what_makes_no_sense_is_refused(change, match):
    with pytest.raises(ValueError, match=match):
        ATEXFigure4(**change)
