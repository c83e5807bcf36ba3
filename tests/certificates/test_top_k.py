"""Nothing that is proven may ever be seen to fail: random networks, sampled and attacked points."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

from robustxai import LinearClassifier, SoftplusClassifier
from robustxai.attacks import BoundaryMarginAttack
from robustxai.bounds import METHODS, Ball, bound_attribution, pair_bounds, read_network
from robustxai.certificates import certified_radius, certify_top_k
from robustxai.certificates._top_k import _bisect
from robustxai.explainers import (
    CenteredGradient,
    ColumnContributions,
    Gradient,
    GradientTimesInput,
    IntegratedGradients,
    SmoothGrad,
)
from robustxai.metrics import precision_at_k
from robustxai.perturbation import ThreatModel

from .nets import ACTIVATIONS, Fitted, curvature_bounds, explained_around, in_ball, random_net

#: Some rows of random ReLU networks have no live unit.
pytestmark = pytest.mark.filterwarnings("ignore:.*explanation of zeros")


def check_soundness(
    seed, depth, activation, n_classes, norm, ranking, epsilon, explainer=None, n_points=80, n_rows=3, max_iter=6
):
    """No proven pair flips, no bound is violated, and no attack gets below the certificate."""
    rng = np.random.default_rng(seed)
    clf = Fitted(random_net(seed, depth, activation, n_classes), explainer, n_classes)
    X = rng.normal(size=(n_rows, 6)).astype(np.float32)
    target = clf.encode_target(X)
    scores = np.abs(clf.explain(X)) if ranking == "magnitude" else clf.explain(X)
    order = torch.from_numpy(np.argsort(-scores, axis=1))
    top, rest = order[:, :2], order[:, 2:]
    network = read_network(clf.module_, (6,))
    ball = Ball(torch.full((n_rows, 1), epsilon, dtype=torch.float64), str(norm), 6)
    deltas = in_ball(rng, n_points, 6, epsilon, norm)
    sampled = explained_around(clf, X, deltas, target.numpy())
    after = np.abs(sampled) if ranking == "magnitude" else sampled
    gaps = (
        np.take_along_axis(after, top.numpy()[None], 2)[..., :, None]
        - np.take_along_axis(after, rest.numpy()[None], 2)[..., None, :]
    )
    proven_anywhere = np.zeros(gaps.shape[1:], dtype=bool)
    for method in METHODS:
        with torch.no_grad():
            terms = bound_attribution(
                network, clf.explainer_, torch.from_numpy(X).double(), target, torch.ones(6).double(), ball, method
            )
            bounds = pair_bounds(terms, top, rest, torch.from_numpy(clf.explain(X)).sign(), ranking).numpy()
        proven = bounds > 1e-9
        proven_anywhere |= proven
        assert not (gaps[:, proven] <= 0).any(), method
        if len(terms) == 1 and isinstance(clf.explainer_, Gradient) and clf.explainer_.output == "logit":
            low, high = terms[0].phi.bounds()
            assert (sampled >= low.numpy() - 1e-9).all(), method
            assert (sampled <= high.numpy() + 1e-9).all(), method
    if isinstance(clf.explainer_, Gradient):
        proven = curvature_bounds(clf, X, top, rest, ranking, epsilon, norm) > 1e-9
        proven_anywhere |= proven
        assert not (gaps[:, proven] <= 0).any(), "curvature"
    certificate = certify_top_k(clf, X, k=2, epsilon=epsilon, norm=norm, ranking=ranking)
    clean = np.broadcast_to(clf.explain(X), sampled.shape)
    reached = precision_at_k(
        clean.reshape(-1, sampled.shape[-1]), sampled.reshape(-1, sampled.shape[-1]), 2, ranking=ranking
    ).reshape(n_points, n_rows)
    attack = BoundaryMarginAttack(
        clf, k=2, threat=ThreatModel(epsilon, norm=norm), ranking=ranking, max_iter=max_iter, random_state=seed
    )
    assert (certificate.precision_at_k <= np.min(reached, axis=0) + 1e-12).all()
    assert (certificate.precision_at_k <= attack.run(X).precision_at_k + 1e-12).all()
    return proven_anywhere


FAST = [
    (seed, depth, activation, n_classes, norm, ranking, epsilon)
    for seed, ((activation, norm, ranking), (depth, n_classes, epsilon)) in enumerate(
        itertools.product(
            itertools.product(ACTIVATIONS, (2, "inf"), ("magnitude", "signed")),
            [(1, 2, 0.1), (2, 3, 0.05), (3, 2, 0.3)],
        )
    )
]
SLOW = [
    (1000 + seed, depth, activation, n_classes, norm, ranking, epsilon)
    for seed, (activation, depth, n_classes, norm, ranking, epsilon) in enumerate(
        itertools.product(ACTIVATIONS, (1, 2, 3, 4), (2, 3, 5), (2, "inf"), ("magnitude", "signed"), (0.03, 0.2, 1.0))
    )
]


@pytest.mark.parametrize("case", FAST, ids=str)
def test_no_proof_is_ever_broken(case):
    check_soundness(*case)


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW, ids=str)
def test_no_proof_is_ever_broken_at_length(case):
    check_soundness(*case, n_points=400, max_iter=20)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_bounds_of_a_logits_gradient_holds_every_sample(activation, n_classes):
    check_soundness(5, 2, activation, n_classes, 2, "signed", 0.3, Gradient("logit"))


#: Columns of six features.
COLUMNS = [[0], [1], [2, 3], [4, 5]]
EXPLAINERS = [
    (Gradient("cross_entropy"), 2),
    (Gradient("cross_entropy"), 3),
    (Gradient("log_odds"), 3),
    (GradientTimesInput(), 2),
    (GradientTimesInput(), 3),
    (IntegratedGradients(n_points=4, baseline=0.3), 2),
    (IntegratedGradients(n_points=4, output="log_odds"), 2),
    (IntegratedGradients(n_points=4, output="cross_entropy"), 2),
    (IntegratedGradients(n_points=4, output="logit"), 3),
    (GradientTimesInput("log_odds", np.linspace(0, 1, 6)), 3),
    (ColumnContributions("gradient_times_input", "log_odds", 4, np.linspace(0, 1, 6), COLUMNS), 2),
    (ColumnContributions("gradient_times_input", "probability", 4, np.linspace(0, 1, 6), COLUMNS), 3),
    (ColumnContributions("integrated_gradients", "log_odds", 4, np.linspace(0, 1, 6), COLUMNS), 2),
    (CenteredGradient("log_odds", COLUMNS, np.linspace(0.1, 1, 6)), 2),
    (CenteredGradient("probability", COLUMNS, np.linspace(0.1, 1, 6)), 3),
    (SmoothGrad(n_draws=4), 2),
    (SmoothGrad(n_draws=4, output="cross_entropy"), 2),
    (SmoothGrad(n_draws=4, output="logit"), 3),
]
#: Every explainer with both norms and both rankings, and every norm with both rankings.
PAIRS = [
    (explainer, n_classes, norm, ranking)
    for place, (explainer, n_classes) in enumerate(EXPLAINERS)
    for norm, ranking in zip((2, "inf"), ("magnitude", "signed") if place % 2 else ("signed", "magnitude"))
]


@pytest.mark.parametrize(("explainer", "n_classes", "norm", "ranking"), PAIRS, ids=str)
def test_other_explainers_are_sound_and_not_empty(explainer, n_classes, norm, ranking):
    seed = 0 if norm == 2 else 1  # another network
    proven = check_soundness(seed, 2, "softplus", n_classes, norm, ranking, 0.02, explainer, n_rows=6)
    assert proven.mean() > 0.4


@pytest.mark.parametrize("method", ["affine", "zonotope"])
@pytest.mark.parametrize("activation", ["softplus", "sigmoid", "tanh"])
@pytest.mark.parametrize("norm", [2, "inf"])
def test_as_the_ball_shrinks_the_bound_is_exact_to_first_order(method, activation, norm):
    """bound = gap - epsilon ||d gap / dx||_dual + O(epsilon^2)."""
    net = random_net(3, 2, activation, 2)
    x = torch.randn(1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = net(x).argmax(1)

    def difference(point):
        margin = (net(point)[0, target] - net(point)[0, 1 - target]).sum()
        (gradient,) = torch.autograd.grad(margin, point, create_graph=True)
        return gradient[0, 2] - gradient[0, 4]

    point = x.clone().requires_grad_()
    gap = difference(point)
    (slope,) = torch.autograd.grad(gap, point)
    dual = slope.norm() if norm == 2 else slope.abs().sum()
    top, rest = torch.tensor([[2]]), torch.tensor([[4]])
    errors = []
    for epsilon in (1e-2, 1e-3):
        ball = Ball(torch.full((1, 1), epsilon, dtype=torch.float64), str(norm), 6)
        with torch.no_grad():
            terms = bound_attribution(
                read_network(net, (6,)), Gradient(), x, target, torch.ones(6).double(), ball, method
            )
            bound = pair_bounds(terms, top, rest, torch.ones(1, 6), "signed").item()
        errors.append(gap.item() - epsilon * dual.item() - bound)
    assert errors[0] >= 0
    assert errors[1] < errors[0] / 50


def test_breast_cancer_is_certified_nearly_as_far_as_attacks_let_it():
    """Signed P@8 of a network 64-32 with weight decay; the attacks of the prototype left .975, .925 and .887."""
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, _ = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    scaler = StandardScaler().fit(X_train)
    clf = SoftplusClassifier(beta=1.0, optimizer__weight_decay=1e-3, random_state=0)
    clf.fit(scaler.transform(X_train), y_train)
    rows = scaler.transform(X_test)[:40]
    for epsilon, least in ((0.25, 0.93), (0.5, 0.91), (1.0, 0.80)):
        assert certify_top_k(clf, rows, k=8, epsilon=epsilon, ranking="signed").precision_at_k.mean() >= least


def test_of_two_opposed_units_the_radius_is_known():
    """g = (a s(x_1), b s(x_2)): the larger entry changes where a s(x_1) = b s(x_2)."""
    net = nn.Sequential(nn.Linear(2, 2), nn.Softplus(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(2))
        net[0].bias.zero_()
        net[2].weight.copy_(torch.tensor([[0.0, 0.0], [2.0, 1.0]]))
        net[2].bias.copy_(torch.tensor([0.0, 1.0]))
    x = np.array([[0.3, -0.2]], dtype=np.float32)
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731

    angle = np.linspace(0, 2 * np.pi, 20_001)
    gap = lambda r: 2 * sigmoid(x[0, 0] + r * np.cos(angle)) - sigmoid(x[0, 1] + r * np.sin(angle))  # noqa: E731
    low, high = np.zeros(len(angle)), np.full(len(angle), 20.0)
    closes = gap(high) < 0
    for _ in range(60):  # bisection in all directions at once
        middle = (low + high) / 2
        low, high = np.where(gap(middle) < 0, low, middle), np.where(gap(middle) < 0, middle, high)
    truth = high[closes].min()
    radius = certified_radius(Fitted(net), x, k=1, ranking="signed")[0]
    assert radius <= truth
    assert radius > 0.6 * truth


@pytest.mark.filterwarnings("ignore:.*the ball is huge beside the data")
def test_a_linear_model_is_certified_as_far_as_one_asks():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 6))
    clf = LinearClassifier(max_epochs=5).fit(X, X[:, 0] > 0)
    for method in ("best", *METHODS, "curvature"):
        certificate = certify_top_k(clf, X[:10], k=2, epsilon=1e3, method=method)
        assert (certificate.precision_at_k == 1).all()
        assert (certificate.n_proven_pairs == certificate.n_pairs).all()
    assert (certified_radius(clf, X[:10], k=2, max_epsilon=50.0) == 50).all()


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 8)).astype(np.float32)
    y = X[:, 0] + np.sin(X[:, 1]) + 0.3 * X[:, 2] * X[:, 3] > 0
    return SoftplusClassifier(max_epochs=15, optimizer__weight_decay=1e-3).fit(X, y), X


def test_methods_are_ordered_and_best_is_no_worse_than_either(fitted):
    clf, X = fitted
    methods = ("best", *METHODS, "curvature")
    by = {m: certify_top_k(clf, X[:40], k=3, epsilon=0.2, method=m).n_proven_pairs for m in methods}
    assert (by["best"] >= np.max([by["affine"], by["zonotope"], by["curvature"]], axis=0)).all()
    assert by["interval"].sum() < by["curvature"].sum()
    assert by["interval"].sum() < by["affine"].sum() <= by["zonotope"].sum()


def test_a_certified_radius_is_a_proof_and_a_little_more_is_not(fitted):
    clf, X = fitted
    radii = certified_radius(clf, X[:12], k=3)
    assert (radii > 0).all()
    for row, radius in zip(X[:12], radii):
        assert certify_top_k(clf, row[None], k=3, epsilon=radius).precision_at_k == 1
        assert certify_top_k(clf, row[None], k=3, epsilon=1.02 * radius).precision_at_k < 1


def test_rows_do_not_know_each_other(fitted):
    clf, X = fitted
    together = certify_top_k(clf, X[:9], k=3, epsilon=0.3)
    alone = [certify_top_k(clf, row[None], k=3, epsilon=0.3) for row in X[:9]]
    assert together.n_proven_pairs.tolist() == [c.n_proven_pairs[0] for c in alone]


def test_epsilon_zero_proves_every_order_that_there_is(fitted):
    clf, X = fitted
    assert (certify_top_k(clf, X[:20], k=3, epsilon=0.0).precision_at_k == 1).all()


def test_frozen_features_make_the_ball_smaller(fitted):
    clf, X = fitted
    free = certify_top_k(clf, X[:20], k=3, epsilon=0.5)
    frozen = certify_top_k(clf, X[:20], k=3, threat=ThreatModel(0.5, frozen=range(2, 8)))
    assert (frozen.n_proven_pairs >= free.n_proven_pairs).all()
    assert frozen.n_proven_pairs.sum() > free.n_proven_pairs.sum()
    assert (certify_top_k(clf, X[:20], k=3, threat=ThreatModel(0.5, frozen=range(8))).precision_at_k == 1).all()


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"epsilon": -1}, ValueError, "epsilon"),
        ({"norm": 1}, ValueError, "norm=1 is not supported"),
        ({"method": "zonotop"}, ValueError, "zonotope"),
        ({"ranking": "abs"}, ValueError, "ranking"),
        ({"k": 0}, ValueError, "k"),
        ({"threat": ThreatModel(scale=[1] * 7)}, ValueError, "scale|broadcast"),
        ({"threat": ThreatModel(0.1), "epsilon": 0.2}, ValueError, "contradicts threat=ThreatModel"),
    ],
)
def test_bad_input(fitted, change, error, match):
    clf, X = fitted
    with pytest.raises(error, match=match):
        certify_top_k(clf, X[:3], **{"k": 3, **change})


def test_what_has_no_certificate_says_so(fitted):
    _, X = fitted
    three = Fitted(random_net(0, 1, "softplus", 3), IntegratedGradients(n_points=2), 3)
    with pytest.raises(NotImplementedError, match="explain the logit instead"):
        certify_top_k(three, X[:2, :6], k=2)
    with pytest.raises(NotImplementedError, match="Certificates do not support the explainer"):
        certify_top_k(Fitted(random_net(0, 1, "softplus", 2), lambda *a, **k: Gradient()(*a, **k)), X[:2, :6], k=2)


# ------------------------------------------------------------------ bisection


def bisected_naively(proves, n_rows, max_epsilon, max_iter):
    """One radius after the other, one row after the other."""
    found = []
    for row in range(n_rows):
        good, bad, radius = 0.0, np.inf, max_epsilon
        for _ in range(max_iter):
            if proves(torch.tensor([row]), torch.tensor([[radius]], dtype=torch.float64))[0]:
                good = radius
            else:
                bad = radius
            if good == max_epsilon:
                break
            radius = (good + bad) / 2 if good > 0 else bad / 4
        found.append(good)
    return found


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("max_iter", [1, 7, 16])
@pytest.mark.parametrize("monotone", [True, False])
def test_radii_that_are_proven_ahead_change_nothing(depth, max_iter, monotone):
    limits = torch.tensor([[2.0], [0.3], [1e-3], [50.0], [0.0]], dtype=torch.float64)

    def proves(rows, radius):
        lower = radius <= limits[rows]
        return (lower if monotone else lower ^ ((radius * 1e4).floor() % 3 == 0)).squeeze(1)

    start = torch.zeros(5, 1, dtype=torch.float64), torch.full((5, 1), float("inf"), dtype=torch.float64)
    good, _ = _bisect(proves, torch.arange(5), *start, 10.0, max_iter, depth)
    assert good.squeeze(1).tolist() == bisected_naively(proves, 5, 10.0, max_iter)


def test_a_row_alone_has_the_radius_that_it_has_among_others(fitted):
    clf, X = fitted
    for method in ("affine", "zonotope", "best"):
        together = certified_radius(clf, X[:8], 2, method=method)
        alone = [certified_radius(clf, X[i : i + 1], 2, method=method)[0] for i in range(3)]
        np.testing.assert_allclose(alone, together[:3], rtol=1e-9)
        assert (together > 0).any()
