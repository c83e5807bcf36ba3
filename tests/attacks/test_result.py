import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from robustxai.attacks import ERAttack, MSEAttack, RandomAttack, TargetedManipulation, strongest
from robustxai.attacks._result import warn_of_rise
from robustxai.exceptions import EvaluationWarning


@pytest.fixture
def results(victim, X):
    return [attack(victim, k=3, max_iter=8).run(X) for attack in (RandomAttack, MSEAttack, ERAttack)]


def test_every_row_is_that_of_its_strongest_attack(results, X):
    worst = strongest(results)
    picked = set()
    for row in range(len(X)):
        best = min(results, key=lambda r, row=row: r.precision_at_k[row])  # the first of equals
        picked.add(id(best))
        assert worst.precision_at_k[row] == best.precision_at_k[row]
        np.testing.assert_array_equal(worst.X_adv[row], best.X_adv[row])
        np.testing.assert_array_equal(worst.attribution_adv[row], best.attribution_adv[row])
        np.testing.assert_array_equal(worst.attribution[row], best.attribution[row])
        assert worst.first_flip[row] == min(r.first_flip[row] for r in results)
    assert len(picked) > 1
    assert worst.n_iter == 8


def test_one_result_is_its_own_strongest(results):
    for name in ("X_adv", "precision_at_k", "first_flip"):
        np.testing.assert_array_equal(getattr(strongest(results[:1]), name), getattr(results[0], name))


def test_frames_stay_frames(victim, X):
    frame = pd.DataFrame(X, columns=list("abcdefgh"), index=np.arange(len(X)) + 100)
    worst = strongest([attack(victim, k=3, max_iter=3).run(frame) for attack in (ERAttack, RandomAttack)])
    for part in (worst.X_adv, worst.attribution, worst.attribution_adv):
        assert part.index.equals(frame.index)
        assert part.columns.equals(frame.columns)


def test_a_short_attack_without_a_flip_does_not_count_as_a_flip(results):
    """Censored at n_iter + 1 of its own budget, which is an iteration of the longer attack."""
    n = len(results[0].first_flip)
    short = replace(results[0], n_iter=3, first_flip=np.full(n, 4))
    long = replace(results[1], n_iter=9, first_flip=np.where(np.arange(n) % 2, 7, 10))
    np.testing.assert_array_equal(strongest([short, long]).first_flip, long.first_flip)
    assert strongest([short, long]).n_iter == 9


def test_targets_are_told_by_a_targeted_attack_only(victim, X):
    targeted, plain = (attack(victim, k=3, max_iter=3).run(X) for attack in (TargetedManipulation, ERAttack))
    assert targeted.targets_in_top_k.shape == (len(X),)
    assert plain.targets_in_top_k is None
    assert strongest([targeted, plain]).targets_in_top_k is None


def test_nothing_has_no_strongest():
    with pytest.raises(ValueError, match="at least one attack result"):
        strongest([])


def test_only_a_rise_of_more_than_a_hundredth_is_told():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_rise({0.1: 0.8, 0.2: 0.809, 0.3: 0.4}, "cure")
        warn_of_rise({0.1: 0.8}, "cure")
    with pytest.warns(EvaluationWarning, match=r"0\.500 at 2 after 0\.400 at 0\.3\).*cure"):
        warn_of_rise({2.0: 0.5, 0.1: 0.8, 0.3: 0.4, 3.0: 0.3}, "cure")
