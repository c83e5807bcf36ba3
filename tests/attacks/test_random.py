from itertools import pairwise

import numpy as np
import pytest

from robustxai.attacks import RandomAttack
from robustxai.metrics import precision_at_k
from robustxai.perturbation import ThreatModel


@pytest.mark.parametrize("norm", [2, "inf"])
def test_more_draws_never_find_less(victim, X, norm):
    """The draws of a small budget are the first ones of a large budget."""
    threat = ThreatModel(epsilon=0.5, norm=norm)
    results = [RandomAttack(victim, k=3, threat=threat, max_iter=n).run(X) for n in (1, 2, 5, 20, 60)]
    values = np.array([r.precision_at_k for r in results])
    assert (np.diff(values, axis=0) <= 0).all()
    assert values[-1].mean() < values[0].mean()
    for fewer, more in pairwise(results):
        flipped = fewer.first_flip <= fewer.n_iter
        np.testing.assert_array_equal(more.first_flip[flipped], fewer.first_flip[flipped])
        assert (more.first_flip[~flipped] > fewer.n_iter).all()


def test_the_point_is_on_the_sphere(victim, X):
    X_adv = RandomAttack(victim, k=3, max_iter=5).fit_transform(X)
    moved = (X_adv != X).any(axis=1)
    assert moved.any()
    np.testing.assert_allclose(np.linalg.norm(X_adv - X, axis=1)[moved], 0.5, rtol=1e-6)


def test_all_rows_try_the_same_direction(victim, X):
    X_adv = RandomAttack(victim, k=3, max_iter=1).fit_transform(X)
    steps = (X_adv - X)[(X_adv != X).any(axis=1)]
    assert len(steps) > 1
    np.testing.assert_array_equal(steps.astype(np.float32), np.broadcast_to(steps[0].astype(np.float32), steps.shape))


def test_another_seed_is_another_attack(victim, X):
    first, second = (RandomAttack(victim, k=3, max_iter=1, random_state=seed).run(X) for seed in (0, 1))
    assert not np.array_equal(first.X_adv, second.X_adv)
    np.testing.assert_array_equal(second.precision_at_k, precision_at_k(victim.explain(X), second.attribution_adv, 3))
