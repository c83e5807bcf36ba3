"""No result hangs on the seed: five of them agree up to the spread that the choice of rows has anyway."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

from robustxai import SoftplusClassifier, VanillaClassifier
from robustxai.attacks import (
    PGD,
    AutoExplanationAttack,
    CenterOfMassAttack,
    GradientAttack,
    MSEAttack,
    ParetoAttack,
    RandomAttack,
)
from robustxai.exceptions import EvaluationWarning
from robustxai.perturbation import ThreatModel

from .conftest import ATTACKS, CHEAP, GRADIENT_ATTACKS, Victim, quadratic_victim


@pytest.fixture(scope="module")
def softplus(cancer):
    X_train, X_test, y_train = cancer
    clf = SoftplusClassifier(module__beta=5.0, module__hidden=(32, 16)).fit(X_train, y_train)
    return clf, X_test[:60], 8


@pytest.fixture(scope="module")
def relu():
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    return VanillaClassifier(max_epochs=40, module__hidden=(16, 8)).fit(X, y), X[::2], 2


@pytest.fixture(params=["softplus", "relu"])
def model(request):
    return request.getfixturevalue(request.param)


def over_seeds(attack, model, n_seeds=5, **options):
    """P@k of every row and seed, (n_seeds, n), and the standard error of its mean over the rows."""
    clf, X, k = model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)
        found = np.stack(
            [
                attack(clf, k=k, threat=ThreatModel(0.5), random_state=s, **options).run(X).precision_at_k
                for s in range(n_seeds)
            ]
        )
    return found, found.mean(axis=0).std(ddof=1) / np.sqrt(len(X))


@pytest.mark.parametrize(
    ("attack", "options"),
    [
        # a gradient attack draws nothing without a random start, and ParetoAttack nothing at all: the next test
        *((a, {}) for a in ATTACKS if not issubclass(a, (GradientAttack, ParetoAttack))),
        *((a, {"random_start": True}) for a in ATTACKS if issubclass(a, GradientAttack)),
        (AutoExplanationAttack, {"preset": "fast"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "-".join(map(str, value.values())),
)
def test_the_mean_over_rows_of_any_seed_is_within_two_standard_errors(attack, options, model, request):
    if attack is AutoExplanationAttack:
        request.getfixturevalue("short_ensemble")
    else:
        options = {**options, "max_iter": 10, **CHEAP.get(attack, {})}
    found, error = over_seeds(attack, model, **options)
    means = found.mean(axis=1)
    assert np.abs(means - means.mean()).max() <= 2 * error
    assert means.max() < 1


@pytest.mark.parametrize("attack", [*GRADIENT_ATTACKS, ParetoAttack], ids=lambda attack: attack.__name__)
def test_without_a_random_start_nothing_is_drawn(attack, model):
    # an iteration of ParetoAttack costs as much as many of the others
    max_iter = 2 if attack is ParetoAttack else 6
    found, _ = over_seeds(attack, model, n_seeds=2, max_iter=max_iter, **CHEAP.get(attack, {}))
    assert found.mean() < 1
    np.testing.assert_array_equal(found[0], found[1])


def test_the_seed_of_pgd_moves_no_more_than_two_standard_errors_of_the_accuracy(model):
    clf, X, _ = model
    labels = clf.predict(X)
    kept = np.stack(
        [clf.predict(PGD(clf, threat=ThreatModel(0.5), random_state=s).fit(X).transform(X)) == labels for s in range(5)]
    ).mean(axis=1)
    error = np.sqrt(kept.mean() * (1 - kept.mean()) / len(X))
    assert np.abs(kept - kept.mean()).max() <= 2 * error


def test_the_distance_is_not_below_the_basin_of_either_sign(softplus):
    """One coin for all rows gave P@8 between .84 and .93 by seed; each row's choice is as low as the lowest of them."""

    class OneSign(MSEAttack):
        _TRIAL = 0
        sign = 1

        def _stationary_start(self, search, draw):
            return self.sign * super()._stationary_start(search, draw)

    class OtherSign(OneSign):
        sign = -1

    # nothing is drawn: one seed is all there is
    lowest = min(over_seeds(a, softplus, 1, max_iter=30)[0].mean() for a in (OneSign, OtherSign))
    assert over_seeds(MSEAttack, softplus, 1, max_iter=30)[0].mean() <= lowest + 1e-9


