"""Classifiers inside of scikit-learn's ensembles, calibration, inspection and metadata routing."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, make_scorer
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from robustxai.attacks import ERAttack
from robustxai.classifiers import LinearClassifier, R2ETClassifier, SoftplusClassifier, VanillaClassifier
from robustxai.perturbation import ThreatModel

from .conftest import small
from .test_all import states_equal


@pytest.fixture(scope="module")
def rows():
    """Two classes, and weights of which some are zero."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    return X, (X[:, 0] + 0.5 * rng.normal(size=60) > 0).astype(int), rng.integers(0, 4, size=60).astype(float)


R2ET, SOFT = (small(cls, lr=0.02, max_epochs=3) for cls in (R2ETClassifier, SoftplusClassifier))


# ------------------------------------------------------------------ calibration


@pytest.mark.filterwarnings("ignore:Since FrozenEstimator does not appear to accept sample_weight")
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_fitted_classifier_is_calibrated(method, rows):
    X, y, w = rows
    clf = clone(SOFT).fit(X[:30], y[:30])
    before = clf.predict_proba(X)
    calibrated = CalibratedClassifierCV(FrozenEstimator(clf), method=method).fit(X[30:], y[30:], sample_weight=w[30:])
    assert np.array_equal(clf.predict_proba(X), before)
    repeated = CalibratedClassifierCV(FrozenEstimator(clf), method=method, cv=2)
    twice = np.repeat(np.arange(30, 60), w[30:].astype(int))
    repeated.fit(X[twice], y[twice])
    np.testing.assert_allclose(calibrated.predict_proba(X), repeated.predict_proba(X), atol=1e-4)
    order = np.argsort(before[:, 1])
    assert (np.diff(calibrated.predict_proba(X)[order, 1]) >= -1e-9).all()  # calibration keeps the ranking
    if method == "isotonic":
        losses = [log_loss(y[30:], p[30:], sample_weight=w[30:]) for p in (before, calibrated.predict_proba(X))]
        assert losses[1] < losses[0]


def test_calibration_fits_with_the_weights_of_its_folds(rows):
    X, y, w = rows
    calibrated = CalibratedClassifierCV(SOFT, cv=StratifiedKFold(2)).fit(X, y, sample_weight=w)
    for (train, _), part in zip(StratifiedKFold(2).split(X, y), calibrated.calibrated_classifiers_):
        assert states_equal(part.estimator, clone(SOFT).fit(X[train], y[train], w[train]))


# ------------------------------------------------------------------ ensembles


def test_soft_votes_are_means(rows):
    X, y, w = rows
    vote = VotingClassifier([("r2et", R2ET), ("linear", LinearClassifier())], voting="soft", weights=[1, 3])
    vote.fit(X, y, sample_weight=w)
    alone = [clone(R2ET).fit(X, y, w), LinearClassifier().fit(X, y, w)]
    assert all(states_equal(a, b) for a, b in zip(vote.estimators_, alone))
    mean = np.average([clf.predict_proba(X) for clf in alone], axis=0, weights=[1, 3])
    np.testing.assert_allclose(vote.predict_proba(X), mean)


def test_a_stacked_classifier_is_fed_probabilities(rows):
    X, y, w = rows
    stacking = StackingClassifier([("r2et", R2ET), ("soft", SOFT)], LogisticRegression(), cv=2).fit(
        X, y, sample_weight=w
    )
    assert all(states_equal(a, clone(b).fit(X, y, w)) for a, b in zip(stacking.estimators_, (R2ET, SOFT)))
    fed = np.stack([clf.predict_proba(X)[:, 1] for clf in stacking.estimators_], axis=1)
    assert np.array_equal(stacking.predict_proba(X), stacking.final_estimator_.predict_proba(fed))


