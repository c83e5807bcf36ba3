import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from robustxai import ExactHessianClassifier, R2ETClassifier
from robustxai.attacks import ERAttack
from robustxai.attacks._together import run_together
from robustxai.model_selection import BatchedSearchCV, PrecisionAtKScorer, RobustnessScorer, _scorers

#: Four candidates: every parameter has two values.
GRID = [
    {"lambda_gap": [0.0003, 0.001], "lambda_hessian": [0.0], "k": [1]},
    {"lambda_gap": [0.0003], "lambda_hessian": [0.02], "k": [1, 2]},
]
CLF = R2ETClassifier(k=2, max_epochs=4, batch_size=64, module__hidden=(8,))
SCORING = {"auc": "roc_auc", "p": PrecisionAtKScorer(ERAttack(k=2, max_iter=4))}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(140, 5)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.normal(size=140) > 0.7).astype(int)


def assert_same_results(batched, ordinary, atol=1e-3):
    """All of scikit-learn's columns, and the same numbers in those that are no times."""
    mine, theirs = batched.cv_results_, ordinary.cv_results_
    assert set(theirs) <= set(mine)
    assert set(mine) - set(theirs) == {"stacked", "why_not_stacked"}
    for name, values in theirs.items():
        if name == "params" or name.startswith("param_"):
            assert list(mine[name]) == list(values)
        elif not name.endswith("_time") and not name.startswith("rank"):
            np.testing.assert_allclose(mine[name], values, atol=atol)
        elif name.startswith("rank"):
            np.testing.assert_array_equal(mine[name], values)


def test_a_drop_in_for_grid_search(data):
    options = {"scoring": SCORING, "refit": "p", "cv": 2, "return_train_score": True}
    batched = BatchedSearchCV(CLF, GRID, **options).fit(*data)
    ordinary = GridSearchCV(CLF, GRID, **options).fit(*data)
    assert_same_results(batched, ordinary)
    assert batched.cv_results_["stacked"].all()
    assert batched.best_params_ == ordinary.best_params_
    assert batched.best_score_ == pytest.approx(ordinary.best_score_, abs=1e-6)
    assert batched.multimetric_
    assert {n for n in vars(ordinary) if n.endswith("_")} <= set(vars(batched))
    np.testing.assert_allclose(batched.predict_proba(data[0]), ordinary.predict_proba(data[0]), atol=1e-6)
    assert batched.score(*data) == pytest.approx(ordinary.score(*data))


def test_a_pipeline_of_a_data_frame_over_two_processes(data):
    X = pd.DataFrame(data[0] * [1, 2, 3, 4, 5], columns=list("abcde"))
    pipe = make_pipeline(StandardScaler(), CLF)
    grid = {
        "r2etclassifier__lambda_gap": [0.0003, 0.001],
        "standardscaler__with_mean": [True, False],
        "r2etclassifier__random_state": [0, 1],
    }
    options = {"scoring": "roc_auc", "cv": StratifiedKFold(3, shuffle=True, random_state=1)}
    batched = BatchedSearchCV(pipe, grid, n_jobs=2, **options).fit(X, data[1])
    ordinary = GridSearchCV(pipe, grid, **options).fit(X, data[1])
    assert_same_results(batched, ordinary)
    assert list(batched.feature_names_in_) == list("abcde")
    assert batched.cv_results_["stacked"].all()


def test_random_draws_are_those_of_randomized_search(data):
    space = {"lambda_gap": loguniform(1e-4, 1e-2), "lr": [0.001, 0.005]}
    options = {"n_iter": 4, "random_state": 3, "cv": 2, "refit": False}
    batched = BatchedSearchCV(CLF, space, **options).fit(*data)
    ordinary = RandomizedSearchCV(CLF, space, **options).fit(*data)
    assert_same_results(batched, ordinary, atol=0.02)  # accuracy on 47 rows: one row more or less
    assert not hasattr(batched, "best_estimator_")


def test_a_shuffling_splitter_without_a_seed_is_asked_once(data):
    search = BatchedSearchCV(CLF, {"k": [1, 2]}, cv=StratifiedKFold(3, shuffle=True)).fit(*data)
    assert search.cv_results_["stacked"].all()
    assert (search.cv_results_["mean_fit_time"] > 0).all()


def test_refit_by_a_callable(data):
    search = BatchedSearchCV(CLF, GRID, scoring=SCORING, refit=lambda results: 3, cv=2).fit(*data)
    assert search.best_index_ == 3
    assert search.best_params_ == search.cv_results_["params"][3]
    assert not hasattr(search, "best_score_")


