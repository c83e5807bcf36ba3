import numpy as np
import pytest

from robustxai.attacks import ERAttack, TopKManipulation
from robustxai.perturbation import ThreatModel

from .conftest import objective, sets


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_objective_is_the_share_of_the_clean_top_set(explained, k, ranking):
    clean, moved = explained
    values, gradient = objective(TopKManipulation(), clean, moved, k, ranking)
    score = np.abs if ranking == "magnitude" else np.array

    def naive(row, attribution):
        top, _ = sets(score(clean[row]), k)
        s, total = score(attribution), 0.0
        for value in s:
            total += abs(value)
        return -sum(s[i] / total for i in top)

    h = 1e-6
    for row in range(len(clean)):
        np.testing.assert_allclose(values[row], naive(row, moved[row]), rtol=1e-12)
        numeric = [(naive(row, moved[row] + h * e) - naive(row, moved[row] - h * e)) / (2 * h) for e in np.eye(6)]
        np.testing.assert_allclose(gradient[row], numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("magnitude", [1e-30, 1.0, 1e20])
def test_the_length_of_the_explanation_does_not_matter(explained, magnitude):
    clean, moved = (a.astype(np.float32) for a in explained)
    plain, _ = objective(TopKManipulation(), clean, moved, 3, "magnitude")
    values, gradient = objective(TopKManipulation(), clean, moved * np.float32(magnitude), 3, "magnitude")
    np.testing.assert_allclose(values, plain, rtol=1e-5)
    assert np.isfinite(gradient).all()
    assert (gradient != 0).all()


def test_it_lowers_the_share_further_than_an_attack_on_the_gap(vanilla, cancer):
    X, threat = cancer[1][:100], ThreatModel(epsilon=0.3, bounds=(0, 1))
    shares = []
    for attack in (TopKManipulation, ERAttack):
        result = attack(vanilla, threat=threat, max_iter=40).run(X)
        clean, moved = np.abs(result.attribution), np.abs(result.attribution_adv)
        top = np.argsort(-clean, axis=1)[:, :8]
        shares.append(np.take_along_axis(moved, top, axis=1).sum(axis=1) / moved.sum(axis=1))
    assert shares[0].mean() < shares[1].mean()
