from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from robustxai.attacks import AttackResult, ParetoAttack
from robustxai.attacks._pareto import _Cone
from robustxai.explainers import Gradient
from robustxai.perturbation import ThreatModel

from .conftest import Quadratic, Victim, quadratic_victim, sets


def spy(monkeypatch):
    """The state after every look at an iterate: rows, latest perturbation, scores and direction at the anchor."""
    calls, inner = [], ParetoAttack.learn

    def recording(self, search, iteration, points, objective):
        inner(self, search, iteration, points, objective)
        state = search.extra
        named = {name: state[name].clone() for name in ("anchor", "scores", "direction", "rate")}
        calls.append({"index": search.index.clone(), "delta": search.delta.clone(), **named})

    monkeypatch.setattr(ParetoAttack, "learn", recording)
    return calls


def pair_slopes(victim, point, top, rest):
    """Gradients of all pairwise gaps of magnitudes at one point, of the explained class at it, by autograd, float64."""
    x = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    module = victim.module_.double()
    logit = module(x[None])[0].max()
    scores = torch.autograd.grad(logit, x, create_graph=True)[0].abs()
    rows = [torch.autograd.grad(s, x, retain_graph=True)[0] for s in scores]
    found = np.array([(rows[i] - rows[j]).numpy() for i in top for j in rest]), scores.detach().numpy()
    module.float()
    return found


def least_norm(pairs):
    gram, n = pairs @ pairs.T, len(pairs)
    found = minimize(
        lambda w: w @ gram @ w / 2, np.full(n, 1 / n), jac=lambda w: gram @ w, method="SLSQP", bounds=[(0, 1)] * n,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"maxiter": 300, "ftol": 1e-12},
    )  # fmt: skip
    return found.x @ pairs


def test_the_criticality_at_the_clean_input_is_the_least_norm_over_all_pairs(victim, X):
    X, k, epsilon = X[:4].astype(np.float32), 3, 0.7
    result = ParetoAttack(victim, k=k, epsilon=epsilon, max_iter=2).run(X)
    for row in range(len(X)):
        top, rest = sets(np.abs(victim.explain(X))[row], k)
        pairs, scores = pair_slopes(victim, X[row], top, rest)
        expected = epsilon * np.linalg.norm(least_norm(pairs / scores.mean()))
        assert result.criticality[row, 0] == pytest.approx(expected, rel=0.06, abs=1e-3)


def test_a_linear_gap_in_closed_form():
    """Two features, f quadratic: one pair, whose gap falls along a fixed slope to the edge of the ball."""
    matrix, slope = np.array([[0.5, 0.3], [0.3, -0.4]]), np.array([5.0, 3.0])
    victim, x, epsilon = quadratic_victim(matrix, slope, constant=100.0), np.zeros((1, 2), np.float32), 0.5
    result = ParetoAttack(victim, k=1, epsilon=epsilon, keep="last").run(x)
    change = (matrix[0] - matrix[1]) / slope.mean()
    np.testing.assert_allclose(result.criticality[0, 0], epsilon * np.linalg.norm(change), rtol=1e-4)
    np.testing.assert_allclose(result.X_adv[0], -epsilon * change / np.linalg.norm(change), rtol=1e-3)
    # there the ball itself forbids to go on
    last = result.first_critical[0]
    assert 1 < last <= result.n_iter
    assert result.criticality[0, last] <= 0.01
    assert np.isnan(result.criticality[0, last + 1 :]).all()


def test_every_step_that_is_taken_lowers_every_gap(victim, X, monkeypatch):
    calls = spy(monkeypatch)
    X = X.astype(np.float32)
    result = ParetoAttack(victim, k=3, epsilon=1.0, max_iter=30, keep="last").run(X)
    steps = 0
    for before, after in pairwise(calls):
        place = {int(r): p for p, r in enumerate(before["index"])}
        for p, row in enumerate(after["index"].tolist()):
            q = place[row]
            moved = not torch.equal(after["anchor"][p], before["anchor"][q])
            steps += moved
            if moved:
                top, rest = sets(np.abs(victim.explain(X))[row], 3)
                rise = (after["scores"][p] - before["scores"][q]).numpy()
                assert max(rise[i] - rise[j] for i in top for j in rest) < 0
            else:
                assert after["rate"][p] == before["rate"][q] / 2
    assert steps > 3 * len(X)
    np.testing.assert_array_equal(victim.predict(result.X_adv), victim.predict(X))


def test_rows_end_where_no_direction_lowers_all_gaps(victim, X):
    """At the last point all unit directions inwards are tried."""
    X = X[:6].astype(np.float32)
    attack = ParetoAttack(victim, k=3, epsilon=0.5, max_iter=200, keep="last", tolerance=0.01)
    result = attack.run(X)
    ended = result.first_critical <= result.n_iter
    assert ended.mean() > 0.5
    draws = np.random.default_rng(0).normal(size=(2000, 8))
    draws /= np.linalg.norm(draws, axis=1, keepdims=True)
    for row in np.flatnonzero(ended):
        delta = result.X_adv[row] - X[row]
        assert np.linalg.norm(delta) <= 0.5 * (1 + 1e-5)
        top, rest = sets(np.abs(victim.explain(X))[row], 3)
        pairs, _ = pair_slopes(victim, result.X_adv[row], top, rest)
        mean = np.abs(victim.explain(X))[row].mean()
        normal = delta / np.linalg.norm(delta) if np.linalg.norm(delta) > 0.4999 else np.zeros(8)
        feasible = draws[draws @ normal <= 0]
        assert 0.5 * (-(feasible @ pairs.T).max(axis=1)).max() / mean <= 0.01 * 1.1


