import numpy as np
import pytest
import torch

from robustxai.attacks import MultiObjectiveAttack
from robustxai.attacks._multi_objective import margin, next_weights
from robustxai.perturbation import ThreatModel

from .conftest import Victim, objective, quadratic_victim, sets


def spy(monkeypatch, victim):
    """Every call of the hook: rows, points, and the weights before and after it."""
    calls, inner = [], MultiObjectiveAttack.scalarize

    def recording(self, search, values, logits):
        name = "multiplier" if self.weighting == "lagrangian" else "weights"
        before = search.extra.get(name)
        total = inner(self, search, values, logits)
        point = (search.x + search.delta).numpy()
        calls.append((search.index.numpy(), point, before, search.extra[name], values.detach(), total.detach()))
        return total

    monkeypatch.setattr(MultiObjectiveAttack, "scalarize", recording)
    return calls


def losses(victim, X, point, labels, k):
    """g0 and g1 of the docstring in float64, one row at a time."""
    clean, moved = np.abs(victim.explain(X, labels)).astype(float), np.abs(victim.explain(point, labels)).astype(float)
    p, q = victim.predict_proba(X), victim.predict_proba(point)
    rows = []
    for s, t, before, after in zip(clean, moved, p, q):
        top, rest = sets(s, k)
        gaps = [sum(v[i] - v[j] for i in top for j in rest) for v in (s, t)]
        rows.append((gaps[1] / gaps[0], np.sqrt(sum((before - after) ** 2))))
    return np.array(rows)


@pytest.mark.parametrize("k", [1, 3])
def test_the_explanation_loss_is_a_share_of_the_clean_gap(explained, k, ranking):
    clean, moved = explained
    values, _ = objective(MultiObjectiveAttack(), clean, moved, k, ranking)
    score = np.abs if ranking == "magnitude" else np.array
    for row in range(len(clean)):
        top, rest = sets(score(clean[row]), k)
        gaps = [sum(s[i] - s[j] for i in top for j in rest) for s in (score(clean[row]), score(moved[row]))]
        np.testing.assert_allclose(values[row], -gaps[1] / gaps[0], rtol=1e-12)
    unmoved, _ = objective(MultiObjectiveAttack(), clean, clean, k, ranking)
    np.testing.assert_allclose(unmoved, -1, rtol=1e-12)


@pytest.mark.parametrize("weighting", ["descent_ascent", "hedge"])
def test_the_weights_are_those_of_the_published_rules(weighting, victim, X, monkeypatch):
    X = X.astype(np.float32)
    calls = spy(monkeypatch, victim)
    MultiObjectiveAttack(victim, k=5, weighting=weighting, max_iter=8, threat=ThreatModel(epsilon=0.8)).run(X)
    labels = victim.predict(X)
    weights = np.full((len(X), 2), 0.5)
    assert len(calls) == 8
    for rows, point, _, after, values, total in calls:
        g = losses(victim, X[rows], point, labels[rows], 5)
        np.testing.assert_allclose(-values, g[:, 0], rtol=1e-4)
        np.testing.assert_allclose(total, -(weights[rows] * g).sum(axis=1), rtol=1e-4, atol=1e-5)
        for row, (g0, g1) in zip(rows, g):
            if weighting == "hedge":
                grown = weights[row] * np.exp([1e-4 * g0, 1e-4 * g1])
            else:
                grown = np.maximum([weights[row, 0] + g0, weights[row, 1] + 1e-4 * g1], 0)
            weights[row] = grown / (grown[0] + grown[1])
        np.testing.assert_allclose(after, weights[rows], rtol=1e-4, atol=1e-6)
    # what the docstring says of them
    if weighting == "hedge":
        np.testing.assert_allclose(weights, 0.5, atol=1e-3)
    else:
        assert (weights[:, 0] > 0.9).mean() > 0.5


@pytest.mark.parametrize("weighting", ["descent_ascent", "hedge"])
def test_the_weights_stay_in_the_simplex(weighting):
    """Also where the gap is negative, which it is once the sets have changed."""
    weights = torch.tensor([[0.5, 0.5], [0.1, 0.9], [1.0, 0.0]], dtype=torch.float64)
    for _ in range(20):
        weights = next_weights(weighting, weights, torch.tensor([[-3.0, 0.5], [2.0, 1.4], [-0.2, 0.0]]).double())
        assert (weights >= 0).all()
        assert np.isin(weights.sum(dim=1).numpy().round(12), [0.0, 1.0]).all()


