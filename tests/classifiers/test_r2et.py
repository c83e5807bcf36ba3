import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, make_moons
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from robustxai.classifiers import (
    CrossLipschitzClassifier,
    EstimatedHessianClassifier,
    ExactHessianClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    VanillaClassifier,
)
from robustxai.metrics import hessian_norm

from .conftest import small
from .test_all import states_equal


@pytest.mark.parametrize("pairs", ["all", "minimal", "anchor"])
@pytest.mark.parametrize("hessian", ["relative", "estimated", "exact", "spectral"])
def test_weights_zero_are_vanilla_to_the_last_bit(pairs, hessian, data):
    X, y = data
    options = {"lambda_gap": 0, "lambda_hessian": 0, "pairs": pairs, "hessian": hessian}
    a = small(R2ETClassifier, module__activation="relu", **options).fit(X, y)
    b = small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


def test_without_a_gap_it_is_estimated_hessian(data):
    X, y = data
    a = small(R2ETClassifier, lambda_gap=0, lambda_hessian=0.2, hessian="estimated", module__beta=5.0).fit(X, y)
    b = small(EstimatedHessianClassifier, lambda_hessian=0.2).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


def test_without_a_gap_the_spectral_norm_of_equation_6_is_exact_hessian(data):
    X, y = data
    a = small(R2ETClassifier, lambda_gap=0, lambda_hessian=0.2, hessian="spectral", module__beta=5.0).fit(X, y)
    b = small(ExactHessianClassifier, lambda_hessian=0.2, norm="spectral").fit(X, y)
    assert states_equal(a, b)


def test_the_logged_spectral_norm_is_that_of_the_fitted_model(data):
    X, y = data
    options = {"batch_size": -1, "max_epochs": 1, "lr": 1e-30, "hessian": "spectral"}
    clf = small(R2ETClassifier, **options).fit(X, y)
    assert clf.history_[0]["hessian"] == pytest.approx(hessian_norm(clf, X, norm="spectral").mean(), rel=1e-4)


def test_minimal_and_anchored_pairs_have_the_same_linear_sum(data):
    X, y = data
    a, b = (small(R2ETClassifier, pairs=pairs, gap="linear").fit(X, y) for pairs in ("minimal", "anchor"))
    assert states_equal(a, b)


@pytest.mark.parametrize("gap", ["normalized", "linear"])
@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
def test_the_logged_gap_is_that_of_the_explanations(gap, ranking, data):
    X, y = data
    options = {"batch_size": -1, "max_epochs": 1, "lr": 1e-30, "gap": gap, "ranking": ranking, "hessian": "estimated"}
    clf = small(R2ETClassifier, **options).fit(X, y)
    scores = clf.explain(X).astype(np.float64)
    if gap == "normalized":
        scores = scores / np.abs(scores).mean(axis=1, keepdims=True)
    scores = -np.sort(-(np.abs(scores) if ranking == "magnitude" else scores), axis=1)
    expected = np.mean([[row[i] - row[j] for i in range(2) for j in range(2, 4)] for row in scores])
    assert clf.history_[0]["gap"] == pytest.approx(-expected, rel=1e-5)
    estimated = hessian_norm(clf, X, norm="estimated", kappa=0.01).mean()
    assert clf.history_[0]["hessian"] == pytest.approx(estimated, abs=1e-5)  # float32 rounding of 1e-8 / kappa


@pytest.mark.parametrize(
    ("gap", "weights"),
    [("normalized", (1e-6, 0.1, 1.0)), ("exponential", (1e-6, 1.0, 10.0)), ("hinge", (1e-6, 1.0, 10.0))],
)
def test_a_heavier_weight_widens_the_gap(gap, weights, data):
    X, y = data
    options = {"lambda_hessian": 0, "gap": gap, "max_epochs": 30}
    gaps = [small(R2ETClassifier, lambda_gap=weight, **options).fit(X, y) for weight in weights]
    values = [clf.history_[-1]["gap"] for clf in gaps]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"k": 0}, ValueError, "k must be"),
        ({"k": -2}, ValueError, "k must be"),
        ({"k": 1.5}, TypeError, "k must be an integer"),
        ({"lambda_gap": -1e-3}, ValueError, "lambda_gap must be"),
        ({"lambda_hessian": -1e-3}, ValueError, "lambda_hessian must be"),
        ({"lambda_gap": float("nan")}, ValueError, "lambda_gap must be"),
        ({"margin": 0}, ValueError, "margin must be"),
        ({"n_pairs": 0}, ValueError, "n_pairs must be"),
        ({"kappa": 0.0}, ValueError, "kappa must be"),
        ({"pairs": "minimum"}, ValueError, "Did you mean 'minimal'"),
        ({"gap": "normalised"}, ValueError, "Did you mean 'normalized'"),
        ({"hessian": "estimate"}, ValueError, "Did you mean 'estimated'"),
        ({"ranking": "sign", "lambda_gap": 0, "lambda_hessian": 0}, ValueError, "Did you mean 'signed'"),
    ],
)
def test_parameters_out_of_range(wrong, error, message, data):
    with pytest.raises(error, match=message):
        small(R2ETClassifier, **wrong).fit(*data)