def test_the_trace_of_a_row(victim, X):
    X = X.astype(np.float32)
    result = ParetoAttack(victim, k=3, epsilon=0.5, max_iter=40, keep="last").run(X)
    n = result.n_iter
    assert result.criticality.shape == (len(X), n)
    critical = result.first_critical <= n
    assert critical.any()
    for row in range(len(X)):
        trace, last = result.criticality[row], min(result.first_critical[row], n - 1)
        assert (trace[:last] > 0.01).all() or np.isnan(trace[:last]).any()
        if critical[row]:
            assert trace[result.first_critical[row]] <= 0.01
    # a looser tolerance ends no later
    loose = ParetoAttack(victim, k=3, epsilon=0.5, max_iter=40, keep="last", tolerance=0.1).run(X)
    assert (loose.first_critical <= result.first_critical).all()
    part = result.of_rows(np.array([3, 1]))
    np.testing.assert_array_equal(part.criticality, result.criticality[[3, 1]])
    np.testing.assert_array_equal(part.first_critical, result.first_critical[[3, 1]])
    assert isinstance(part, AttackResult)


def test_a_row_does_not_depend_on_the_rows_beside_it(victim, X):
    X = X.astype(np.float32)
    whole = ParetoAttack(victim, k=3, max_iter=8).run(X)
    parts = ParetoAttack(victim, k=3, max_iter=8, batch_size=9).run(X)
    np.testing.assert_allclose(parts.criticality, whole.criticality, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(parts.X_adv, whole.X_adv, atol=1e-4)


def test_a_network_without_curvature_is_critical_everywhere(X):
    victim = Victim(Quadratic(np.zeros((8, 8)), np.arange(1.0, 9.0), 100.0), Gradient("logit"))
    result = ParetoAttack(victim, k=3, max_iter=5).run(X)
    assert (result.first_critical == 0).all()
    assert (result.criticality[:, 0] == 0).all()
    assert (result.precision_at_k == 1).all()


def test_networks_with_relus_are_followed_on_a_smooth_copy(relu_victim, X):
    result = ParetoAttack(relu_victim, k=3, epsilon=1.0, max_iter=6).run(X)
    assert (result.criticality[:, 0] > 0.01).mean() > 0.5
    assert result.precision_at_k.mean() < 1
    np.testing.assert_array_equal(relu_victim.predict(result.X_adv), relu_victim.predict(X))


@pytest.mark.parametrize("norm", [2, "inf"])
def test_directions_that_do_not_leave_the_set(norm):
    """The projection to the cone: feasible, and nearer than every other feasible direction."""
    x, epsilon = np.full((1, 4), 0.5), 0.3
    threat = ThreatModel(epsilon, norm, scale=[1.0, 2.0, 1.0, 1.0], frozen=[3])
    space = threat.bind(x)
    at = np.array([0.2, -0.2, 0.1, 0.0])
    at = epsilon * at / np.linalg.norm(at) if norm == 2 else np.array([0.3, -0.3, 0.1, 0.0])
    delta = torch.tensor(at * np.array([1.0, 2.0, 1.0, 0.0]), dtype=torch.float32)[None]
    cone = _Cone(space, delta, torch.tensor(x, dtype=torch.float32))
    vectors = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    for v in vectors:
        found = cone(v[None])[0]
        other = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
        inside = torch.cat([cone(o[None]) for o in other])
        assert (found - v).norm() <= (inside - v).norm(dim=1).min() + 1e-6
        ends = at + 1e-4 * found.numpy()
        size = np.linalg.norm(ends) if norm == 2 else np.abs(ends[:3]).max()
        assert size <= epsilon + 1e-6


def test_the_box_is_a_part_of_the_cone():
    x = torch.tensor([[0.0, 1.0, 0.5]])
    cone = _Cone(ThreatModel(1.0, bounds=(0, 1)).bind(x.numpy()), torch.zeros(1, 3), x)
    torch.testing.assert_close(cone(torch.tensor([[-1.0, 1.0, 1.0]])), torch.tensor([[0.0, 0.0, 1.0]]))
    torch.testing.assert_close(cone(torch.tensor([[1.0, -1.0, -1.0]])), torch.tensor([[1.0, -1.0, -1.0]]))


@pytest.mark.parametrize("wrong", [{"tolerance": -1.0}, {"keep": "first"}])
def test_a_parameter_out_of_its_range_is_refused(victim, X, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ParetoAttack(victim, k=3, **wrong).run(X)
