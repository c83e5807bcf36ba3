"""ATEX's second constraint, |p_c(x + delta) - p_c(x)| <= m, on every attack on explanations."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_wine
from sklearn.preprocessing import MinMaxScaler

from robustxai import R2ETClassifier, SoftplusClassifier, VanillaClassifier
from robustxai.attacks import AutoExplanationAttack, BlackBox, CenterOfMassAttack, NESAttack, RandomAttack
from robustxai.attacks._probability_change import below_limit, target_probability
from robustxai.attacks._together import run_together
from robustxai.exceptions import EvaluationWarning
from robustxai.perturbation import ThreatModel

from .conftest import ATTACKS, CHEAP, Victim, every_attack, quadratic_victim


def changes(victim, X, X_adv):
    """How far the probability of the class predicted at X has moved, row by row."""
    before, after = (np.asarray(victim.predict_proba(rows), dtype=np.float64) for rows in (X, X_adv))
    rows, classes = np.arange(len(before)), before.argmax(axis=1)
    return np.abs(after[rows, classes] - before[rows, classes])


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True)
    return MinMaxScaler().fit_transform(X), y


@pytest.fixture(scope="module", params=[SoftplusClassifier, VanillaClassifier], ids=["softplus", "relu"])
def fitted(request, wine):
    return request.param(max_epochs=15, module__hidden=(16,)).fit(*wine)


@every_attack
@settings(deadline=None, max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_result_is_beyond_the_limit(attack, fitted, wine, data):
    X = wine[0][:: data.draw(st.integers(5, 9))].astype(data.draw(st.sampled_from([np.float32, np.float64])))
    limit = data.draw(st.sampled_from([0.0, 1e-7, 1e-3, 0.02, 0.1, 1.0]))
    threat = ThreatModel(data.draw(st.sampled_from([0.1, 0.6])), norm=data.draw(st.sampled_from([2, "inf"])))
    keep = {} if attack is RandomAttack else {"keep": data.draw(st.sampled_from(["best", "last"]))}
    result = attack(
        fitted, k=4, threat=threat, max_iter=5, max_probability_change=limit, **keep, **CHEAP.get(attack, {})
    ).run(X)
    assert (changes(fitted, X, result.X_adv) <= limit).all()
    np.testing.assert_array_equal(fitted.predict(result.X_adv), fitted.predict(X))
    assert ((result.precision_at_k == 1) | (result.first_flip <= 5)).all()


@every_attack
def test_the_limit_binds_and_still_leaves_something_to_find(attack, fitted, wine):
    X, options = wine[0][::6], {"k": 4, "threat": ThreatModel(0.6), "max_iter": 8, **CHEAP.get(attack, {})}
    free = attack(fitted, **options).run(X)
    limit = changes(fitted, X, free.X_adv).max() / 2
    limited = attack(fitted, max_probability_change=limit, **options).run(X)
    assert changes(fitted, X, limited.X_adv).max() <= limit
    assert (limited.X_adv != X).any()
    assert limited.rejected.mean() > free.rejected.mean()


@every_attack
def test_a_limit_of_one_is_no_limit(attack, fitted, wine):
    X, options = wine[0][::6], {"k": 4, "threat": ThreatModel(0.3), "max_iter": 4, **CHEAP.get(attack, {})}
    results = [attack(fitted, max_probability_change=m, **options).run(X) for m in (None, 1.0)]
    np.testing.assert_array_equal(*(result.X_adv for result in results))


def test_images(wine):
    images = np.random.default_rng(0).normal(size=(6, 4, 4)).astype(np.float32)

    class Flat(torch.nn.Module):
        def forward(self, x):
            return Victim().module_(x.flatten(start_dim=1))

    victim = Victim(Flat())
    options = {"k": 4, "threat": ThreatModel(2.0), "max_iter": 12}
    free = CenterOfMassAttack(victim, **options).run(images)
    limit = changes(victim, images, free.X_adv).max() / 2
    limited = CenterOfMassAttack(victim, max_probability_change=limit, **options).run(images)
    assert changes(victim, images, limited.X_adv).max() <= limit
    assert (limited.X_adv != images).any()


@pytest.mark.usefixtures("quick_ensemble")
@pytest.mark.parametrize("preset", ["fast", "standard"])
def test_the_ensemble_keeps_the_limit(preset, fitted, wine):
    X = wine[0][::30]
    attack = AutoExplanationAttack(fitted, k=4, threat=ThreatModel(0.6), preset=preset, max_probability_change=0.005)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)
        result = attack.run(X)
    assert changes(fitted, X, result.X_adv).max() <= 0.005
    assert (result.X_adv != X).any()


def test_the_minimum_radius_keeps_the_limit():
    """Logits (-f, f) with a linear gap: what is found within the limit is no nearer than what is found without."""
    victim = quadratic_victim(np.diag([1.0, -1.0]), [1.0, 1.3], constant=0.5)
    X = np.array([[0.05, 0.02], [-0.1, 0.1], [0.2, 0.0]])
    free, limited = (
        AutoExplanationAttack(victim, k=1, preset="fast", max_probability_change=m).minimum_radius(
            X, max_epsilon=1.0, n_levels=6
        )
        for m in (None, 1e-3)
    )
    assert np.isfinite(free).all()
    assert (limited >= free * (1 - 1e-3)).all()
    assert (limited > free * 1.01).any()


@pytest.mark.parametrize("attack", [NESAttack, RandomAttack])
def test_a_black_box_is_asked_for_its_probabilities(attack, fitted, wine):
    box = BlackBox(fitted, fitted.explain)
    X, options = wine[0][::6], {"k": 4, "threat": ThreatModel(0.6), "max_iter": 10, **CHEAP.get(attack, {})}
    result = attack(box, max_probability_change=0.05, **options).run(X)
    assert changes(fitted, X, result.X_adv).max() <= 0.05


@pytest.fixture(scope="module")
def victims(wine):
    X, y = wine
    options = {"max_epochs": 4, "module__hidden": (8,)}
    return [
        (R2ETClassifier(4, lambda_gap=0.01, **options).fit(X, y), X[:20]),
        (SoftplusClassifier(**options).fit(X, y), X[60:75]),
    ]


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a is not NESAttack], ids=lambda a: a.__name__)
def test_victims_attacked_together_keep_the_limit_each(attack, victims):
    limited = attack(k=4, threat=ThreatModel(0.6), max_iter=8, max_probability_change=0.01, **CHEAP.get(attack, {}))
    for (victim, rows), found in zip(victims, run_together(limited, victims)):
        assert changes(victim, rows, found.X_adv).max() <= 0.01
        assert (found.X_adv != rows).any()


@pytest.mark.parametrize("limit", [0.0, 1e-9, 1e-3, 1.0])
def test_what_the_search_allows_is_within_what_the_result_is_held_to(limit):
    assert 0 <= below_limit(limit) <= below_limit(limit, 0.5) <= limit
    assert below_limit(limit) >= limit / 2


def test_the_probability_is_that_of_the_softmax():
    logits = torch.tensor([[0.0, 1.0, -2.0], [30.0, 0.0, 1.0]])
    expected = [np.exp(1) / (1 + np.exp(1) + np.exp(-2)), 1 / (1 + np.exp(30) + np.exp(1))]
    np.testing.assert_allclose(target_probability(logits, torch.tensor([1, 1])), expected, rtol=1e-12)


@pytest.mark.parametrize("attack", [*ATTACKS, AutoExplanationAttack], ids=lambda a: a.__name__)
@pytest.mark.parametrize(
    ("limit", "error", "message"),
    [
        (-0.1, ValueError, "max_probability_change must be a finite number >= 0"),
        (5, ValueError, "max_probability_change=5 is above 1"),
        ("5%", TypeError, "max_probability_change must be a number"),
    ],
)
def test_a_limit_out_of_its_range_is_refused(attack, fitted, wine, limit, error, message):
    with pytest.raises(error, match=message):
        attack(fitted, max_probability_change=limit).run(wine[0])
