"""The bracket: its ends are in order, a linear model is proven whole, the run resumes, the tables are right."""

import json
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from robustxai import SoftplusClassifier
from robustxai.attacks import AutoExplanationAttack
from robustxai.benchmark import DEFENSES, prepare_rows
from robustxai.certificates import certify_top_k
from robustxai.exceptions import EvaluationWarning
from robustxai.experiments.bracket import (
    Bracket,
    BracketCell,
    _bracket,
    _tables,
    bracket_markdown,
    bracket_summary,
    run_bracket_cell,
)
from robustxai.metrics import between_rows_precision, distinct_top_k_sets
from robustxai.perturbation import ThreatModel

CELL = BracketCell("breast_cancer", "softplus", 0, (0.1, 0.5), n_rows=5)
P_AT_K = ["certified", "attacked", "er_paper", "random"]


@pytest.fixture(autouse=True, scope="module")
def quick(quick_ensemble):
    """The order of the ends does not depend on how hard the attack tries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_bracket, "_PRESETS", ("fast", "fast"))
        patch.setattr(_bracket, "_LEVELS", 3)
        for name in ("vanilla", "softplus"):
            make = DEFENSES[name]
            patch.setitem(DEFENSES, name, lambda *args, make=make: make(*args).set_params(max_epochs=20))
        patch.setattr(_bracket, "_PAPER_STEPS", 5)
        yield


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("bracket")


@pytest.fixture(scope="module")
def study():
    defenses = ("logistic_regression", "vanilla", "softplus")
    return Bracket(("breast_cancer",), defenses, seeds=1, epsilons=(0.1, 0.5), n_rows=5)


@pytest.fixture(scope="module")
def results(study, out):
    return study.run(out)


def test_the_ends_are_in_order_and_a_linear_model_is_proven_whole(results):
    assert results[["defense", "epsilon"]].to_numpy().tolist() == [
        [defense, epsilon] for defense in ("logistic_regression", "vanilla", "softplus") for epsilon in (0.1, 0.5)
    ]
    assert results[P_AT_K].ge(0).all(axis=None)
    assert results[P_AT_K].le(1).all(axis=None)
    assert (results["certified"] <= results["attacked"] + 1e-9).all()
    linear = results[results["defense"] == "logistic_regression"]
    assert (linear[[*P_AT_K, "fully_certified"]] == 1).all(axis=None)
    assert (linear["certified_radius"] == _bracket._MAX_RADIUS).all()
    assert np.isinf(linear["attack_radius"]).all()
    assert linear["warning"].str.contains("linear, or has collapsed").all()
    others = results[results["defense"] != "logistic_regression"]
    assert (others["certified_radius"] <= others["attack_radius"]).all()
    assert others["radius_ratio"].between(0, 1).all()
    assert (others.groupby("defense")["certified"].nunique() == 2).all()


@pytest.fixture(scope="module")
def softplus():
    """The model of the cell and the rows on which it is attacked."""
    model = CELL.model()
    X_train, X_test, y_train, _ = prepare_rows(model)
    return model.estimator().fit(X_train, y_train), X_test[:5]


def test_figures_are_those_of_the_library(results, softplus):
    clf, X = softplus
    row = results[(results["defense"] == "softplus") & (results["epsilon"] == 0.5)].iloc[0]
    assert row["certified"] == certify_top_k(clf, X, 8, epsilon=0.5).precision_at_k.mean()
    attack = AutoExplanationAttack(clf, k=8, threat=ThreatModel(0.5, bounds=(0.0, 1.0)), preset="fast")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)  # the row has it as text
        attacked = attack.run(X)
    assert row["attacked"] == attacked.precision_at_k.mean()
    assert (row["n_rows"], row["n_features"]) == (5, 30)
    assert (row["method"], row["preset"]) == ("best", "fast")


def test_by_default_logistic_regression_and_the_certified_variant_are_always_there():
    issue = {"logistic_regression", "vanilla", "softplus", "estimated_hessian", "r2et", "certified_r2et"}
    assert issue <= set(Bracket().defenses) <= set(DEFENSES)
    assert {cell.defense for cell in Bracket(("compas",)).cells()} == set(Bracket().defenses)


def test_the_summary_has_both_ends(results):
    lines = bracket_summary(results, {"vanilla": "Vanilla", "softplus": "**SP**"}, epsilons=(0.5, 0.1)).splitlines()
    assert lines[0] == "|  | AUC | B | epsilon 0.5 | epsilon 0.1 |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| Vanilla", "| **SP**"]
    rows = results[results["defense"] == "softplus"].set_index("epsilon")
    ends = [f"{rows.loc[e, 'certified']:.3f} to {rows.loc[e, 'attacked']:.3f}" for e in (0.5, 0.1)]
    model = f"{rows['roc_auc'].iloc[0]:.4f} | {rows['between_rows_precision'].iloc[0]:.3f}"
    assert lines[3] == f"| **SP** | {model} | {ends[0]} | {ends[1]} |"
    before = results.drop(columns="between_rows_precision")  # results from before it was measured
    assert bracket_summary(before, {"vanilla": "V"}, (0.1,)).splitlines()[0] == "|  | AUC | epsilon 0.1 |"
    assert ends[0] != ends[1]


def test_the_same_again_and_more(study, results, out):
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert len(before) == 3
    seen = []
    again = study.run(out, progress=lambda done, total, row: seen.append((done, total, row["defense"])))
    pd.testing.assert_frame_equal(again, results)
    assert before == {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert seen[-1][:2] == (3, 3)


def test_what_rows_share_is_that_of_the_clean_explanations_and_the_rest_of_the_attacked(results, softplus):
    clf, X = softplus
    rows = results[results["defense"] == "softplus"]
    between = between_rows_precision(clf.explain(X))
    assert (rows["between_rows_precision"] == between).all()
    assert (rows["distinct_top_k_sets"] == distinct_top_k_sets(clf.explain(X))).all()
    np.testing.assert_allclose(rows["corrected_attacked"], (rows["attacked"] - between) / (1 - between))
    assert rows["prediction_sensitivity"].is_monotonic_increasing
    linear = results[results["defense"] == "logistic_regression"]
    assert (linear["between_rows_precision"] == 1).all()
    assert linear["corrected_attacked"].isna().all()


def test_a_contradiction_stops_the_run(monkeypatch):
    everything = SimpleNamespace(precision_at_k=np.ones(5), method="best")
    monkeypatch.setattr(_bracket, "certify_top_k", lambda *args, **options: everything)
    monkeypatch.setattr(_bracket, "_radii", lambda *args: {})  # of which there is another test
    with pytest.raises(AssertionError, match=r"softplus, seed 0: the certified P@8 at epsilon 0\.5 of row"):
        run_bracket_cell(replace(CELL, epsilons=(0.5,)))


def test_an_explanation_without_a_certificate_has_attacks_alone():
    X = np.random.default_rng(0).uniform(size=(20, 6))
    clf = SoftplusClassifier(max_epochs=1, explainer="relative_importance").fit(X, np.arange(20) % 2)
    method, proven = _bracket._certified(clf, X[:3], 2, 0.1)
    assert method == "none"
    assert np.isnan(proven).all()
    method, proven = _bracket._certified(clf.set_params(explainer="smooth_grad"), X[:3], 2, 0.05)
    assert method == "best"
    assert np.isfinite(proven).all()


def test_every_explanation_of_a_bracket_is_trained_for():
    cells = Bracket(("compas",), ("r2et",), seeds=1, explainers=("gradient", "smooth_grad")).cells()
    assert [cell.model().model().explainer for cell in cells] == ["gradient", "smooth_grad"]


def test_the_name_has_every_field():
    changes = {"data": "compas", "defense": "vanilla", "seed": 1, "epsilons": (0.1,), "k": 5, "n_rows": 13}
    changes |= {"explainer": "smooth_grad", "training_explainer": "log_odds_gradient"}
    names = {CELL.name, *(replace(CELL, **{name: value}).name for name, value in changes.items())}
    assert len(names) == len(changes) + 1
    assert CELL.name.endswith(".json")


def test_the_tables_have_auc_and_faithfulness_in_every_line(results):
    other = results.assign(seed=1, certified=results["certified"] / 2)
    text = bracket_markdown(pd.concat([results, other]))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    softplus = [line for line in lines if line.startswith("| softplus")]
    assert len(softplus) == 3
    row = results[results["defense"] == "softplus"].iloc[0]
    for line in softplus:
        assert f"| {row['roc_auc']:.4f} ± 0.0000 | {row['comprehensiveness']:.3f} ± 0.000 |" in line
    spread = np.std([row["certified"], row["certified"] / 2], ddof=1)
    assert softplus[0].startswith(f"| softplus | 0.1 | {0.75 * row['certified']:.3f} ± {spread:.3f} |")
    (radii,) = [line for line in lines if line.startswith("| logistic_regression | ≥ 2")]
    assert radii.startswith("| logistic_regression | ≥ 2 | ≥ 2 | - | 0.00 ± 0.00 |")
    assert "### breast_cancer (30 features, 2 seeds, 5 rows each)" in text


def test_some_seeds_beyond_the_largest_radius():
    assert _tables._number(np.array([0.5, np.inf]), 2) == "0.50 to ≥ 2"
    assert _tables._number(np.array([0.5, np.nan]), 2) == "0.50"


def test_a_cell_is_json_that_says_what_it_is_of(out, results):
    (path,) = (out / "cells").glob("bracket-*-breast_cancer-softplus-0-*.json")
    cell = json.loads(path.read_text())
    assert cell["epsilons"] == [0.1, 0.5]
    assert [point["epsilon"] for point in cell["points"]] == cell["epsilons"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"data": ("adlt",)}, "Did you mean 'adult'"),
        ({"data": ()}, "data is empty"),
        ({"defenses": ("vanila",)}, "Did you mean 'vanilla'"),
        ({"defenses": ("gradient_boosting",)}, "gradient_boosting has no explanations"),
        ({"epsilons": (0.1, 0.0)}, "epsilon must be"),
        ({"seeds": 0}, "seeds must be"),
        ({"n_rows": 0}, "n_rows must be"),
    ],
)
def test_what_makes_no_sense_is_refused(change, match):
    with pytest.raises(ValueError, match=match):
        Bracket(**change)
