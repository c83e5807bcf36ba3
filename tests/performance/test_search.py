"""What a search costs: stacked, and as scikit-learn does it.

``pytest tests/performance/test_search.py --benchmark-enable -s``: 24 values of (lambda_gap, lambda_hessian, k) x 5
folds on COMPAS, scored by P@8 under ERAttack, on two processes each. A normal run only checks that both work and agree.
"""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from robustxai import R2ETClassifier
from robustxai.attacks import ERAttack
from robustxai.benchmark._cell import Cell, prepare_rows
from robustxai.model_selection import BatchedSearchCV, PrecisionAtKScorer
from robustxai.perturbation import ThreatModel

GRID = {"lambda_gap": [0.0001, 0.0003, 0.001, 0.003], "lambda_hessian": [0.005, 0.015, 0.05], "k": [4, 8]}
SEARCHES = {"grid": GridSearchCV, "batched": BatchedSearchCV}
results = {}


@pytest.fixture
def problem(benchmark):
    """Data, grid, classifier and processes: the real thing where something is measured."""
    if benchmark.enabled:
        X, _, y, _ = prepare_rows(Cell("compas", "r2et", 0, ()))
        return X, y, GRID, R2ETClassifier(), 2, 5
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(150, 19)).astype(np.float32)
    grid = {"lambda_gap": [0.001, 0.003], "k": [4, 8]}
    return X, (X[:, 0] > X[:, 1]).astype(int), grid, R2ETClassifier(max_epochs=2), None, 3


@pytest.mark.benchmark(group="search")
@pytest.mark.parametrize("name", SEARCHES)
def test_search(name, problem, benchmark):
    X, y, grid, clf, n_jobs, cv = problem
    attack = ERAttack(k=8, threat=ThreatModel(0.5, bounds=(0, 1)), max_iter=100 if benchmark.enabled else 5)
    search = SEARCHES[name](clf, grid, scoring=PrecisionAtKScorer(attack), cv=cv, n_jobs=n_jobs, refit=False)
    benchmark.pedantic(search.fit, args=(X, y), rounds=1)
    results[name] = search
    scores = search.cv_results_["mean_test_score"]
    assert ((scores > 0) & (scores <= 1)).all()
    if len(results) == 2:
        gaps = np.abs(scores - results["grid"].cv_results_["mean_test_score"])
        benchmark.extra_info.update(median_gap=float(np.median(gaps)), largest_gap=float(gaps.max()))
        benchmark.extra_info["same_best"] = bool(search.best_params_ == results["grid"].best_params_)
        if not benchmark.enabled:
            assert gaps.max() < 1e-3
