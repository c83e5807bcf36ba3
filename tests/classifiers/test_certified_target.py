"""CertifiedR2ETClassifier(target_precision=...): training until the certified P@k of held-out rows reaches a target."""

import functools
import warnings

import numpy as np
import pytest
import torch

from robustxai._ensemble import certified_precision
from robustxai.certificates import certify_top_k
from robustxai.classifiers import CertifiedR2ETClassifier, _measurement
from robustxai.exceptions import EvaluationWarning, ShortfallWarning
from robustxai.penalties import CertifiedGap
from robustxai.perturbation import ThreatModel
from robustxai.training import _precision_target, held_out_for_target

OPTIONS = {
    "k": 2,
    "epsilon": 0.2,
    "max_epochs": 4,
    "warm_up_epochs": 2,
    "batch_size": 64,
    "module__hidden": (8,),
    "lr": 0.02,
}


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch):
    monkeypatch.setattr(_precision_target, "_STEPS", 4)  # of a round of the landing


@functools.cache
def rows():
    draws = np.random.default_rng(0)
    X = draws.uniform(size=(160, 5)).astype(np.float32)
    return X, (X[:, 0] + np.sin(6 * X[:, 1]) + 0.3 * draws.normal(size=160) > 0.8).astype(int)


def fitted(**options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)
        return CertifiedR2ETClassifier(random_state=0, **{**OPTIONS, **options}).fit(*rows())


def test_held_out_rows_are_certified():
    X, y = rows()
    clf = fitted(target_precision=0.3)
    measured = X[held_out_for_target(y).measured]
    found = certify_top_k(clf, measured, k=2, epsilon=0.2).precision_at_k
    assert _measurement._prove is certified_precision
    assert clf.precision_ == found.mean() >= 0.3
    assert clf.precision_n_rows_ == len(measured)
    assert {"attacked_precision", "gap_weight", "valid_loss"} <= set(clf.history_[-1])


def test_a_higher_target_weighs_more_and_a_shortfall_is_announced():
    low = fitted(target_precision=0.01)
    with pytest.warns(ShortfallWarning, match=r"proves 0\.\d+ of the top 2 \(0.*target_precision=0.999.*weight_decay"):
        high = fitted(target_precision=0.999, epsilon=4.0)
    assert low.history_[3]["gap_weight"] < 0.1 < high.history_[3]["gap_weight"]
    assert high.precision_ < 0.999


def test_the_given_weight_is_not_used():
    first, second = (fitted(target_precision=0.3, lambda_certified=weight, n_bounds=None) for weight in (0.0, 5.0))
    assert first.history_[-1]["gap_weight"] == second.history_[-1]["gap_weight"] > 0


@pytest.mark.parametrize(
    ("ranking", "norm", "explainer"), [("magnitude", 2, "gradient"), ("signed", "inf", "gradient_times_input")]
)
def test_the_controller_counts_what_two_methods_prove(ranking, norm, explainer):
    X, _ = rows()
    clf = fitted(ranking=ranking, norm=norm, explainer=explainer)
    threat = ThreatModel(0.2, norm)
    gap = CertifiedGap(2, threat=threat, ranking=ranking)
    x = torch.from_numpy(X[:70])
    found = gap.proven(clf.module_, clf.explainer_, x, clf.module_(x).argmax(dim=1), 0.2)
    options = {"k": 2, "threat": threat, "ranking": ranking}
    single = [certify_top_k(clf, X[:70], method=method, **options) for method in ("affine", "zonotope")]
    best = certify_top_k(clf, X[:70], **options).precision_at_k
    assert (found.numpy() >= np.maximum(*(one.precision_at_k for one in single))).all()
    assert (found.numpy() <= best).all()
    assert 0 < found.mean() < 1


def test_the_radius_of_the_measurement_grows_with_that_of_the_training(monkeypatch):
    seen = []
    proven = CertifiedGap.proven
    monkeypatch.setattr(CertifiedGap, "proven", lambda self, *args: seen.append(args[-1]) or proven(self, *args))
    fitted(target_precision=0.01, warm_up_epochs=0)
    # the last is the landing's
    np.testing.assert_allclose(
        seen[:-1], [0.2 * min(1, 2 * n / len(seen[:-1])) for n in range(len(seen) - 1)], atol=1e-6
    )
    assert seen[-1] == 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_precision": 1.0}, "target_precision must be"),
        ({"target_precision": 0.9, "train_split": print}, "train_split"),
    ],
)
def test_what_contradicts_a_target(options, message):
    with pytest.raises(ValueError, match=message):
        fitted(**options)
