"""A table, an image, a pair and a graph go through the same calls."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from robustxai import R2ETClassifier, VanillaClassifier
from robustxai.attacks import AutoExplanationAttack, BoundaryMarginAttack, ERAttack, MSEAttack
from robustxai.metrics import comprehensiveness, precision_at_k, ranking_thickness, spearman_correlation
from robustxai.model_selection import PrecisionAtKScorer, RobustnessScorer
from robustxai.perturbation import ThreatModel


def table(rng):
    X = rng.uniform(size=(60, 10))
    return X, (X[:, 0] > X[:, 1]).astype(int), {}


def image(rng):
    X = rng.uniform(size=(60, 2, 8, 8))
    return X, (X[:, 0, :4].mean(axis=(1, 2)) > X[:, 0, 4:].mean(axis=(1, 2))).astype(int), {}


def pair(rng):
    X = rng.uniform(size=(60, 2, 1, 8, 8))
    return X, (X[:, 0].mean(axis=(1, 2, 3)) > 0.5).astype(int), {"module__embedding": 8}


def graph(rng):
    pytest.importorskip("torch_geometric")
    X = rng.uniform(-1, 1, size=(60, 9, 9))
    X = (X + X.swapaxes(1, 2)) / 2
    return X, (X[:, 0, 1] > 0).astype(int), {}


def pair_of_graphs(rng):
    X, y, _ = graph(rng)
    return np.stack([X, X[::-1]], axis=1)[:, :, None], y ^ y[::-1], {"module__encoder": "graph"}


KINDS = {"table": table, "image": image, "pair": pair, "graph": graph, "pair of graphs": pair_of_graphs}
#: How many things are ranked: features, pixels of one or of two images, entries of one or of two matrices.
UNITS = {"table": 10, "image": 64, "pair": 128, "graph": 81, "pair of graphs": 162}


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


@pytest.mark.parametrize("classifier", [VanillaClassifier, R2ETClassifier])
def test_fit_explain_attack_score(kind, classifier):
    X, y, params = KINDS[kind](np.random.default_rng(0))
    X = X.astype(np.float32)
    clf = classifier(max_epochs=3, batch_size=20, random_state=0, **params).fit(X, y)
    assert clf.predict_proba(X).shape == (60, 2)

    attribution = clf.explain(X)
    assert attribution.shape == X.shape
    assert np.ptp(attribution) > 0

    bounds = (X.min(), X.max())
    attack = BoundaryMarginAttack(clf, k=8, threat=ThreatModel(0.3, bounds=bounds), max_iter=5)
    X_adv = attack.fit(X, y).transform(X[:12])
    assert X_adv.shape == X[:12].shape
    assert X_adv.min() >= bounds[0]
    assert X_adv.max() <= bounds[1]
    lengths = np.linalg.norm((X_adv - X[:12]).reshape(12, -1), axis=1)
    assert (lengths <= 0.3 * (1 + 1e-5)).all()
    assert (clf.predict(X_adv) == clf.predict(X[:12])).all()

    result = attack.run(X[:12])
    stability = precision_at_k(attribution[:12], clf.explain(result.X_adv), k=8)
    np.testing.assert_allclose(stability, result.precision_at_k, atol=1e-6)
    assert spearman_correlation(attribution[:12], result.attribution_adv).shape == (12,)
    assert comprehensiveness(clf, X[:12], ks=[2, 8]).shape == (12,)
    thickness = ranking_thickness(clf, X[:4], k=8, n_draws=4, epsilon=0.3)
    assert ((thickness >= 0) & (thickness <= 1)).all()

    scores = RobustnessScorer({"er": ERAttack(k=8, threat=attack.threat, max_iter=3)}, n_rows=12)(clf, X, y)
    assert 0 <= scores["precision_at_k"] <= 1
    assert 0 <= scores["roc_auc"] <= 1

    estimator = clone(clf).set_params(max_epochs=1)
    scorer = PrecisionAtKScorer(MSEAttack(k=8, threat=attack.threat, max_iter=2))
    assert cross_val_score(estimator, X, y, cv=2, scoring=scorer, error_score="raise").shape == (2,)


def test_k_counts_what_is_ranked(kind):
    X, y, params = KINDS[kind](np.random.default_rng(0))
    clf = VanillaClassifier(max_epochs=1, **params).fit(X, y)
    with pytest.warns(UserWarning, match=rf"{UNITS[kind]}"):
        attack = ERAttack(clf, k=1000, max_iter=1).fit(X)
    assert attack.k_ == UNITS[kind] - 1


@pytest.mark.usefixtures("quick_ensemble")
@pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")  # a few steps may be worse than random
def test_the_ensemble_takes_all_of_them(kind):
    X, y, params = KINDS[kind](np.random.default_rng(0))
    clf = R2ETClassifier(k=4, max_epochs=2, **params).fit(X, y)
    threat = ThreatModel(0.3, bounds=(-1, 1))
    result = AutoExplanationAttack(clf, k=8, threat=threat, preset="fast").run(X[:4])
    single = BoundaryMarginAttack(clf, k=8, threat=threat, max_iter=2).run(X[:4])
    assert result.X_adv.shape == X[:4].shape
    assert result.precision_at_k.mean() <= single.precision_at_k.mean()