def test_boosting_and_bagging_give_weights_to_rows(rows):
    X, y, _ = rows
    boosted = AdaBoostClassifier(SOFT, n_estimators=2, random_state=0).fit(X, y)
    first, second = (clone(SOFT).set_params(random_state=e.random_state) for e in boosted.estimators_)
    assert states_equal(boosted.estimators_[0], first.fit(X, y))
    assert not states_equal(boosted.estimators_[1], second.fit(X, y))
    assert boosted.score(X, y) > 0.5
    bagged = BaggingClassifier(SOFT, n_estimators=2, random_state=0).fit(X, y)
    chosen, clf = bagged.estimators_samples_[0], bagged.estimators_[0]
    alone = clone(SOFT).set_params(random_state=clf.random_state)
    options = [alone.fit(X, y, np.bincount(chosen, minlength=60)), clone(alone).fit(X[chosen], y[chosen])]
    assert any(states_equal(clf, one) for one in options)  # by weights up to scikit-learn 1.8, by rows from then on


# ------------------------------------------------------------------ inspection and containers


def test_permutation_importance_finds_the_feature_that_counts(rows):
    X, y, w = rows
    clf = clone(SOFT).set_params(max_epochs=20).fit(X, y, w)
    for importances in (
        permutation_importance(clf, X, y, n_repeats=2, random_state=0, sample_weight=w),
        permutation_importance(clf, pd.DataFrame(X).to_numpy(), y, n_repeats=2, random_state=0),
    ):
        assert importances.importances_mean.argmax() == 0
        assert importances.importances_mean[0] > 0.1


def test_an_attack_in_a_pipeline_returns_frames(rows):
    X, y, w = rows
    X = pd.DataFrame(X, columns=list("abcd"), index=range(100, 160))
    scaler = StandardScaler().set_output(transform="pandas").fit(X)
    clf = clone(SOFT).fit(scaler.transform(X), y, w)
    attack = ERAttack(FrozenEstimator(clf), k=2, max_iter=2, threat=ThreatModel(0.3))
    chain = make_pipeline(FrozenEstimator(scaler), attack, StandardScaler(with_std=False)).set_output(
        transform="pandas"
    )
    moved = chain.fit_transform(X[:10])
    assert moved.columns.tolist() == list("abcd")
    assert moved.index.tolist() == X.index[:10].tolist()
    alone = attack.set_output(transform="pandas").fit_transform(scaler.transform(X[:10]))
    np.testing.assert_allclose(moved, alone - alone.mean(), atol=1e-6)
    assert not np.allclose(alone, scaler.transform(X[:10]))
    assert chain.get_feature_names_out().tolist() == list("abcd")


# ------------------------------------------------------------------ metadata routing


@pytest.mark.parametrize("cls", [VanillaClassifier, R2ETClassifier, LinearClassifier])
def test_weights_are_routed_through_pipelines_and_searches(cls, rows):
    X, y, w = rows
    name, values = ("C", [0.1, 10.0]) if cls is LinearClassifier else ("lr", [0.01, 0.1])
    with sklearn.config_context(enable_metadata_routing=True):
        clf = small(cls).set_fit_request(sample_weight=True)
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=True), clf)
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=True)
        scores = cross_val_score(pipe, X, y, cv=KFold(2), scoring=scorer, params={"sample_weight": w})
        grid = {f"{cls.__name__.lower()}__{name}": values}
        search = GridSearchCV(pipe, grid, cv=KFold(2), scoring=scorer).fit(X, y, sample_weight=w)
        requests = pipe.fit(X, y, sample_weight=w)[-1].get_metadata_routing().fit.requests
        assert requests == {"sample_weight": True, "soft_labels": None}
        silent = make_pipeline(StandardScaler(), small(cls))
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            silent.fit(X, y, sample_weight=w)

    def by_hand(train, test, **params):
        scaler = StandardScaler().fit(X[train], sample_weight=w[train])
        alone = small(cls, **params).fit(scaler.transform(X[train]), y[train], w[train])
        return accuracy_score(y[test], alone.predict(scaler.transform(X[test])), sample_weight=w[test])

    splits = list(KFold(2).split(X))
    np.testing.assert_allclose(scores, [by_hand(*split) for split in splits])
    for value, mean in zip(values, search.cv_results_["mean_test_score"]):
        assert mean == pytest.approx(np.mean([by_hand(*split, **{name: value}) for split in splits]))
