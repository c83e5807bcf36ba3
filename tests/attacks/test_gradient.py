"""What `keep` means; the steps themselves are in test_base.py."""

import numpy as np
import pytest

from robustxai.attacks import ERAttack
from robustxai.perturbation import ThreatModel

from .conftest import Recorder, every_gradient_attack


@pytest.fixture
def rows():
    return np.random.default_rng(5).normal(size=(40, 8)).astype(np.float32)


@every_gradient_attack
@pytest.mark.parametrize("kind", ["smooth", "relu"])
def test_the_last_iterate_that_keeps_the_prediction(attack, kind, victim, relu_victim, rows, monkeypatch):
    victim = victim if kind == "smooth" else relu_victim
    recorder = Recorder(monkeypatch, rows)
    threat = ThreatModel(epsilon=1.0)
    result = attack(victim, k=3, threat=threat, max_iter=9, step_size=0.1, momentum=0.0, keep="last").run(rows)
    labels, expected, late = victim.predict(rows), rows.copy(), np.zeros(len(rows), dtype=int)
    assert len(recorder.points) == 9
    for iteration, (point, delta) in enumerate(zip(recorder.points, recorder.deltas)):
        # a delta of exactly 0 belongs to a row that has left
        kept = (victim.predict(point) == labels) & (delta != 0).any(dim=1).numpy()
        expected[kept], late[kept] = point[kept], iteration
    np.testing.assert_array_equal(result.X_adv, expected)
    assert (late == 8).any()
    assert (late < 8).any()


def test_a_row_whose_top_set_is_gone_walks_on(victim, rows):
    """k=1: by default the first flip ends the search."""
    options = {"k": 1, "threat": ThreatModel(epsilon=2.0), "max_iter": 40, "step_size": 0.05, "momentum": 0.0}
    best, last = (ERAttack(victim, keep=keep, **options).run(rows) for keep in ("best", "last"))
    np.testing.assert_array_equal(best.first_flip, last.first_flip)
    flipped = best.first_flip < 20
    assert flipped.any()
    length = [np.linalg.norm(r.X_adv - rows, axis=1) for r in (best, last)]
    assert (length[0][flipped] < length[1][flipped]).all()


def test_the_best_is_never_worse_than_the_last(relu_victim, rows):
    options = {"k": 3, "threat": ThreatModel(epsilon=1.5), "max_iter": 60, "step_size": 0.05, "momentum": 0.0}
    best, last = (ERAttack(relu_victim, keep=keep, **options).run(rows).precision_at_k for keep in ("best", "last"))
    assert (best <= last).all()
    assert best.mean() < last.mean()