def test_the_margin_is_that_to_the_strongest_other_class():
    logits = torch.tensor([[1.0, 4.0, 2.5], [3.0, 1.0, 7.0], [0.0, -1.0, -2.0]])
    np.testing.assert_allclose(margin(logits, torch.tensor([1, 0, 0])), [1.5, -4.0, 1.0])


@pytest.mark.parametrize("kappa", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["smooth", "relu"])
def test_the_multiplier_doubles_while_violated_and_halves_otherwise(kappa, kind, relu_victim, X, monkeypatch):
    victim = Victim() if kind == "smooth" else relu_victim
    X = X.astype(np.float32)
    calls = spy(monkeypatch, victim)
    MultiObjectiveAttack(victim, k=3, kappa=kappa, max_iter=15, threat=ThreatModel(epsilon=1.5)).run(X)
    classes, multiplier, both = victim.encode_target(X).numpy(), np.ones(len(X)), set()
    for rows, point, before, after, values, total in calls:
        logits = victim._logits(point).numpy().astype(float)
        own = logits[np.arange(len(rows)), classes[rows]]
        room = own - logits[np.arange(len(rows)), 1 - classes[rows]]
        if before is not None:
            np.testing.assert_array_equal(before, multiplier[rows])
        if kind == "smooth":  # the surrogate has logits of its own
            hinge = np.maximum(0, kappa - room)
            np.testing.assert_allclose(total, values.numpy() - multiplier[rows] * hinge, rtol=1e-4, atol=1e-4)
        clear = np.abs(room - kappa) > 1e-5
        for row, violated, sure, now in zip(rows, room < kappa, clear, after.numpy()):
            if sure:
                assert now == np.clip(multiplier[row] * (2 if violated else 0.5), 2.0**-10, 2.0**30)
                both.add(bool(violated))
            multiplier[row] = now
    assert both == {True, False}


@pytest.mark.parametrize("weighting", ["lagrangian", "descent_ascent", "hedge"])
def test_the_result_keeps_the_prediction_whatever_the_weights(weighting, victim, X):
    """And the Lagrangian leads back to it by itself."""
    result = MultiObjectiveAttack(victim, k=3, weighting=weighting, threat=ThreatModel(epsilon=2.0)).run(X)
    np.testing.assert_array_equal(victim.predict(result.X_adv), victim.predict(X))
    assert result.precision_at_k.mean() < 1


def test_the_lagrangian_enforces_what_the_others_do_not(monkeypatch):
    """The gap falls where the prediction changes; small logits, whose probabilities hardly move."""
    matrix = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.5], [0.0, 0.5, 0.2]])
    victim = quadratic_victim(matrix / 10, np.array([0.5, 0.6, -0.55]) / 10, constant=0.002)
    X, outside = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32), {}
    X = X[np.abs(victim._logits(X)[:, 1].numpy()) < 0.08]
    for weighting in ("lagrangian", "descent_ascent", "hedge"):
        with monkeypatch.context() as patch:
            calls = spy(patch, victim)
            # k=2: one of the two always stays, so that all rows are seen to the end
            attack = MultiObjectiveAttack(victim, k=2, weighting=weighting, kappa=0.02, max_iter=60)
            attack.set_params(threat=ThreatModel(epsilon=1.0)).run(X)
        late = [victim.predict(point) != victim.predict(X)[rows] for rows, point, *_ in calls[30:]]
        outside[weighting] = np.concatenate(late).mean()
    assert outside["lagrangian"] < 0.02
    assert min(outside["descent_ascent"], outside["hedge"]) > 0.05


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"weighting": "lagrange"}, ValueError, "Did you mean 'lagrangian'"),
        ({"kappa": -1.0}, ValueError, "kappa must be a finite number >= 0"),
        ({"kappa": "large"}, TypeError, "kappa must be a number"),
    ],
)
def test_a_parameter_out_of_its_range_is_refused(victim, X, parameters, error, message):
    with pytest.raises(error, match=message):
        MultiObjectiveAttack(victim, k=3, **parameters).run(X)
