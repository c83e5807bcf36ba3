"""R2ETClassifier(target_precision=...): training until the attacked P@k of held-out rows reaches a target."""

import functools
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.naive_bayes import GaussianNB

from robustxai._ensemble import attacked_precision
from robustxai.attacks import AutoExplanationAttack, BoundaryMarginAttack
from robustxai.classifiers import R2ETClassifier, _measurement
from robustxai.classifiers._measurement import interval_of
from robustxai.exceptions import EvaluationWarning, ShortfallWarning
from robustxai.model_selection._stacked_fits import begin_fits
from robustxai.perturbation import ThreatModel
from robustxai.saving import load, save
from robustxai.training import _precision_target, held_out_for_target

from .test_all import states_equal

OPTIONS = {
    "k": 2, "max_epochs": 2, "batch_size": 64, "module__hidden": (8,), "lr": 0.02, "explainer": "gradient_times_input",
}  # fmt: skip


def cheap(estimator, X, **options):
    """One short attack in the place of the ensemble."""
    return BoundaryMarginAttack(estimator, max_iter=5, **options).run(X).precision_at_k


@pytest.fixture(autouse=True)
def without_the_ensemble(monkeypatch):
    assert _measurement._measure is attacked_precision
    monkeypatch.setattr(_measurement, "_measure", cheap)
    monkeypatch.setattr(_precision_target, "_STEPS", 4)  # of a round of the landing
    monkeypatch.setattr(_precision_target, "_DIRECTIONS", 2)


@functools.cache
def rows(n=160):
    draws = np.random.default_rng(0)
    X = draws.uniform(size=(n, 5)).astype(np.float32)
    return X, (X[:, 0] + np.sin(6 * X[:, 1]) + 0.3 * draws.normal(size=n) > 0.8).astype(int)


def quiet(clf, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)
        warnings.simplefilter("ignore", ShortfallWarning)
        return clf.fit(*(args or rows()), **options)


@functools.cache
def fitted():
    return quiet(R2ETClassifier(target_precision=0.6, epsilon=0.2, **OPTIONS))


def test_the_package_measures_by_the_ensemble():
    X, _ = rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"k": 2, "threat": ThreatModel(0.2), "preset": "fast"}
        found = attacked_precision(fitted(), X[:10], **options)
        assert np.array_equal(found, AutoExplanationAttack(fitted(), **options).run(X[:10]).precision_at_k)


def test_what_is_measured_are_held_out_rows(tmp_path):
    X, y = rows()
    clf = fitted()
    measured = X[held_out_for_target(y).measured]
    found = cheap(clf, measured, k=2, threat=ThreatModel(0.2))
    assert clf.precision_ == found.mean()
    low, high = clf.precision_interval_
    assert clf.precision_n_rows_ == len(measured)
    assert low < clf.precision_ < high or clf.precision_ == high == 1
    assert {"attacked_precision", "gap_weight", "valid_loss"} <= set(clf.history_[-1])
    assert clf.net_.train_split is None
    assert "target_precision" not in dict(clf.net_.callbacks_)
    copied = pickle.loads(pickle.dumps(clf))
    assert copied.precision_ == clf.precision_
    save(clf, tmp_path / "clf.safetensors")
    loaded = load(tmp_path / "clf.safetensors")
    assert (loaded.precision_, loaded.precision_interval_) == (clf.precision_, clf.precision_interval_)
    assert states_equal(clone(clf).fit(X, y), clf)


def test_no_measured_row_is_learned_from():
    X, y = rows()
    held = held_out_for_target(y)
    changed = X.copy()
    changed[held.measured] = changed[held.measured][::-1]
    options = {**OPTIONS, "target_precision": 1e-6, "epsilon": 0.2}  # which is reached without a landing
    first, second = quiet(R2ETClassifier(**options)), quiet(R2ETClassifier(**options), changed, y)
    assert states_equal(first, second)


def test_a_higher_target_weighs_more_and_closes_the_hinge():
    options = {**OPTIONS, "max_epochs": 6, "epsilon": 0.3}
    low, high = (quiet(R2ETClassifier(target_precision=p, **options)).history_[5] for p in (0.05, 0.95))
    assert low["gap_weight"] < 0.1 < high["gap_weight"]
    assert high["gap"] < low["gap"]