def test_a_row_takes_the_sign_on_which_its_ranking_flips():
    """I = b + A x + cubic terms: both signs of the start are as far away, and one of them closes the gap."""

    class Cubic(torch.nn.Module):
        def forward(self, x):
            value = 4 * x[:, 0] + 3.6 * x[:, 1] + 0.5 * x[:, 2] + x[:, 0] ** 2 * x[:, 3].sign() / 2
            return torch.stack([-value - 100, value + 100], dim=1)

    X = np.array([[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, -1.0]])
    result = MSEAttack(Victim(Cubic()), k=1, threat=ThreatModel(0.9, frozen=[3]), max_iter=8).run(X)
    np.testing.assert_array_equal(result.precision_at_k, 0)
    assert np.sign(result.X_adv[:, 0]).tolist() == [-1, 1]


def test_a_stationary_start_is_the_gradient_of_the_length_of_the_explanation(monkeypatch):
    """I = A x + b has the Jacobian A: the walk begins along A (A x + b) and its opposite."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(5, 5))
    matrix, slope, X = matrix + matrix.T, rng.normal(size=5) + 20, rng.normal(size=(3, 5))
    steps = []
    propose = MSEAttack.propose

    def recording(self, search, iteration):
        steps.append(propose(self, search, iteration).double())
        return steps[-1].float()

    monkeypatch.setattr(MSEAttack, "propose", recording)
    MSEAttack(quadratic_victim(matrix, slope, 1000.0), k=2, threat=ThreatModel(0.5), max_iter=2).run(X)
    expected = (X @ matrix + slope) @ matrix
    expected *= 0.5 / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(steps[0], expected, rtol=1e-4)
    np.testing.assert_allclose(steps[1], -expected, rtol=1e-4)


def test_no_iteration_is_evaluated_twice(softplus, monkeypatch):
    """Both signs are iterations like any other: one evaluation each, and one more for the start."""
    from robustxai.attacks import _base, _gradient

    calls = []
    for module in (_base, _gradient):
        observe = module.observe
        monkeypatch.setattr(
            module, "observe", lambda *args, observe=observe, **kw: (calls.append(1), observe(*args, **kw))[1]
        )
    clf, X, k = softplus
    monkeypatch.setattr(MSEAttack, "check_target", lambda *args: None)
    MSEAttack(clf, k=k, threat=ThreatModel(0.01), max_iter=20).run(X)
    assert len(calls) == 20 + 1 + 1


def test_both_ways_of_a_random_start_are_tried(softplus, monkeypatch):
    steps = {}
    propose = MSEAttack.propose

    def recording(self, search, iteration):
        steps[iteration] = propose(self, search, iteration)
        return steps[iteration]

    clf, X, k = softplus
    monkeypatch.setattr(MSEAttack, "propose", recording)
    MSEAttack(clf, k=k, threat=ThreatModel(0.01), max_iter=20, random_start=True).run(X)
    torch.testing.assert_close(steps[1], -steps[6])


@pytest.mark.parametrize("max_iter", [1, 2, 3, 4, 7])
def test_short_walks(softplus, max_iter):
    clf, X, k = softplus
    result = MSEAttack(clf, k=k, threat=ThreatModel(0.5), max_iter=max_iter).run(X)
    assert (result.precision_at_k < 1).any()
    assert result.first_flip.max() <= max_iter + 1


def test_images_start_from_the_direction_of_their_explanation_too():
    images = np.random.default_rng(0).normal(size=(6, 4, 4)).astype(np.float32)

    class Flat(torch.nn.Module):
        def forward(self, x):
            return Victim().module_(x.flatten(start_dim=1))

    options = {"k": 4, "threat": ThreatModel(2.0), "max_iter": 10}
    found = [CenterOfMassAttack(Victim(Flat()), random_state=s, **options).run(images).X_adv for s in range(3)]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)
    assert (found[0] != images).any()


def test_random_directions_differ_by_seed(softplus):
    clf, X, k = softplus
    assert (
        RandomAttack(clf, k=k, max_iter=3, random_state=0).run(X).X_adv
        != RandomAttack(clf, k=k, max_iter=3, random_state=1).run(X).X_adv
    ).any()
