"""One training explained in several ways, and trainings on the explanation that is measured."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from robustxai import R2ETClassifier
from robustxai.benchmark import (
    DEFENSES,
    STANDARD_EXPLAINERS,
    Cell,
    Experiment,
    _cell,
    by_explanation,
    fit_model,
    prepare_rows,
    ranked_markdown,
    run_cell,
    summarize,
    to_markdown,
)
from robustxai.benchmark._explanation import reads_explanation
from robustxai.benchmark._scheduler import on_this_machine
from robustxai.explainers import Gradient, IntegratedGradients, SmoothGrad
from robustxai.metrics import between_rows_precision, comprehensiveness, precision_at_k, ranking_thickness

QUICK = (("max_epochs", 6),)


@pytest.fixture
def cell(table):
    return Cell(str(table), "r2et", 0, ("er", "random"), k=3, max_iter=5, n_rows=12, params=QUICK)


@pytest.fixture
def fits(monkeypatch):
    """Explainers of all trainings, in their order."""
    seen = []
    _cell._fitted.cache_clear()
    monkeypatch.setattr(_cell, "prepare_rows", lambda model: seen.append(model.explainer) or prepare_rows(model))
    return seen


def by_hand(cell, trained_on, explained_by):
    X, X_test, y, _ = prepare_rows(cell)
    clf = R2ETClassifier(k=3, explainer=trained_on, max_epochs=6).fit(X, y).set_params(explainer=explained_by)
    return clf, X_test[:12]


@pytest.mark.parametrize(("name", "trained_on"), [("smooth_grad", "same"), ("integrated_gradients", "gradient")])
def test_every_metric_of_a_row_is_of_its_explanation(cell, name, trained_on):
    row = run_cell(replace(cell, explainer=name, training_explainer=trained_on))
    mean = np.asarray(prepare_rows(cell)[0], dtype=np.float32).mean(axis=0, dtype=np.float64)
    explainer = {"smooth_grad": SmoothGrad(), "integrated_gradients": IntegratedGradients(baseline=mean)}[name]
    clf, X = by_hand(cell, explainer if trained_on == "same" else Gradient(), explainer)
    attribution = clf.explain(X)
    attacks = [attack.set_params(estimator=clf).run(X) for attack in cell.built(cell.attacks).values()]
    worst = np.minimum(*(precision_at_k(attribution, clf.explain(r.X_adv), 3) for r in attacks))
    assert row["precision_at_k"] == worst.mean() < 1
    assert row["first_flip"] == attacks[0].first_flip.mean()
    assert row["between_rows_precision"] == between_rows_precision(attribution, 3)
    assert row["comprehensiveness"] == pytest.approx(comprehensiveness(clf, X, attribution).mean())
    assert row["thickness"] == pytest.approx(ranking_thickness(clf, X, 3, n_draws=20, n_points=5).mean())
    assert (row["explainer"], row["training_explainer"]) == (name, "gradient" if trained_on != "same" else name)


def test_integrated_gradients_from_zeros_rank_what_is_present():
    """The reason for the baseline: every absent category has an attribution of zero, in any model."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(12, 8), torch.nn.Softplus(), torch.nn.Linear(8, 2))
    X = torch.eye(4)[torch.randint(4, (30, 3))].flatten(1)  # three columns of four categories
    target = net(X).argmax(dim=1)
    zeros, mean = (IntegratedGradients(baseline=b)(net, X, target) for b in (0.0, X.mean(dim=0).numpy()))
    assert torch.equal(zeros != 0, X == 1)
    assert (mean != 0).all()


def test_one_training_serves_all_explanations_and_each_training_explainer_has_its_own(cell, fits):
    cells = [replace(cell, explainer=name, training_explainer="own") for name in STANDARD_EXPLAINERS]
    rows = [run_cell(own) for own in cells]
    assert fits == ["gradient"]
    assert len({row["comprehensiveness"] for row in rows}) > 1
    assert len({row["roc_auc"] for row in rows}) == len({row["fit_seconds"] for row in rows}) == 1
    again = run_cell(cells[0])
    assert {k: v for k, v in again.items() if v == v} == {k: v for k, v in rows[0].items() if v == v}
    run_cell(replace(cell, explainer="smooth_grad"))
    run_cell(replace(cell, explainer="gradient", training_explainer="smooth_grad"))
    assert fits == ["gradient", "smooth_grad"]
    run_cell(replace(cell, explainer="smooth_grad", seed=1))
    assert len(fits) == 3


