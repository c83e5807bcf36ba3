import numpy as np
import pytest
import torch

from robustxai.attacks import ERAttack
from robustxai.perturbation import ThreatModel

from .conftest import objective, reference, sets


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_objective_is_the_mean_over_all_pairs(explained, k, ranking):
    clean, moved = explained
    values, gradient = objective(ERAttack(), clean, moved, k, ranking)
    score = np.abs if ranking == "magnitude" else np.array
    slope = np.sign(moved) if ranking == "magnitude" else np.ones_like(moved)
    for row in range(len(clean)):
        top, rest = sets(score(clean[row]), k)
        pairs = [(i, j) for i in top for j in rest]
        assert len(pairs) == k * (6 - k)
        s, expected_gradient = score(moved[row]), np.zeros(6)
        for i, j in pairs:
            expected_gradient[i] -= slope[row, i] / len(pairs)
            expected_gradient[j] += slope[row, j] / len(pairs)
        np.testing.assert_allclose(values[row], -np.mean([s[i] - s[j] for i, j in pairs]), rtol=1e-12)
        np.testing.assert_allclose(gradient[row], expected_gradient, rtol=1e-12, atol=1e-15)


def test_the_reference_of_some_rows(explained, ranking):
    clean = torch.tensor(explained[0])
    whole, rows = reference(clean, 2, ranking), torch.tensor([True, False, True] * 3)
    part, direct = whole.select(rows), reference(clean[rows], 2, ranking)
    for name in ("attribution", "scores", "top"):
        assert torch.equal(getattr(part, name), getattr(direct, name))
    assert (part.k, part.ranking) == (2, ranking)


def test_the_settings_of_the_paper_approach_the_default_ones(victim, X):
    """Many small steps to the same sphere, against a few large ones."""
    threat = ThreatModel(epsilon=0.3)
    paper = ERAttack(victim, k=3, threat=threat, max_iter=300, step_size=2e-3, momentum=0.0).run(X)
    default = ERAttack(victim, k=3, threat=threat, max_iter=100).run(X)
    assert paper.precision_at_k.mean() < 1
    for result in (paper, default):
        rows = np.linalg.norm(result.X_adv - X, axis=1) > 0.3 * (1 - 1e-4)
        assert rows.mean() > 0.5
    np.testing.assert_allclose(reached(victim, paper, X), reached(victim, default, X), rtol=1e-3)


def reached(victim, result, X):
    """Gap that an attack reached, on the rows where both may go all the way."""
    confident = np.abs(victim._logits(X)[:, 1].numpy()) > 1.5
    clean, moved = np.abs(result.attribution[confident]), np.abs(result.attribution_adv[confident])
    pairs = zip(moved, (sets(row, 3) for row in clean))
    return np.array([row[top].mean() - row[rest].mean() for row, (top, rest) in pairs])
