import numpy as np
import pytest

from robustxai.attacks import PromotionAttack

from .conftest import objective, sets


@pytest.mark.parametrize("rank", [1, 2, 3, 9])
def test_value_and_gradient_equal_a_plain_sort(rank, ranking, explained):
    """(s_a - min over T of s_i) / mean |s|, a the rank-th outsider at x; the last one where there are not so many."""
    clean, moved = explained
    k, step = 2, 1e-6
    values, gradient = objective(PromotionAttack(rank=rank), clean, moved, k, ranking)

    def naive(row, point):
        before, now = (np.abs(a) if ranking == "magnitude" else a for a in (clean[row], point))
        top, rest = sets(before, k)
        return (now[rest[min(rank, len(rest)) - 1]] - min(now[i] for i in top)) / np.abs(now).mean()

    for row in range(len(clean)):
        np.testing.assert_allclose(values[row], naive(row, moved[row]), rtol=1e-12)
        for i, unit in enumerate(np.eye(moved.shape[1])):
            slope = (naive(row, moved[row] + step * unit) - naive(row, moved[row] - step * unit)) / (2 * step)
            np.testing.assert_allclose(gradient[row, i], slope, rtol=1e-6, atol=1e-7)
