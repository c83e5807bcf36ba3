"""Confident rows: a probability's gradient beyond the range of float32, for everything that ranks or draws it."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.preprocessing import MinMaxScaler

from robustxai import R2ETClassifier, SoftplusClassifier, VanillaClassifier
from robustxai.attacks import (
    AutoExplanationAttack,
    BoundaryMarginAttack,
    ERAttack,
    MSEAttack,
    MultiObjectiveAttack,
    NESAttack,
    PromotionAttack,
    RandomAttack,
    SoftOverlapAttack,
    TopKManipulation,
)
from robustxai.certificates import certify_top_k
from robustxai.exceptions import EvaluationWarning
from robustxai.explainers import Gradient, GradientTimesInput, IntegratedGradients, RelativeImportance, SmoothGrad
from robustxai.inspection import SaliencyDisplay
from robustxai.metrics import comprehensiveness, precision_at_k, ranking_thickness
from robustxai.model_selection import RobustnessScorer
from robustxai.perturbation import ThreatModel

THREAT = ThreatModel(epsilon=0.3)
EXPLAINERS = {
    **{output: Gradient(output) for output in ("probability", "cross_entropy", "log_odds", "logit")},
    **{f"input x {output}": GradientTimesInput(output) for output in ("probability", "cross_entropy")},
    **{f"SmoothGrad {output}": SmoothGrad(4, output=output) for output in ("probability", "cross_entropy")},
    **{f"IG {output}": IntegratedGradients(5, output=output) for output in ("probability", "cross_entropy")},
    "shares": RelativeImportance(IntegratedGradients(5)),
}
FACTORS = (100.0, 1e3, 1e-6)


def scaled(model, factor, explainer="gradient"):
    """The same model with its last layer multiplied."""
    louder = copy.deepcopy(model)
    with torch.no_grad():
        for weights in louder.module_.layers[-1].parameters():
            weights.mul_(factor)
    louder.explainer = EXPLAINERS.get(explainer, Gradient())
    return louder


@pytest.fixture(scope="module")
def binary():
    X, y = load_breast_cancer(return_X_y=True)
    X = MinMaxScaler().fit_transform(X)
    return SoftplusClassifier(max_epochs=20).fit(X, y), X[:60]


@pytest.fixture(scope="module")
def three_classes():
    X, y = load_wine(return_X_y=True)
    X = MinMaxScaler().fit_transform(X)
    return SoftplusClassifier(max_epochs=60).fit(X, y), X[::3]


@pytest.fixture(scope="module")
def rectified():
    X, y = load_breast_cancer(return_X_y=True)
    X = MinMaxScaler().fit_transform(X)
    return VanillaClassifier(max_epochs=20).fit(X, y), X[:60]


def reference(model, X):
    """The explanation of the predicted class divided by its largest factor, and the logarithm of that factor.

    Only the network and the gradient of its log-odds are torch's, in float64; everything else is written out.
    """
    explainer = model.explainer_.explainer if isinstance(model.explainer_, RelativeImportance) else model.explainer_
    module = copy.deepcopy(model.module_).double()
    target = model.encode_target(X)
    X = np.asarray(X, dtype=np.float64)
    if isinstance(explainer, SmoothGrad):
        points = [X + explainer.sigma * draw for draw in explainer.draws(X.shape[1:]).numpy()]
    elif isinstance(explainer, IntegratedGradients):
        points = [(j + 0.5) / explainer.n_points * X for j in range(explainer.n_points)]
    else:
        points = [X]
    gradients, logs, sign = [], [], -1.0 if explainer.output == "cross_entropy" else 1.0
    for point in points:
        x = torch.tensor(point).requires_grad_()
        logits = module(x)
        if explainer.output == "logit":
            score = logits.gather(1, target[:, None]).squeeze(1)
        else:
            others = logits.scatter(1, target[:, None], -torch.inf).logsumexp(dim=1)
            score = logits.gather(1, target[:, None]).squeeze(1) - others
        gradients.append(torch.autograd.grad(score.sum(), x)[0].numpy())
        m = score.detach().numpy()[:, None]
        logs.append(
            {
                "logit": np.zeros_like(m),
                "log_odds": np.zeros_like(m),
                "probability": -np.logaddexp(0, -m) - np.logaddexp(0, m),
                "cross_entropy": -np.logaddexp(0, m),
            }[explainer.output]
        )
    largest = np.max(logs, axis=0)
    total = sign * np.mean([np.exp(log - largest) * gradient for log, gradient in zip(logs, gradients)], axis=0)
    total = total * X if isinstance(explainer, GradientTimesInput | IntegratedGradients) else total
    if isinstance(model.explainer_, RelativeImportance):
        return np.abs(total) / np.abs(total).sum(axis=1, keepdims=True), np.zeros_like(largest)
    return total, largest


def same_ranking(found, expected):
    """Whether every row's magnitudes have one order."""
    return (np.abs(found).argsort(axis=1, kind="stable") == np.abs(expected).argsort(axis=1, kind="stable")).all()