def test_a_scorer_of_many_metrics_and_the_front(data):
    scoring = RobustnessScorer(ERAttack(k=2, max_iter=4), n_draws=2, n_points=2)
    search = BatchedSearchCV(CLF, GRID, scoring=scoring, refit="roc_auc", cv=2).fit(*data)
    assert {"mean_test_precision_at_k", "mean_test_thickness"} <= set(search.cv_results_)
    names = [name for name in search.cv_results_ if name.startswith("mean_test_")]
    scores = np.stack([search.cv_results_[name] for name in names], axis=1)
    for i in range(len(scores)):
        dominated = any((other >= scores[i]).all() and (other > scores[i]).any() for other in scores)
        assert dominated == (i not in search.pareto_front_)


def test_candidates_that_cannot_be_stacked_are_fitted_as_ever(data):
    pipe = make_pipeline(CLF)
    exact = ExactHessianClassifier(max_epochs=2, batch_size=32, module__hidden=(4,), n_draws=1)
    grid = [{"r2etclassifier__k": [1, 2]}, {"r2etclassifier": [exact, LogisticRegression()]}]
    options = {"scoring": "roc_auc", "cv": 3}
    batched = BatchedSearchCV(pipe, grid, **options).fit(*data)
    assert_same_results(batched, GridSearchCV(pipe, grid, **options).fit(*data))
    assert batched.cv_results_["stacked"].tolist() == [True, True, False, False]
    assert "ExactHessian" in batched.cv_results_["why_not_stacked"][2]
    assert "LogisticRegression" in batched.cv_results_["why_not_stacked"][3]


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_candidate_that_diverges_gets_the_error_score(n_jobs, data):
    search = BatchedSearchCV(CLF, {"lr": [0.005, 1e30]}, cv=3, error_score=-1.0, n_jobs=n_jobs)
    with pytest.warns(FitFailedWarning, match="diverged"):
        search.fit(*data)
    assert search.cv_results_["mean_test_score"][1] == -1
    assert search.cv_results_["mean_test_score"][0] > 0.5
    with pytest.raises(Exception, match="diverged"):
        BatchedSearchCV(CLF, {"lr": [0.005, 1e30]}, cv=3, error_score="raise").fit(*data)


@pytest.mark.parametrize(
    "scoring",
    [PrecisionAtKScorer(ERAttack(k=2, max_iter=4)), SCORING, RobustnessScorer(ERAttack(k=2, max_iter=4), n_draws=2)],
    ids=["one", "dict", "many metrics"],
)
def test_a_split_is_attacked_once_for_all_candidates(scoring, data, monkeypatch):
    calls = []

    def counted(attack, victims):
        calls.append(len(victims))
        return run_together(attack, victims)

    monkeypatch.setattr(_scorers, "run_together", counted)
    options = {"scoring": scoring, "refit": False, "cv": 2}
    batched = BatchedSearchCV(CLF, GRID, **options).fit(*data)
    assert calls == [4, 4]
    given, kept = (s["p"] if isinstance(s, dict) else s for s in (scoring, batched.scorer_))
    assert kept is given
    ordinary = GridSearchCV(CLF, GRID, **options).fit(*data)
    assert_same_results(batched, ordinary)
    assert (batched.cv_results_["mean_score_time"] > 0).all()


def test_an_attack_that_runs_out_of_memory_is_divided(data, monkeypatch):
    clfs = [clone(CLF).set_params(lambda_gap=gap).fit(*data) for gap in (0.0, 0.01, 0.1)]
    scorer = PrecisionAtKScorer(ERAttack(k=2, max_iter=5))
    whole = scorer.score_together(clfs, *data)
    sizes = []

    def small(attack, victims):
        sizes.append(len(victims))
        if len(victims) > 2:
            raise torch.OutOfMemoryError
        return run_together(attack, victims)

    monkeypatch.setattr(_scorers, "run_together", small)
    assert scorer.score_together(clfs, *data) == pytest.approx(whole, abs=1e-3)
    assert sizes == [3, 2]


def test_a_cpu_searches_no_more_rows_at_once_than_the_attack_would(data, monkeypatch):
    clfs = [clone(CLF).set_params(lambda_gap=gap).fit(*data) for gap in (0.0, 0.01, 0.1, 0.2, 0.3)]
    sizes = []

    def counted(attack, victims):
        sizes.append(len(victims))
        return run_together(attack, victims)

    monkeypatch.setattr(_scorers, "run_together", counted)
    few = PrecisionAtKScorer(ERAttack(k=2, max_iter=5, batch_size=2 * len(data[0])))
    many = PrecisionAtKScorer(ERAttack(k=2, max_iter=5))
    assert few.score_together(clfs, *data) == pytest.approx(many.score_together(clfs, *data), abs=1e-3)
    assert sizes == [2, 2, 5]


