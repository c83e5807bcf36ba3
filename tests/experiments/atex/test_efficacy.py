"""The efficacy of adversarial training after ATEX: the arms are what they say, the run resumes, the table is right."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from robustxai.attacks import FGSM
from robustxai.experiments.atex import ARMS, ATEXEfficacy, EfficacyCell, _efficacy, efficacy_markdown, run_efficacy_cell
from robustxai.perturbation import ThreatModel

CELL = EfficacyCell("breast_cancer", "atex", 0, 2, epsilon=0.05, max_epochs=2, n_train=200, n_rows=80)
ITERATED = [arm for arm in ARMS if arm != "logistic_regression"]
METRICS = [
    *("precision_at_k", "between_rows_precision", "prediction_sensitivity", "comprehensiveness", "sufficiency"),
    *(
        f"{name}_{stage}"
        for name in ("roc_auc", "accuracy", "fgsm_accuracy", "fgsm_balanced", "pgd_accuracy")
        for stage in ("before", "samples", "online")
    ),
]


@pytest.fixture
def study(monkeypatch):
    monkeypatch.setattr(_efficacy, "_STEPS", 5)
    return ATEXEfficacy(
        ("breast_cancer",), seeds=2, iterations=(0, 1), epsilons=(0.05,), max_epochs=1, n_train=100, n_rows=40
    )


def weights(model):
    return torch.cat([value.detach().flatten() for value in model.module_.parameters()])


def test_iteration_0_is_the_same_in_every_arm_to_the_bit():
    rows = []
    for arm in ITERATED:
        _efficacy._pretrained.cache_clear()
        rows.append(run_efficacy_cell(replace(CELL, defense=arm, iterations=0)))
    for row in rows[1:]:
        assert {name: row[name] for name in METRICS} == {name: rows[0][name] for name in METRICS}


def test_the_arms_differ_after_an_iteration_and_start_from_one_model():
    teacher = _efficacy._pretrained("breast_cancer", 0, 200, 80)
    before = weights(teacher).clone()
    models = [_efficacy._stabilized(replace(CELL, defense=arm)) for arm in ITERATED]
    assert torch.equal(weights(teacher), before)
    for number, model in enumerate(models):
        assert len(model.history_) == CELL.iterations
        assert model.module_ is not teacher.module_
        for other in (teacher, *models[:number]):
            assert not torch.equal(weights(model), weights(other))
    terms = [{"distillation", "tangent"} & set(model.history_[-1]) for model in models]
    assert terms == [{"distillation", "tangent"}, {"tangent"}, set(), set()]


@pytest.mark.parametrize("arm", ITERATED)
def test_an_iteration_continues_the_one_before(arm):
    shorter, longer = (_efficacy._stabilized(replace(CELL, defense=arm, iterations=n)) for n in (1, 3))
    assert longer.history_[0]["train_loss"] == shorter.history_[0]["train_loss"]


def test_figures_are_those_of_the_models():
    row = run_efficacy_cell(replace(CELL, defense="logistic_regression", iterations=0))
    X, X_test, _, y_test = _efficacy._rows("breast_cancer", 0, 200, 80)
    assert (len(X), len(X_test)) == (200, 80)
    model = _efficacy._stabilized(replace(CELL, defense="logistic_regression", iterations=0))
    attack = FGSM(model, threat=ThreatModel(0.05, norm="inf", bounds=(0.0, 1.0))).fit(X)
    moved = attack.transform(X_test, y_test)
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert row["accuracy_before"] == model.score(X_test, y_test)
    assert row["fgsm_accuracy_before"] == model.score(moved, y_test) < row["accuracy_before"]
    assert row["fgsm_balanced_before"] == pytest.approx(balanced_accuracy_score(y_test, model.predict(moved)))
    # a linear model has one gradient, so one step is all that there is to an attack
    assert row["pgd_accuracy_before"] == pytest.approx(row["fgsm_accuracy_before"], abs=0.02)
    assert row["majority"] == np.unique(y_test, return_counts=True)[1].max() / 80
    assert row["precision_at_k"] == 1.0


def test_adversarial_training_raises_fgsm_accuracy_online():
    row = run_efficacy_cell(replace(CELL, iterations=0, max_epochs=30))
    assert row["fgsm_accuracy_online"] > row["fgsm_accuracy_before"]


def test_the_name_has_every_field():
    changes = {"data": "compas", "defense": "plain", "seed": 1, "iterations": 3, "epsilon": 0.2}
    changes |= {"max_epochs": 3, "n_train": 100, "n_rows": 50}
    names = {CELL.name, *(replace(CELL, **{name: value}).name for name, value in changes.items())}
    assert len(names) == len(changes) + 1


def test_the_whole_in_small_and_again(study, tmp_path):
    seen = []
    results = study.run(tmp_path, progress=lambda done, total, row: seen.append((done, total, row["defense"])))
    assert len(results) == len(study.cells()) == 2 * (4 * 2 + 1) == seen[-1][1]
    assert np.isfinite(results[METRICS]).all(axis=None)
    assert results[METRICS].ge(0).all(axis=None)
    assert results[METRICS].le(1).all(axis=None)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    again = study.run(tmp_path)
    pd.testing.assert_frame_equal(again, results)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    wider = replace(study, seeds=1, iterations=(0, 1, 2)).run(tmp_path)
    assert len(wider) == 4 * 3 + 1
    assert len(list((tmp_path / "cells").iterdir())) == len(before) + 4

    text = efficacy_markdown(results)
    rows = results[(results["defense"] == "plain") & (results["iterations"] == 1)]
    percent = 100 * rows["fgsm_accuracy_online"].to_numpy()
    cell = f"{percent.mean():.1f} ± {percent.std(ddof=1):.1f}"
    (line,) = [line for line in text.splitlines() if line.startswith("| plain | 1 |")]
    assert cell in line
    start = results[(results["defense"] == "atex") & (results["iterations"] == 0)]["fgsm_accuracy_online"].to_numpy()
    gain = percent - 100 * start
    assert f"| {cell} | {gain.mean():+.1f} ± {gain.std(ddof=1):.1f} |" in line
    assert [row.split("|")[2].strip() for row in text.splitlines() if row.startswith("| none")] == ["0"]
    assert "| logistic regression | 0 |" in text
    assert len({row.count("|") for row in text.splitlines() if row.startswith("|")}) == 1


def test_one_seed_and_no_iteration_0_still_make_a_table():
    row = {"data": "adult", "epsilon": 0.1, "majority": 0.76, "seed": 0, "precision_at_k": 0.9}
    row |= {"defense": "atex", "iterations": 4} | dict.fromkeys(METRICS, 0.5)
    (line,) = [line for line in efficacy_markdown(pd.DataFrame([row])).splitlines() if line.startswith("| atex | 4")]
    assert "±" not in line
    assert line.count("| - ") == 2


def test_defaults_are_the_paper_s_grid():
    study = ATEXEfficacy()
    assert 0.1 in study.epsilons
    assert study.iterations[0] == 0
    assert len(study.cells()) == 3 * 3 * 2 * (4 * 5 + 1)
    assert len(set(study.cells())) == len(study.cells())
    some = [cell for cell in study.cells() if (cell.data, cell.seed) == (study.data[0], 0)]
    assert len({cell.name for cell in some}) == len(some)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"data": ("adlt",)}, "Did you mean 'adult'"),
        ({"data": ()}, "data is empty"),
        ({"iterations": ()}, "iterations is empty"),
        ({"iterations": (0, -1)}, "iterations must be"),
        ({"epsilons": (-0.1,)}, "epsilon must be"),
        ({"seeds": 0}, "seeds must be"),
    ],
)
def test_what_makes_no_sense_is_refused(change, match):
    with pytest.raises(ValueError, match=match):
        ATEXEfficacy(**change)