def test_a_shortfall_is_announced():
    clf = R2ETClassifier(target_precision=0.9999, epsilon=1.0, **OPTIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)
        with pytest.warns(
            ShortfallWarning, match=r"keeps 0\.\d+ of the top 2 under attack \(0.*held-out rows\).*max_epochs="
        ):
            clf.fit(*rows())
    assert clf.precision_ < 0.9999


@pytest.mark.parametrize(
    "options",
    [
        {"explainer": "column_contributions"},
        {"explainer": "gradient_times_input", "ranking": "signed"},
        {"norm": "inf", "epsilon": 0.1},
        {"threat": ThreatModel(0.2, bounds=(0, 1), frozen=[4])},
        {"teacher": GaussianNB(), "class_weight": "balanced"},
        {"internal_batch_size": 20, "warm_up_epochs": 1},
    ],
    ids=str,
)
def test_explanations_threats_and_the_rest(options):
    options = {**OPTIONS, "target_precision": 0.1, **options}
    clf = quiet(R2ETClassifier(**options), *rows(), sample_weight=np.arange(160) % 3 + 1)
    assert 0 < clf.precision_ <= 1
    assert hasattr(clf, "teacher_auc_") == ("teacher" in options)


def test_a_later_fit_without_a_target_forgets_the_figure():
    clf = pickle.loads(pickle.dumps(fitted())).set_params(target_precision=None).fit(*rows())
    assert not hasattr(clf, "precision_")
    assert not hasattr(clf, "precision_interval_")


def test_the_adversarial_gap_with_a_weight_of_its_own():
    X, y = rows()
    weak, strong = (
        R2ETClassifier(gap="adversarial", lambda_gap=w, lambda_hessian=0, warm_up_epochs=2, epsilon=0.3, **OPTIONS)
        .fit(X, y)
        .history_[-1]["gap"]
        for w in (1e-6, 3.0)
    )
    assert strong < weak


def test_a_target_is_not_stacked():
    options = {**OPTIONS, "explainer": "gradient"}
    fits, _ = begin_fits([(R2ETClassifier(target_precision=p, **options), 0) for p in (0.9, None)], [rows()])
    assert "AdversarialHinge" in fits[0].why_not
    assert fits[1].why_not == ""


def test_the_epochs_are_halved_only_if_they_are_chosen():
    for options, phases in (
        ({"max_epochs": 30}, (15, 30)),
        ({"max_epochs": 30, "warm_up_epochs": 20}, (20, 30)),
        ({"max_epochs": 30, "init": fitted()}, (0, 30)),
        ({}, (15, 15)),
        ({"target_precision": None}, (0, 30)),
    ):
        assert R2ETClassifier(**{"target_precision": 0.9, **options})._phases(30) == phases


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_precision": 0.0}, "target_precision must be"),
        ({"target_precision": 1.0}, "target_precision must be"),
        ({"gap": "distance"}, "trains gap='adversarial', not 'distance'"),
        ({"train_split": print}, "Leave out train_split"),
        ({"callbacks": "disable"}, "needs callbacks"),
        ({"threat": ThreatModel(0.1, bounds=(0, 0.5))}, "outside"),
    ],
)
def test_what_contradicts_a_target(options, message):
    with pytest.raises(ValueError, match=message):
        R2ETClassifier(**{"target_precision": 0.9, **OPTIONS, **options}).fit(*rows())


def test_a_target_needs_rows():
    X, y = rows()
    with pytest.raises(ValueError, match=r"at least 100 rows.* X has 99"):
        R2ETClassifier(target_precision=0.9, **OPTIONS).fit(X[:99], y[:99])


def test_the_interval_is_the_normal_one_of_two_more_values():
    values = np.random.default_rng(0).choice([0.5, 0.75, 1.0], size=200)
    found = interval_of(values)
    half = 1.96 * np.r_[values, 0, 1].std(ddof=1) / 200**0.5
    assert found == pytest.approx((values.mean() - half, values.mean() + half))
    low, high = interval_of(np.ones(50))
    assert 0.9 < low < high == 1
