"""What the caller has switched on or off in torch changes nothing: not the result, and not the caller's switches."""

import contextlib
import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from robustxai import metrics
from robustxai._switches import own_switches
from robustxai.attacks import (
    FGSM,
    PGD,
    AutoExplanationAttack,
    BoundaryMarginAttack,
    ERAttack,
    MSEAttack,
    MultiObjectiveAttack,
    NESAttack,
    RandomAttack,
    TargetedManipulation,
    TopKManipulation,
)
from robustxai.certificates import certified_radius, certify_smoothed_top_k, certify_top_k, curvature_bound
from robustxai.classifiers import (
    AdversarialTrainingClassifier,
    ARTClassifier,
    ATEXClassifier,
    CertifiedR2ETClassifier,
    CrossLipschitzClassifier,
    EstimatedHessianClassifier,
    ExactHessianClassifier,
    ExplanationATClassifier,
    FARClassifier,
    IGNormClassifier,
    LinearClassifier,
    MapDiscrepancyClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    SSRClassifier,
    VanillaClassifier,
    retrain,
)
from robustxai.explainers import Gradient, GradientTimesInput, IntegratedGradients, RelativeImportance, SmoothGrad
from robustxai.model_selection import (
    BatchedSearchCV,
    CertifiedPrecisionScorer,
    PrecisionAtKScorer,
    RobustnessScorer,
    ThicknessScorer,
)
from robustxai.perturbation import ThreatModel


@contextlib.contextmanager
def default(name, value, back):
    getattr(torch, f"set_default_{name}")(value)
    try:
        yield
    finally:
        getattr(torch, f"set_default_{name}")(back)


SWITCHES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "float64": lambda: default("dtype", torch.float64, torch.float32),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "device": lambda: default("device", "meta", None),
}


