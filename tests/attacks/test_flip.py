"""Attacks find the flip that exists, and none that does not."""

import numpy as np
import pytest

from robustxai.attacks import BoundaryMarginAttack, ERAttack, SoftOverlapAttack, TopKManipulation
from robustxai.perturbation import ThreatModel

from .conftest import CHEAP, every_attack, flip_problem

SEEDS = range(12)


@pytest.mark.parametrize("attack", [ERAttack, BoundaryMarginAttack, SoftOverlapAttack, TopKManipulation])
@pytest.mark.parametrize("norm", [2, "inf"])
def test_a_radius_slightly_above_the_closed_form_flips(attack, ranking, norm):
    for seed in SEEDS:
        victim, x, radius = flip_problem(seed, norm)
        threat = ThreatModel(epsilon=1.01 * radius, norm=norm)
        result = attack(victim, k=1, threat=threat, ranking=ranking, max_iter=50).run(x)
        assert result.precision_at_k == 0
        assert result.first_flip <= 50
        np.testing.assert_array_equal(victim.predict(result.X_adv), victim.predict(x))


@every_attack
@pytest.mark.parametrize("norm", [2, "inf"])
def test_a_radius_slightly_below_the_closed_form_cannot_flip(attack, ranking, norm):
    for seed in SEEDS[:3]:
        victim, x, radius = flip_problem(seed, norm)
        threat = ThreatModel(epsilon=0.99 * radius, norm=norm)
        result = attack(victim, k=1, threat=threat, ranking=ranking, max_iter=9, **CHEAP.get(attack, {})).run(x)
        assert result.precision_at_k == 1
        assert result.first_flip == 10