class Fussy(PrecisionAtKScorer):
    """Refuses one of the candidates, and with it all that are scored beside it."""

    def score_together(self, estimators, X, y=None):
        if any(estimator.lambda_gap > 0.5 for estimator in estimators):
            raise RuntimeError("no thanks")
        return super().score_together(estimators, X, y)


def test_one_that_cannot_be_scored_costs_no_other_its_score(data):
    scoring = Fussy(ERAttack(k=2, max_iter=5))
    search = BatchedSearchCV(CLF, {"lambda_gap": [0.001, 0.9]}, scoring=scoring, cv=3, error_score=-1.0, refit=False)
    with pytest.warns(UserWarning, match="no thanks"):
        search.fit(*data)
    assert search.cv_results_["mean_test_score"][0] > 0
    assert search.cv_results_["mean_test_score"][1] == -1


def test_halving_drops_the_worse_half(data):
    grid = {"lambda_gap": [0.0003, 0.001], "lr": [0.0001, 0.005, 0.01, 0.02]}
    clf = clone(CLF).set_params(max_epochs=8)
    search = BatchedSearchCV(clf, grid, scoring="roc_auc", cv=3, n_rungs=3).fit(*data)
    results = search.cv_results_
    assert results["rung"].tolist() == [0] * 8 + [1] * 4 + [2] * 2
    survivors = {str(p) for p, rung in zip(results["params"], results["rung"]) if rung == 1}
    first = [
        (score, str(p)) for score, p, r in zip(results["mean_test_score"], results["params"], results["rung"]) if not r
    ]
    assert survivors == {name for _, name in sorted(first, reverse=True)[:4]}
    assert results["rung"][search.best_index_] == 2
    assert set(search.pareto_front_) <= {12, 13}
    # who survives has been trained as if there had been no halving
    whole = BatchedSearchCV(clf, grid, scoring="roc_auc", cv=3).fit(*data)
    scores = dict(zip(map(str, whole.cv_results_["params"]), whole.cv_results_["mean_test_score"]))
    for i in (12, 13):
        assert results["mean_test_score"][i] == pytest.approx(scores[str(results["params"][i])], abs=1e-6)


def test_halving_needs_stacks(data):
    exact = ExactHessianClassifier(max_epochs=2)
    with pytest.raises(ValueError, match="Halving needs candidates that can be stacked"):
        BatchedSearchCV(exact, {"lr": [0.01, 0.02]}, n_rungs=2).fit(*data)


def test_running_out_of_memory_halves_the_stack(data, monkeypatch):
    import torch

    from robustxai.model_selection import _stacked_fits

    sizes = []
    train = _stacked_fits._train

    def with_little_memory(fits, *args):
        sizes.append(len(fits))
        if len(fits) > 3:
            raise torch.OutOfMemoryError
        train(fits, *args)

    monkeypatch.setattr(_stacked_fits, "_train", with_little_memory)
    search = BatchedSearchCV(CLF, {"k": [1, 2]}, scoring="roc_auc", cv=3).fit(*data)
    assert sizes == [6, 3, 3]
    ordinary = GridSearchCV(CLF, {"k": [1, 2]}, scoring="roc_auc", cv=3).fit(*data)
    assert_same_results(search, ordinary)


WHOLE = {"scoring": "roc_auc", "cv": 2, "refit": False}


@pytest.fixture(scope="module")
def whole(data):
    return BatchedSearchCV(CLF, GRID, **WHOLE).fit(*data).cv_results_


@pytest.mark.parametrize("stack_size", [1, 2, 3])
def test_the_size_of_a_stack_does_not_matter(stack_size, data, whole):
    cut = BatchedSearchCV(CLF, GRID, stack_size=stack_size, **WHOLE).fit(*data).cv_results_
    np.testing.assert_allclose(cut["mean_test_score"], whole["mean_test_score"], atol=1e-3)


@pytest.mark.parametrize(
    ("grid", "options", "why"),
    [
        ({}, {}, "param_grid is empty"),
        ([], {}, "param_grid is empty"),
        ({"lambda_gap": []}, {}, "lambda_gap"),
        ({"lamda_gap": [1]}, {}, "Did you mean 'lambda_gap'"),
        ({"k": [1]}, {"n_rungs": 0}, "n_rungs"),
        ({"k": [1]}, {"stack_size": 0}, "stack_size"),
        ({"k": [1]}, {"n_iter": 0}, "n_iter"),
    ],
)
def test_bad_input(grid, options, why, data):
    with pytest.raises(ValueError, match=why):
        BatchedSearchCV(CLF, grid, **options).fit(*data)


def test_the_search_can_be_cloned_and_shown():
    search = BatchedSearchCV(CLF, GRID, n_rungs=2)
    assert clone(search).get_params()["n_rungs"] == 2
    assert "BatchedSearchCV" in repr(search)