def test_a_misspelt_weight_gets_the_nearest():
    with pytest.raises(TypeError, match="Did you mean 'lambda_gap'"):
        R2ETClassifier(lamda_gap=0.1)


@pytest.mark.parametrize("k", [4, 5, 100])
def test_k_is_clipped_with_a_warning(k, data):
    X, y = data
    with pytest.warns(UserWarning, match=f"k={k} is not smaller than the number of ranked features .4.; using k=3"):
        clipped = small(R2ETClassifier, k=k).fit(X, y)
    assert states_equal(clipped, small(R2ETClassifier, k=3).fit(X, y))
    assert clipped.k == k


def breast_cancer():
    return load_breast_cancer(return_X_y=True)


def moons():
    """A table in which a linear model has an accuracy of 0.87: two moons and eight columns of noise."""
    X, y = make_moons(1500, noise=0.25, random_state=0)
    return np.hstack([X, np.random.default_rng(0).normal(size=(1500, 8))]), y


@pytest.mark.slow
@pytest.mark.parametrize(
    "table",
    [
        breast_cancer,
        moons,
    ],
)
def test_defaults_cost_at_most_one_point(table):
    scores = {VanillaClassifier: [], R2ETClassifier: []}
    X, y = table()
    for seed in range(3):
        train, test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=seed, stratify=y)
        scaler = StandardScaler().fit(train)
        train, test = scaler.transform(train), scaler.transform(test)
        for cls, values in scores.items():
            clf = cls(random_state=seed).fit(train, y_train)
            values.append([clf.score(test, y_test), roc_auc_score(y_test, clf.predict_proba(test)[:, 1])])
    vanilla, r2et = (np.mean(scores[cls], axis=0) for cls in (VanillaClassifier, R2ETClassifier))
    assert (r2et >= vanilla - 0.01).all(), (vanilla, r2et)


def test_device_names_of_the_cpu_are_one_device(data):
    X, y = data
    assert states_equal(small(R2ETClassifier, device="cpu").fit(X, y), small(R2ETClassifier, device="cpu:0").fit(X, y))
    assert small(R2ETClassifier, device="cpu").fit(X, y).device_ == torch.device("cpu")


def test_a_gap_measured_as_a_distance_is_cross_lipschitz(data):
    X, y = data
    options = {"module__beta": 5.0, "n_pairs": 2, "epsilon": 0.3}
    a = small(R2ETClassifier, gap="distance", lambda_gap=0.1, lambda_hessian=0, **options).fit(X, y)
    b = small(CrossLipschitzClassifier, lambda_ratio=0.1, **options).fit(X, y)
    assert states_equal(a, b)
    with pytest.raises(ValueError, match="pairs='minimal', not 'all'"):
        small(R2ETClassifier, gap="distance", pairs="all").fit(X, y)


class Snapshots(Callback):
    """The weights whenever a training begins."""

    def __init__(self, taken):
        self.taken = taken

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.taken.append({name: value.clone() for name, value in net.module_.state_dict().items()})


@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_a_warm_up_is_plain_training(weight, data):
    """What the penalties find when they join is the network that is trained without them."""
    X, y = data
    taken = []
    clf = small(
        R2ETClassifier,
        lambda_gap=weight,
        lambda_hessian=weight,
        warm_up_epochs=3,
        callbacks=[("snapshots", Snapshots(taken))],
    ).fit(X, y)
    plain = small(SoftplusClassifier, beta=3.0, max_epochs=3).fit(X, y)
    assert len(taken) == 2
    for name, value in plain.module_.state_dict().items():
        assert torch.equal(taken[1][name], value)
    assert len(clf.history_) == clf.max_epochs


@pytest.mark.parametrize(("warm_up_epochs", "error"), [(-1, ValueError), (1.5, TypeError)])
def test_a_warm_up_that_is_no_number_of_epochs(warm_up_epochs, error, data):
    with pytest.raises(error, match="warm_up_epochs"):
        small(R2ETClassifier, warm_up_epochs=warm_up_epochs).fit(*data)
