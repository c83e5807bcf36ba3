import numpy as np
import pytest

from robustxai.attacks import SoftOverlapAttack

from .conftest import objective, sets


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_objective_is_that_of_the_docstring(explained, k, ranking):
    clean, moved = explained
    values, gradient = objective(SoftOverlapAttack(), clean, moved, k, ranking)
    score = np.abs if ranking == "magnitude" else np.array

    def normalized(attribution):
        s = score(attribution)
        return s / (sum(abs(v) for v in s) / 6)

    for row in range(len(clean)):
        top, _ = sets(score(clean[row]), k)
        now = normalized(moved[row])
        descending = sorted(now, reverse=True)
        boundary, width = (descending[k - 1] + descending[k]) / 2, 0.1 * np.std(now)

        def naive(attribution, top=top, boundary=boundary, width=width):
            return -sum(1 / (1 + np.exp(-(normalized(attribution)[i] - boundary) / width)) for i in top)

        np.testing.assert_allclose(values[row], naive(moved[row]), rtol=1e-9)
        # the boundary and the width have no gradient: they stand still in the difference quotient
        h = 1e-6
        numeric = [(naive(moved[row] + h * e) - naive(moved[row] - h * e)) / (2 * h) for e in np.eye(6)]
        np.testing.assert_allclose(gradient[row], numeric, rtol=1e-4, atol=1e-7)


def test_it_counts_the_members_that_are_still_in(explained):
    """Scores far apart make the count hard."""
    clean = np.array([[60.0, 50.0, 40.0, 3.0, 2.0, 1.0]])
    moved = np.array([[60.0, 50.0, 1.0, 3.0, 2.0, 40.0]])
    for attribution, members in ((clean, 3), (moved, 2)):
        values, _ = objective(SoftOverlapAttack(), clean, attribution, 3, "magnitude")
        np.testing.assert_allclose(values, -members, atol=0.01)


def test_the_length_of_the_explanation_does_not_matter(explained):
    clean, moved = explained
    once, _ = objective(SoftOverlapAttack(), clean, moved, 3, "signed")
    twice, _ = objective(SoftOverlapAttack(), clean, 2 * moved, 3, "signed")
    np.testing.assert_allclose(twice, once, rtol=1e-12)