@pytest.mark.parametrize("explainer", EXPLAINERS)
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("data", ["binary", "three_classes", "rectified"])
def test_an_explanation_is_right_in_value_and_never_vanishes(data, factor, explainer, request):
    model, X = request.getfixturevalue(data)
    louder = scaled(model, factor, explainer)
    found, (direction, log_factor) = louder.explain(X), reference(louder, X)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    assert (found != 0).any(axis=1).all()
    assert same_ranking(found, direction)
    held = log_factor[:, 0] > -600  # what float64 can hold
    np.testing.assert_allclose(found[held], (direction * np.exp(log_factor))[held], rtol=1e-9, atol=1e-280)
    # what it cannot hold keeps its direction
    shares = (part / np.abs(part).max(axis=1, keepdims=True) for part in (found, direction))
    np.testing.assert_allclose(*shares, rtol=1e-9, atol=1e-12)
    if factor >= 100 and explainer == "probability":
        assert (log_factor < -104).any(), "no row is beyond float32: the test tests nothing"


@pytest.mark.parametrize("factor", FACTORS)
def test_confidence_changes_nothing_that_is_ranked(binary, factor):
    """Of two classes the gradient's direction is the same at any factor of the last layer."""
    model, X = binary
    louder = scaled(model, factor)
    np.testing.assert_array_equal(precision_at_k(model.explain(X), louder.explain(X), k=8), 1.0)
    options = {"k": 8, "epsilon": 0.3, "n_draws": 4, "n_points": 3}
    np.testing.assert_array_equal(ranking_thickness(model, X, **options), ranking_thickness(louder, X, **options))
    given = comprehensiveness(louder, X, model.explain(X))
    np.testing.assert_array_equal(comprehensiveness(louder, X), given)