class Own(nn.Module):
    """A user's module, which makes tensors of the default type when it is built and when it is called."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(n_features, 6), nn.Dropout(0.2), nn.Tanh(), nn.Linear(6, n_classes))
        self.register_buffer("shift", torch.tensor([0.5] + [0.0] * (n_features - 1)))

    def forward(self, x):
        return self.net(x + self.shift) * torch.full((1,), 2.0) + torch.zeros(1)


SMALL = {"max_epochs": 2, "batch_size": 35, "module__hidden": (6,)}
FITS = {
    "vanilla": VanillaClassifier(**SMALL),
    "user's module": VanillaClassifier(module=Own, max_epochs=2, batch_size=35),
    "sgd": VanillaClassifier(optimizer=torch.optim.SGD, **SMALL),
    "r2et": R2ETClassifier(k=2, warm_up_epochs=1, **SMALL),
    "r2et of a user's module": R2ETClassifier(k=2, module=Own, max_epochs=2, batch_size=35),
    "hinge": R2ETClassifier(k=2, gap="hinge", pairs="all", **SMALL),
    "estimated": EstimatedHessianClassifier(**SMALL),
    "exact": ExactHessianClassifier(**SMALL),
    "probes": ExactHessianClassifier(n_draws=2, **SMALL),
    "ssr": SSRClassifier(**{**SMALL, "module__activation": "softplus"}),
    "closed": SSRClassifier(**SMALL),
    "cross-lipschitz": CrossLipschitzClassifier(k=2, **SMALL),
    "explanation-at": ExplanationATClassifier(k=2, **SMALL),
    "adversarial": AdversarialTrainingClassifier(**SMALL),
    "ig-norm": IGNormClassifier(max_iter=2, **SMALL),
    "adv-aat": FARClassifier("adv_aat", max_iter=2, **SMALL),
    "art": ARTClassifier(k=2, max_iter=2, **SMALL),
    "int": MapDiscrepancyClassifier(max_iter=2, **SMALL),
    "atex": ATEXClassifier(**SMALL),
    "atex reference": ATEXClassifier(variant="reference", **SMALL),
    "certified": CertifiedR2ETClassifier(k=2, n_bounds=2, **SMALL),
    "linear": LinearClassifier(),
}
ATTACKS = {
    cls.__name__: cls(k=2, max_iter=4)
    for cls in (ERAttack, MSEAttack, MultiObjectiveAttack, BoundaryMarginAttack, TargetedManipulation,
                TopKManipulation, RandomAttack)
}  # fmt: skip
ATTACKS["NESAttack"] = NESAttack(k=2, max_iter=3, n_draws=4)
AUTO = AutoExplanationAttack(k=2, preset="fast")
EXPLAINERS = {
    "gradient": Gradient(),
    "logit": Gradient("logit"),
    "gradient x input": GradientTimesInput(),
    "integrated gradients": IntegratedGradients(n_points=4),
    "smooth grad": SmoothGrad(n_draws=4),
    "relative importance": RelativeImportance(),
}


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(0).normal(size=(70, 5)).astype(np.float32)
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


@pytest.fixture(scope="module")
def smooth(data):
    return SoftplusClassifier(**{**SMALL, "max_epochs": 8}).fit(*data)


@pytest.fixture(scope="module")
def relu(data):
    return VanillaClassifier(**{**SMALL, "max_epochs": 8}).fit(*data)


def flat(value):
    """The numbers of a result."""
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in flat(value[key])]
    if isinstance(value, (list, tuple)):
        return [number for part in value for number in flat(part)]
    return [np.asarray(value)]


@contextlib.contextmanager
def switched(name):
    """The switch, which must be as it was after the block."""

    def state():
        kinds = torch.get_default_dtype(), torch.get_default_device()
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"), *kinds

    with SWITCHES[name]():
        before = state()
        yield
        assert state() == before


USUAL = {}


def assert_same(function, switch, name):
    """The result is the usual one, which is computed once for each name."""
    if name not in USUAL:
        USUAL[name] = flat(function())
    wanted = USUAL[name]
    with switched(switch):
        found = flat(function())
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


per_switch = pytest.mark.parametrize("switch", SWITCHES)


@per_switch
@pytest.mark.parametrize("name", FITS)
def test_fits(name, switch, data):
    X, y = data

    def fit():
        clf = clone(FITS[name]).fit(X, y)
        weights = [value.numpy() for value in clf.module_.state_dict().values()]
        return weights, clf.predict_proba(X), clf.explain(X), clf.predict(X), clf.explain(X, y=1), clf.score(X, y)

    assert_same(fit, switch, name)


@pytest.fixture(scope="module")
def went_on(data):
    """What a model says that went on from one of a usual fit."""
    first = clone(FITS["r2et"]).fit(*data)
    return clone(FITS["r2et"]).set_params(init=first, warm_up_epochs=0).fit(*data).predict_proba(data[0])


@per_switch
def test_a_fitted_model_of_a_switched_fit_goes_on_as_any_other(switch, data, went_on):
    X, y = data
    with SWITCHES[switch]():
        clf = clone(FITS["r2et"]).fit(X, y)
    again = clone(FITS["r2et"]).set_params(init=clf, warm_up_epochs=0).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), went_on)


@per_switch
def test_retraining(switch, data, relu):
    X, y = data

    floors = {"min_precision": 0.0, "max_auc_drop": 1.0}

    def run():
        new = retrain(R2ETClassifier(k=2, batch_size=35), relu, X, y, k=2, beta=5.0, max_epochs=2, **floors)
        return new.predict_proba(X), new.explain(X)

    assert_same(run, switch, "retrain")


@per_switch
@pytest.mark.parametrize("model", ["smooth", "relu"])
@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(name, model, switch, data, request):
    X = data[0][:12]

    def run():
        attack = ATTACKS[name].set_params(estimator=request.getfixturevalue(model))
        result = attack.run(X)
        return (
            attack.fit(X).transform(X), result.X_adv, result.attribution, result.attribution_adv,
            result.precision_at_k, result.first_flip, result.last_gain, result.rejected,
        )  # fmt: skip

    assert_same(run, switch, (name, model))


@per_switch
@pytest.mark.parametrize("norm", [2, np.inf])
@pytest.mark.parametrize("cls", [FGSM, PGD])
def test_attacks_on_predictions(cls, norm, switch, data, smooth):
    attack = cls(smooth, threat=ThreatModel(0.3, norm=norm))
    assert_same(lambda: attack.fit(data[0]).transform(data[0], data[1]), switch, (cls, norm))


@pytest.mark.usefixtures("quick_ensemble")
@pytest.mark.parametrize("switch", ["inference_mode", "float64"])
@pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")
def test_the_ensemble(switch, data, smooth):
    attack, X = AUTO.set_params(estimator=smooth), data[0][:2]
    calls = (lambda: attack.run(X).X_adv, lambda: attack.minimum_radius(X, n_levels=1))
    assert_same(lambda: [call() for call in calls], switch, "ensemble")


@per_switch
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda clf: pickle.loads(pickle.dumps(clf))], ids=["copy", "pickle"])
def test_a_model_that_was_copied_there_is_as_good_as_any(copied, switch, data, smooth):
    with SWITCHES[switch]():
        clf = copied(smooth)
        there = clf.explain(data[0])
    np.testing.assert_array_equal(there, smooth.explain(data[0]))
    np.testing.assert_array_equal(clf.explain(data[0]), there)
    a, b = (ERAttack(model, k=2, max_iter=3).run(data[0][:9]).X_adv for model in (clf, smooth))
    np.testing.assert_array_equal(a, b)
    a, b = (metrics.hessian_norm(model, data[0][:9]) for model in (clf, smooth))
    np.testing.assert_array_equal(a, b)


METRICS = {
    "hessian_norm": lambda clf, X, y, E: [
        metrics.hessian_norm(clf, X, norm=norm, max_exact=exact, n_draws=3)
        for norm in ("fro", "spectral", "estimated")
        for exact in (0, 50)
    ],
    "thickness": lambda clf, X, y, E: [
        metrics.ranking_thickness(clf, X, 2, n_draws=3, n_points=2),
        metrics.relaxed_thickness(clf, X, 2, n_draws=3, n_points=2, distribution="gaussian"),
    ],
    "thickness_bounds": lambda clf, X, y, E: metrics.thickness_bounds(clf, X, 2),
    "faithfulness": lambda clf, X, y, E: [
        f(clf, X, E) for f in (metrics.comprehensiveness, metrics.sufficiency, metrics.decision_flip_fraction)
    ],
    "prediction": lambda clf, X, y, E: [
        metrics.adversarial_auc(clf, X + 0.1, y),
        metrics.prediction_sensitivity(clf, X, X + 0.1),
    ],
    "comparison": lambda clf, X, y, E: [
        f(E, E[::-1].copy())
        for f in (
            lambda a, b: metrics.precision_at_k(a, b, 2), lambda a, b: metrics.top_k_intersection(a, b, 2),
            metrics.spearman_correlation, metrics.kendall_correlation, metrics.cosine_similarity,
        )
    ],
    "images": lambda clf, X, y, E: metrics.center_of_mass_distance(
        E[:, :, None] + E[:, None], (E**2)[:, :, None] + E[:, None]
    ),
}  # fmt: skip


@per_switch
@pytest.mark.parametrize("name", METRICS)
def test_metrics(name, switch, data, smooth):
    X, y = data[0][:9], data[1][:9]
    assert_same(lambda: METRICS[name](smooth, X, y, smooth.explain(X)), switch, ("metric", name))


@per_switch
@pytest.mark.parametrize("method", ["best", "affine", "interval", "zonotope", "curvature"])
def test_certificates(method, switch, data, smooth):
    def run():
        certificate = certify_top_k(smooth, data[0][:3], 2, epsilon=0.02, method=method)
        return certificate.precision_at_k, certificate.n_proven_pairs

    assert_same(run, switch, ("certificate", method))


@per_switch
def test_other_certificates(switch, data, smooth):
    def run():
        smoothed = certify_smoothed_top_k(smooth, data[0][:2], 2, n_draws=100)
        radius = certified_radius(smooth, data[0][:2], 2, max_iter=4)
        return radius, smoothed.radius, smoothed.precision_at_k, smoothed.scores, curvature_bound(smooth)

    assert_same(run, switch, "other certificates")


# in a caller's autocast an explainer is a part of the caller's own computation
@pytest.mark.parametrize("switch", [name for name in SWITCHES if name != "autocast"])
@pytest.mark.parametrize("name", EXPLAINERS)
def test_explainers(name, switch, data, smooth, relu):
    def run():
        x, target = torch.from_numpy(data[0][:6]), torch.from_numpy(data[1][:6])
        if torch.is_inference_mode_enabled():
            x = x.clone()  # a tensor that can take no part in a derivative
        return [EXPLAINERS[name](clf.module_, x, target).numpy() for clf in (smooth, relu)]

    assert_same(run, switch, ("explainer", name))


@per_switch
@pytest.mark.parametrize(
    "scorer",
    [
        PrecisionAtKScorer(ERAttack(k=2, max_iter=3)),
        ThicknessScorer(k=2, n_draws=3, n_points=2),
        CertifiedPrecisionScorer(k=2, epsilon=0.02, n_rows=3),
        RobustnessScorer({"er": ERAttack(k=2, max_iter=3), "random": RandomAttack(k=2, max_iter=3)}, n_draws=2),
    ],
    ids=lambda scorer: type(scorer).__name__,
)
@pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")
def test_scorers(scorer, switch, data, smooth):
    X, y = data[0][:12], data[1][:12]
    assert_same(lambda: (scorer(smooth, X, y), scorer.score_together([smooth, smooth], X, y)
                         if hasattr(scorer, "score_together") else 0), switch, type(scorer))  # fmt: skip


@per_switch
def test_searches(switch, data):
    X, y = data

    def run():
        scoring = RobustnessScorer(ERAttack(k=2, max_iter=2), n_rows=6, n_draws=2)
        grid = {"lambda_gap": [0.0, 0.1], "warm_up_epochs": [1]}
        options = {"scoring": scoring, "refit": "precision_at_k", "cv": 2}
        search = BatchedSearchCV(R2ETClassifier(k=2, **SMALL), grid, **options).fit(X, y)
        assert search.cv_results_["stacked"].all()
        scores = [search.cv_results_[name] for name in sorted(search.cv_results_) if "test_" in name]
        return scores, search.best_estimator_.predict_proba(X)

    assert_same(run, switch, "search")


def test_switches_come_back_after_an_error():
    def fail():
        with own_switches():
            raise KeyError(torch.is_grad_enabled())

    with torch.no_grad():
        with pytest.raises(KeyError, match="True"):
            fail()
        assert not torch.is_grad_enabled()