def test_a_training_is_kept_only_while_it_would_come_out_the_same(cell, fits, monkeypatch):
    first = fit_model(cell)
    assert fit_model(replace(cell, n_rows=3, explainer="smooth_grad", training_explainer="own")) is first
    monkeypatch.setitem(DEFENSES, "r2et", lambda k, seed: R2ETClassifier(k, lambda_gap=0.1, random_state=seed))
    assert fit_model(cell).estimator.lambda_gap == 0.1
    assert len(fits) == 2


def test_own_is_the_explainer_of_the_defense(cell, monkeypatch):
    monkeypatch.setitem(DEFENSES, "r2et", lambda k, seed: R2ETClassifier(k, explainer="log_odds_gradient"))
    own = replace(cell, explainer="own", n_rows=4)
    assert run_cell(own)["training_explainer"] == "log_odds_gradient"
    assert fit_model(own).explained_by("own").explainer == "log_odds_gradient"
    assert fit_model(own).explained_by("smooth_grad").explainer == "smooth_grad"


@pytest.mark.parametrize("defense", DEFENSES)
def test_a_defense_reads_the_explanation_exactly_if_its_weights_depend_on_it(defense):
    rng = np.random.default_rng(0)
    X, y = rng.uniform(size=(24, 10)), rng.integers(2, size=24)

    def weights(explainer):
        clf = DEFENSES[defense](3, 0).set_params(explainer=explainer, max_epochs=2, warm_up_epochs=0, batch_size=12)
        return torch.cat([w.flatten() for w in clf.fit(X, y).module_.parameters()])

    if not hasattr(DEFENSES[defense](3, 0), "explainer"):
        assert not reads_explanation(DEFENSES[defense](3, 0))
        return
    if getattr(DEFENSES[defense](3, 0), "target_precision", None) is not None:
        assert reads_explanation(DEFENSES[defense](3, 0))  # it refuses so few rows
        return
    equal = torch.equal(weights("gradient"), weights(SmoothGrad(n_draws=2, output="log_odds")))
    assert reads_explanation(DEFENSES[defense](3, 0)) == (not equal)


def test_r2et_has_a_row_for_each_training_and_the_others_where_they_are_asked_for():
    experiment = Experiment(("compas",), ("softplus", "r2et"), seeds=1, explainers=STANDARD_EXPLAINERS)
    found = [(c.defense, c.explainer, c.model().explainer) for c in experiment.cells()]
    assert found == [
        ("softplus", "gradient", "gradient"),
        ("softplus", "smooth_grad", "gradient"),
        ("softplus", "integrated_gradients", "gradient"),
        ("r2et", "gradient", "gradient"),
        ("r2et", "smooth_grad", "gradient"),
        ("r2et", "smooth_grad", "smooth_grad"),
        ("r2et", "integrated_gradients", "gradient"),
        ("r2et", "integrated_gradients", "integrated_gradients"),
    ]
    assert len(replace(experiment, training_explainers=("own",)).cells()) == 6
    other = replace(experiment, defenses=("estimated_hessian",), n_train=77)
    assert [(cell.model().explainer, cell.n_train) for cell in other.cells()] == [("gradient", 77)] * 3
    assert len(replace(other, training_explainers=("own", "same")).cells()) == 5
    assert len({cell.group() for cell in experiment.cells()}) == 4
    with pytest.raises(ValueError, match=r"'smoothgrad'\. Did you mean 'smooth_grad'"):
        replace(experiment, explainers=("smoothgrad",))
    with pytest.raises(ValueError, match="'sane'"):
        replace(experiment, training_explainers=("sane",))


