"""The returned rows are in the ball in their own type, however far from 0 they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustxai import VanillaClassifier, attacks
from robustxai.attacks._feasible import feasible
from robustxai.perturbation import ThreatModel

NORMS = [2, "inf"]


def distance(X, X_adv, norm, scale=1.0):
    """Of every row, in float64."""
    steps = (X_adv.astype(np.float64) - X.astype(np.float64)) / scale
    return np.linalg.norm(steps.reshape(len(X), -1), ord=2 if norm == 2 else np.inf, axis=1)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(NORMS),
    st.sampled_from([np.float32, np.float64]),
    st.floats(-3, 9),
    st.floats(-6, 2),
    st.booleans(),
)
def test_any_size_of_features_and_ball(seed, norm, dtype, size, radius, scaled):
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(4, 5)) * 10**size).astype(dtype)
    scale = 10 ** rng.uniform(-2, 2, size=5) if scaled else None
    threat = ThreatModel(epsilon=10**radius, norm=norm, scale=scale)
    unit = 1.0 if scale is None else scale
    delta = rng.normal(size=(4, 5))
    delta = delta / np.linalg.norm(delta, ord=2 if norm == 2 else np.inf, axis=1, keepdims=True) * unit * 10**radius
    moved = feasible(X, delta.astype(np.float32), threat)
    assert moved.dtype == dtype
    assert (distance(X, moved, norm, unit) <= 10**radius).all()
    # no further from what was asked for than two steps of the type, and the share that float32 rounds off
    spacing = np.spacing(np.abs(X) + np.abs(delta).astype(dtype)).astype(float)
    assert (np.abs(moved.astype(float) - (X.astype(float) + delta)) <= 2 * spacing + 1e-6 * np.abs(delta)).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(NORMS), st.floats(0, 6))
def test_the_box_and_frozen_features_stay(seed, norm, size):
    rng = np.random.default_rng(seed)
    low, high = -(10**size), 10**size
    X = rng.uniform(low, high, size=(6, 4)).astype(np.float32)
    threat = ThreatModel(epsilon=0.01, norm=norm, bounds=(low, high))
    delta = rng.normal(size=X.shape)
    delta[:, 2] = 0.0
    delta = 0.01 * delta / np.linalg.norm(delta, ord=2 if norm == 2 else np.inf, axis=1, keepdims=True)
    moved = feasible(X, delta, threat)
    assert (moved[:, 2] == X[:, 2]).all()
    assert (moved >= np.float32(low)).all()
    assert (moved <= np.float32(high)).all()
    assert (distance(X, moved, norm) <= 0.01).all()


def test_rows_that_are_inside_keep_every_bit():
    rng = np.random.default_rng(0)
    X, delta = rng.normal(size=(50, 6)), rng.normal(size=(50, 6)).astype(np.float32) * 1e-3
    np.testing.assert_array_equal(feasible(X, delta, ThreatModel(epsilon=1.0)), X + delta)


@pytest.fixture(scope="module")
def shifted():
    """Victims of features far from 0."""
    found = {}
    rng = np.random.default_rng(0)
    base = rng.normal(size=(60, 6))
    y = (base[:, 0] + base[:, 1] * base[:, 2] > 0).astype(int)
    for place in (0.0, 1e3, 1e5):
        X = base + place
        model = VanillaClassifier(max_epochs=3, module__activation="softplus", lr=1e-3 / (1 + place)).fit(X, y)
        found[place] = (model, X)
    return found


ALL = ["ERAttack", "MSEAttack", "BoundaryMarginAttack", "RandomAttack", "NESAttack", "FGSM", "PGD"]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("place", [0.0, 1e3, 1e5])
@pytest.mark.parametrize("name", [name for name in ALL if hasattr(attacks, name)])
@pytest.mark.filterwarnings("ignore")
def test_every_attack(name, place, dtype, norm, shifted):
    model, X = shifted[place]
    X = X.astype(dtype)[:10]
    threat = ThreatModel(epsilon=0.05, norm=norm)
    options = {"max_iter": 3} if "max_iter" in getattr(attacks, name)().get_params() else {}
    if "k" in getattr(attacks, name)().get_params():
        options["k"] = 2
    X_adv = getattr(attacks, name)(model, threat=threat, **options).fit(X).transform(X)
    assert X_adv.dtype == dtype
    assert (distance(X, X_adv, norm) <= 0.05).all()


@pytest.mark.parametrize("place", [0.0, 1e5])
@pytest.mark.filterwarnings("ignore")
def test_the_ensemble(place, shifted):
    model, X = shifted[place]
    X = X.astype(np.float32)[:6]
    found = attacks.AutoExplanationAttack(model, k=2, threat=ThreatModel(epsilon=0.05), preset="fast").run(X)
    assert (distance(X, found.X_adv, 2) <= 0.05).all()