ATTACKS = (
    ERAttack, MSEAttack, BoundaryMarginAttack, SoftOverlapAttack, TopKManipulation, MultiObjectiveAttack,
    PromotionAttack, NESAttack, RandomAttack,
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("factor", [100.0, 1e3])
@pytest.mark.parametrize("data", ["binary", "three_classes"])
def test_an_attack_reports_what_float64_says(data, factor, attack, request):
    model, X = request.getfixturevalue(data)
    louder = scaled(model, factor)
    k = 4
    result = attack(louder, k=k, threat=THREAT, max_iter=8).run(X)
    assert (np.linalg.norm(result.X_adv - X, axis=1) <= 0.3 + 1e-6).all()
    np.testing.assert_array_equal(louder.predict(result.X_adv), louder.predict(X))
    before, after = (reference(louder, rows)[0] for rows in (X, result.X_adv))
    shared = [
        len(set(np.abs(one).argsort()[-k:]) & set(np.abs(other).argsort()[-k:])) / k
        for one, other in zip(before, after)
    ]
    np.testing.assert_allclose(result.precision_at_k, shared)


@pytest.mark.parametrize("attack", [ERAttack, BoundaryMarginAttack, MultiObjectiveAttack])
def test_an_attack_finds_as_much_on_the_confident_model(binary, attack):
    """The objective is in the row's own units: it does not fade where the probability saturates."""
    model, X = binary
    louder = scaled(model, 1e3, "log_odds")
    plain = attack(scaled(model, 1.0, "log_odds"), k=8, threat=THREAT, max_iter=15).run(X).precision_at_k
    np.testing.assert_allclose(attack(louder, k=8, threat=THREAT, max_iter=15).run(X).precision_at_k.mean(),
                               plain.mean(), atol=0.02)  # fmt: skip
    confident = attack(scaled(model, 1e3), k=8, threat=THREAT, max_iter=15).run(X).precision_at_k
    assert confident.mean() < 1


def test_a_certificate_holds_for_the_float32_network_with_large_weights(binary):
    model, X = binary
    louder = scaled(model, 1e3)
    proven = certify_top_k(louder, X, k=8, epsilon=0.05).precision_at_k
    attacked = AutoExplanationAttack(louder, k=8, threat=ThreatModel(epsilon=0.05), preset="fast").run(X).precision_at_k
    assert (proven <= attacked).all()
    assert proven.mean() > 0


def test_a_mean_of_underflowing_gradients_proves_nothing_false(binary):
    model, X = binary
    louder = scaled(model, 1e3, "SmoothGrad probability")
    proven = certify_top_k(louder, X[:20], k=8, epsilon=0.01, method="affine").precision_at_k
    attacked = RandomAttack(louder, k=8, threat=ThreatModel(epsilon=0.01), max_iter=20).run(X[:20]).precision_at_k
    assert (proven <= attacked).all()


def test_scores_of_a_confident_model_are_finite(binary):
    model, X = binary
    y = model.predict(X)
    y[:2] = 1 - y[:2]
    attack = BoundaryMarginAttack(k=8, threat=THREAT, max_iter=5)
    scores = RobustnessScorer(attack, n_draws=2, n_points=2)(scaled(model, 1e3), X, y)
    assert np.isfinite(list(scores.values())).all()


def test_training_on_confident_rows_keeps_its_terms_finite(binary):
    model, X = binary
    y = model.predict(X)
    louder = scaled(model, 1e3)
    for explainer in (Gradient("cross_entropy"), SmoothGrad(3), IntegratedGradients(3)):
        trained = R2ETClassifier(
            k=4,
            explainer=explainer,
            init=louder,
            max_epochs=2,
            lr=1e-4,
            module__activation="softplus",
            module__beta=1.0,
        ).fit(X, y)
        assert (trained.explain(X) != 0).any(axis=1).all()


class TestZeros:
    """Rows whose explanation is zero, not next to zero: dead ReLUs."""

    def dead(self, model, X):
        dead = copy.deepcopy(model)
        with torch.no_grad():
            first = dead.module_.layers[0]
            first.weight.zero_()
            first.weight[:, 0] = 1.0
            first.bias.fill_(-float(np.median(X[:, 0])))  # half of the rows switch every unit off
        return dead

    @pytest.mark.parametrize("attack", [RandomAttack, AutoExplanationAttack])
    def test_an_attack_says_how_many(self, rectified, attack):
        model, X = rectified
        options = {"preset": "fast"} if attack is AutoExplanationAttack else {"max_iter": 3}
        dead = self.dead(model, X)
        zero = (dead.explain(X) == 0).all(axis=1).sum()
        assert zero
        with pytest.warns(EvaluationWarning, match=r"\d+ of 60 rows have an explanation of zeros"):
            attack(dead, k=4, threat=ThreatModel(epsilon=0.01), **options).run(X)


class TestDisplay:
    def test_a_picture_of_next_to_nothing_says_so(self, binary):
        model, X = binary
        louder = scaled(model, 1e3)
        display = SaliencyDisplay.from_estimator(
            louder, X, attack=ERAttack(k=4, threat=THREAT, max_iter=2), rows=[0, 1]
        )
        titles = [ax.get_title() for ax in display.axes_.flat]
        assert all("largest magnitude" in title for title in titles)
        for ax in display.axes_.flat:
            widths = [abs(bar.get_width()) for bar in ax.patches]
            assert max(widths) == pytest.approx(1.0)

    def test_a_usual_picture_has_no_note(self, binary):
        model, X = binary
        display = SaliencyDisplay.from_estimator(model, X, attack=ERAttack(k=4, threat=THREAT, max_iter=2), rows=[0])
        assert not any("magnitude" in ax.get_title() for ax in display.axes_.flat)

    def test_an_image_of_next_to_nothing_is_drawn_on_its_own_scale(self):
        rng = np.random.default_rng(0)
        maps = rng.normal(size=(1, 8, 8)) * 1e-300
        display = SaliencyDisplay(np.zeros((1, 8, 8)), np.zeros((1, 8, 8)), maps, maps, k=4).plot()
        assert "largest magnitude" in display.axes_[0, 1].get_title()
        drawn = display.axes_[0, 1].images[0].get_array()
        assert drawn.max() == pytest.approx(1.0)

    def test_a_map_of_zeros_says_so(self):
        maps = np.zeros((1, 5))
        display = SaliencyDisplay(np.zeros((1, 5)), np.zeros((1, 5)), maps, maps, k=2).plot()
        assert "all zero" in display.axes_[0, 0].get_title()