def test_a_defense_made_for_another_explanation_is_trained_for_both(monkeypatch):
    monkeypatch.setitem(DEFENSES, "own", lambda k, seed: R2ETClassifier(k, explainer="integrated_gradients"))
    cells = Experiment(("compas",), ("own",), seeds=1, explainers=("gradient", "integrated_gradients")).cells()
    assert [(c.explainer, c.model().explainer) for c in cells] == [
        ("gradient", "integrated_gradients"),
        ("gradient", "gradient"),
        ("integrated_gradients", "integrated_gradients"),
    ]


def test_the_training_part_can_be_shortened(cell):
    X, X_test, y, _ = prepare_rows(replace(cell, n_train=40))
    assert len(X) == len(y) == 40
    assert len(X_test) == len(prepare_rows(cell)[1])
    assert fit_model(replace(cell, n_train=40)) is not fit_model(cell)


def test_cells_of_one_training_run_one_after_the_other(table):
    experiment = Experiment((str(table),), ("softplus", "r2et"), ("random",), 1, 3, explainers=STANDARD_EXPLAINERS)
    finished = [cell for cell, _ in on_this_machine(experiment.cells(), lambda cell: {}, 1)]
    models = [cell.model() for cell in finished]
    changes = sum(one != other for one, other in pairwise(models))
    assert changes + 1 == len(set(models)) == 4
    assert sorted(map(experiment.cells().index, finished)) == list(range(len(finished)))


@pytest.fixture
def rows():
    """Two defenses under two explanations, one of them trained on both."""
    trained = [("a", "gradient", "none"), ("a", "smooth_grad", "none"), ("b", "gradient", "gradient")]
    trained += [("b", "smooth_grad", "gradient"), ("b", "smooth_grad", "smooth_grad")]
    return pd.DataFrame(
        [
            {"data": "loans", "defense": d, "explainer": e, "training_explainer": t, "seed": seed, "k": 3}
            | {
                "epsilon": 0.5,
                "norm": "2",
                "n_features": 9,
                "roc_auc": 0.9,
                "precision_at_k": 0.1 * place + 0.01 * seed,
            }
            for place, (d, e, t) in enumerate(trained)
            for seed in range(2)
        ]
    )


def test_a_table_has_one_explanation_and_says_what_was_trained_where_that_is_not_clear(rows):
    found = {(data, e): list(dict.fromkeys(own["defense"])) for data, e, own in by_explanation(rows)}
    assert found == {
        ("loans", "gradient"): ["a", "b"],
        ("loans", "smooth_grad"): ["a", "b (trained on gradient)", "b (trained on smooth grad)"],
    }
    assert len(summarize(rows)) == 5
    text = to_markdown(rows)
    assert "### loans (9 features" in text
    assert "### loans, smooth grad (9 features" in text
    assert f"| b (trained on smooth grad) | {0.9:.4f} ± {0:.4f} | 0.405 ± 0.007 |" in " ".join(text.split())
    ((data, explainer, own),) = by_explanation(rows[["data", "defense", "seed"]])
    assert (data, explainer, len(own)) == ("loans", "", 10)


def test_the_ranked_table_starts_with_the_most_stable_and_takes_further_columns(rows):
    tests = pd.Series({("loans", "smooth_grad", "gradient", "b"): "0.04"})
    text = ranked_markdown(rows, labels={"b": "**B**"}, more={"p (Holm)": tests})
    lines = [[part.strip() for part in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]
    assert lines[0] == ["defense", "AUC", "P@3 worst", "p (Holm)"]
    assert [line[0] for line in lines] == [
        *("defense", lines[1][0], "**B**", "a"),
        *("defense", lines[5][0], "**B** (trained on smooth grad)", "**B** (trained on gradient)", "a"),
    ]
    assert [line[3] for line in lines[6:]] == ["-", "0.04", "-"]


def test_attacks_differentiate_through_the_explanation(table):
    """The gradient of the attack finds what random directions do not."""
    params = (("beta", 10.0), ("max_epochs", 30))
    cell = Cell(str(table), "softplus", 0, ("boundary", "random"), k=3, max_iter=8, n_rows=12, params=params)
    for name in STANDARD_EXPLAINERS:
        row = run_cell(replace(cell, explainer=name, training_explainer="own"))
        assert row["precision_at_k_boundary"] < row["precision_at_k_random"], name
