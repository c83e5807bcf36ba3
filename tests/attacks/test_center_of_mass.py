"""The objective, and on images what test_base.py and test_init.py check on tables."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from robustxai.attacks import CenterOfMassAttack
from robustxai.exceptions import EvaluationWarning
from robustxai.metrics import precision_at_k
from robustxai.perturbation import PerturbationSet, ThreatModel

from .conftest import Victim, objective


class Flat(torch.nn.Module):
    def forward(self, x):
        return Victim().module_(x.flatten(start_dim=1))


def center(attribution):
    """One image of shape (channels, height, width), by loops."""
    total, place = 0.0, np.zeros(2)
    _, height, width = attribution.shape
    for row in range(height):
        for column in range(width):
            mass = sum(abs(v) for v in attribution[:, row, column])
            total, place = total + mass, place + mass * np.array([row, column])
    return place / total


def shift(clean, moved):
    return np.array([((center(a) - center(b)) ** 2).sum() for a, b in zip(clean, moved)])


@pytest.fixture
def victim():
    return Victim(Flat())


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(9, 2, 3, 4))


@pytest.mark.parametrize("channels", [True, False])
def test_the_objective_is_the_squared_shift_of_the_center(images, channels, ranking):
    clean, moved = images, np.random.default_rng(1).normal(size=images.shape)
    seen = (lambda a: a) if channels else (lambda a: a[:, 0])
    values, gradient = objective(CenterOfMassAttack(), seen(clean), seen(moved), 3, ranking)
    kept = slice(None) if channels else slice(0, 1)
    np.testing.assert_allclose(values, shift(clean[:, kept], moved[:, kept]), rtol=1e-10)
    h, place = 1e-6, (2, 0, 2, 3)
    up, down = moved.copy(), moved.copy()
    up[place] += h
    down[place] -= h
    numeric = (shift(clean[:, kept], up[:, kept]) - shift(clean[:, kept], down[:, kept]))[2] / (2 * h)
    np.testing.assert_allclose(gradient[place if channels else (2, 2, 3)], numeric, rtol=1e-4)


def test_the_kept_iterate_shifts_the_center_furthest(victim, images, monkeypatch):
    flat = images.astype(np.float32).reshape(9, 1, 4, 6)
    points, project = [], PerturbationSet.project

    def recording(space, delta, x):
        points.append((x + (step := project(space, delta, x))).numpy())
        return step

    monkeypatch.setattr(PerturbationSet, "project", recording)
    result = CenterOfMassAttack(victim, k=3, max_iter=10, threat=ThreatModel(epsilon=1.0)).run(flat)
    labels = victim.predict(flat)
    shifts = [np.zeros(9)]
    for point in points:
        kept = victim.predict(point) == labels
        shifts.append(np.where(kept, shift(result.attribution, victim.explain(point, labels)), 0))
    assert len(points) == 10
    np.testing.assert_allclose(
        shift(result.attribution, result.attribution_adv), np.max(shifts, axis=0), rtol=1e-3, atol=1e-9
    )
    assert (np.max(shifts, axis=0) > 0).all()


def test_it_shifts_the_center_further_than_random_directions(victim, images):
    result = CenterOfMassAttack(victim, k=3, max_iter=30).run(images)
    rng, labels, floor = np.random.default_rng(0), victim.predict(images), np.zeros(len(images))
    for _ in range(100):
        step = rng.normal(size=images.shape)
        point = images + 0.5 * step / np.linalg.norm(step.reshape(9, -1), axis=1).reshape(9, 1, 1, 1)
        kept = victim.predict(point) == labels
        floor = np.maximum(floor, np.where(kept, shift(result.attribution, victim.explain(point, labels)), 0))
    assert shift(result.attribution, result.attribution_adv).mean() > floor.mean()


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_promise_about_the_result(victim, images, norm, dtype):
    images = images.astype(dtype)
    low, high = images.min() - 0.01, images.max() + 0.01
    frozen = np.zeros(images.shape[1:], dtype=bool)
    frozen[:, 1] = True
    threat = ThreatModel(0.4, norm=norm, bounds=(low, high), frozen=frozen)
    before = images.copy()
    attack = CenterOfMassAttack(victim, k=3, threat=threat, max_iter=6)
    result = attack.run(images)
    np.testing.assert_array_equal(images, before)
    assert result.X_adv.dtype == dtype
    np.testing.assert_array_equal(result.X_adv[:, frozen], images[:, frozen])
    assert ((result.X_adv >= np.asarray(low, dtype)) & (result.X_adv <= np.asarray(high, dtype))).all()
    length = np.linalg.norm((result.X_adv - images).reshape(9, -1), ord=2 if norm == 2 else np.inf, axis=1)
    assert (length <= 0.4 * (1 + 1e-5)).all()
    assert (length > 0).any()
    np.testing.assert_array_equal(victim.predict(result.X_adv), victim.predict(images))
    np.testing.assert_array_equal(result.precision_at_k, precision_at_k(result.attribution, result.attribution_adv, 3))
    for other in (clone(attack), pickle.loads(pickle.dumps(attack)), attack.set_params(batch_size=2)):
        np.testing.assert_array_equal(other.fit_transform(images), result.X_adv)
    zero = clone(attack).set_params(threat=ThreatModel(epsilon=0.0))
    np.testing.assert_array_equal(zero.fit_transform(images), images)


def test_an_explanation_of_zeros_gives_no_nan(images):
    class Dead(torch.nn.Module):
        def forward(self, x):
            return (x.flatten(1)[:, :1] - 100).relu() * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])

    with pytest.warns(EvaluationWarning, match="explanation of zeros"):
        result = CenterOfMassAttack(Victim(Dead()), k=3, max_iter=5).run(images)
    np.testing.assert_array_equal(result.X_adv, images)


def test_a_pair_has_no_center_of_its_own(victim, images):
    pairs = np.stack([images, images], axis=1).reshape(len(images), 2, 1, 4, 6)
    with pytest.raises(ValueError, match=r"CenterOfMassAttack needs images.*a pair has two\. Got 5 axes"):
        CenterOfMassAttack(victim, k=3).fit(pairs)


def test_a_table_has_no_center(victim, X):
    for use in ("fit", "run", "fit_transform"):
        with pytest.raises(ValueError, match=r"CenterOfMassAttack needs images.*columns of a table.*Got 2 axes"):
            getattr(CenterOfMassAttack(victim, k=3), use)(X)
    with pytest.raises(NotFittedError):
        CenterOfMassAttack(victim).transform(X)
    with pytest.raises(ValueError, match=r"pass a fitted classifier, CenterOfMassAttack\(clf\)"):
        CenterOfMassAttack().fit(X)
