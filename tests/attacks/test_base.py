"""What every attack does: the loop, its promises, and its refusals."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from robustxai import VanillaClassifier
from robustxai.attacks import (
    AutoExplanationAttack,
    BaseAttack,
    BoundaryMarginAttack,
    ERAttack,
    MSEAttack,
    NESAttack,
    ParetoAttack,
    RandomAttack,
    SoftOverlapAttack,
)
from robustxai.attacks import _base as base
from robustxai.attacks import _gradient as gradient
from robustxai.exceptions import EvaluationWarning
from robustxai.metrics import first_flip_iteration, precision_at_k
from robustxai.perturbation import ThreatModel

from .conftest import (
    CHEAP,
    OVERLAP_ATTACKS,
    Recorder,
    Strict,
    Victim,
    every_attack,
    every_gradient_attack,
    every_overlap_attack,
    quadratic_victim,
)

EPS = np.finfo(np.float32).eps


# ------------------------------------------------------------------------------------------------ promises


@st.composite
def threats(draw, X):
    d = X.shape[1]
    frozen = draw(st.lists(st.integers(0, d - 1), unique=True, max_size=d))
    scale = draw(st.sampled_from([None, 2.0, np.linspace(0.25, 3, d)]))
    box = draw(st.sampled_from([None, "wide", "tight"]))
    bounds = {
        None: None,
        "wide": (X.min() - 1, X.max() + 1),
        "tight": (X.min(axis=0), X.max(axis=0) + np.linspace(0, 0.3, d)),
    }[box]
    epsilon = draw(st.sampled_from([0.03, 0.5, 2.0]))
    return ThreatModel(epsilon, norm=draw(st.sampled_from([2, "inf"])), bounds=bounds, frozen=frozen, scale=scale)


@every_attack
@settings(deadline=None, max_examples=7, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_promise_about_the_result(attack, victim, data):
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    X = np.random.default_rng(data.draw(st.integers(0, 100))).normal(size=(7, 6)).astype(dtype)
    threat, k = data.draw(threats(X)), data.draw(st.integers(1, 5))
    ranking = data.draw(st.sampled_from(["magnitude", "signed"]))
    before = X.copy()
    result = attack(victim, k=k, threat=threat, ranking=ranking, max_iter=4, **CHEAP.get(attack, {})).run(X)

    np.testing.assert_array_equal(X, before)
    X_adv = result.X_adv
    assert X_adv.dtype == dtype
    np.testing.assert_array_equal(X_adv[:, threat.frozen], X[:, threat.frozen])
    if threat.bounds is not None:
        low, high = (np.broadcast_to(side, X.shape).astype(dtype) for side in threat.bounds)
        assert ((low <= X_adv) & (X_adv <= high)).all()
    unit = np.ones(6) * (1.0 if threat.scale is None else threat.scale)
    steps = (X_adv.astype(float) - X) / unit
    length = np.linalg.norm(steps, ord=2 if threat.norm == 2 else np.inf, axis=1)
    rounding = np.linalg.norm(np.finfo(dtype).eps * np.maximum(np.abs(X), np.abs(X_adv)) / unit, axis=1)
    assert (length <= threat.epsilon * (1 + 8 * EPS) + rounding).all()

    labels = victim.predict(X)
    np.testing.assert_array_equal(victim.predict(X_adv), labels)
    clean, attacked = victim.explain(X, labels), victim.explain(X_adv, labels)
    np.testing.assert_array_equal(result.attribution, clean)
    np.testing.assert_array_equal(result.attribution_adv, attacked)
    np.testing.assert_array_equal(result.precision_at_k, precision_at_k(clean, attacked, k, ranking=ranking))
    # what has changed at the end has changed at some iteration
    assert ((result.precision_at_k == 1) | (result.first_flip <= 4)).all()
    assert ((result.first_flip >= 1) & (result.first_flip <= 5)).all()
    assert result.n_iter == 4
    # and what comes out may go in again
    threat.bind(X_adv)


@every_attack
def test_epsilon_zero_returns_the_input(attack, victim, X):
    result = attack(victim, k=3, threat=ThreatModel(epsilon=0.0), max_iter=9).run(X)
    np.testing.assert_array_equal(result.X_adv, X)
    assert not np.shares_memory(result.X_adv, X)
    np.testing.assert_array_equal(result.precision_at_k, 1.0)
    np.testing.assert_array_equal(result.first_flip, 10)


@every_attack
def test_all_features_frozen_returns_the_input(attack, victim, X):
    result = attack(victim, k=3, threat=ThreatModel(frozen=range(8)), max_iter=5).run(X)
    np.testing.assert_array_equal(result.X_adv, X)
    np.testing.assert_array_equal(result.first_flip, 6)


@every_attack
def test_images_are_attacked_in_their_shape(attack):
    images = np.random.default_rng(0).normal(size=(5, 3, 4, 4)).astype(np.float32)

    class Flat(torch.nn.Module):
        def forward(self, x):
            return Victim().module_(x.flatten(start_dim=1))

    victim = Victim(Flat())
    result = attack(victim, k=6, max_iter=6, threat=ThreatModel(epsilon=2.0), **CHEAP.get(attack, {})).run(images)
    assert result.X_adv.shape == images.shape
    assert (result.precision_at_k < 1).any()
    np.testing.assert_array_equal(
        result.precision_at_k, precision_at_k(victim.explain(images), victim.explain(result.X_adv), 6)
    )


# ------------------------------------------------------------------------------------------------ randomness


@every_attack
def test_the_same_random_state_gives_the_same_result_and_global_generators_rest(attack, victim, X):
    numpy_global = np.random.mtrand._rand  # the one that random_state=None draws from, as in scikit-learn
    before = numpy_global.get_state(legacy=False), torch.get_rng_state()
    options = {"k": 3, "max_iter": 5, **CHEAP.get(attack, {})}
    first, again = (attack(victim, random_state=3, **options).run(X) for _ in range(2))
    np.testing.assert_equal(numpy_global.get_state(legacy=False), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    attack(victim, random_state=None, **options).run(X)
    assert torch.equal(torch.get_rng_state(), before[1])
    np.testing.assert_array_equal(first.X_adv, again.X_adv)
    np.testing.assert_array_equal(first.first_flip, again.first_flip)


@every_attack
@pytest.mark.parametrize("seed", [0, np.random.RandomState], ids=["int", "RandomState"])
def test_a_row_does_not_depend_on_the_rows_beside_it(attack, victim, X, seed):
    def run(rows, batch_size=1024):
        random_state = seed if isinstance(seed, int) else seed(0)
        options = {"k": 3, "max_iter": 5, "batch_size": batch_size, **(CHEAP[attack] if attack is NESAttack else {})}
        return attack(victim, random_state=random_state, **options).run(rows)

    X = X[:7]
    # the sigmoid of SoftOverlapAttack is rounded by its place in the array: the last digit of a step
    slack = 8 * EPS if attack is SoftOverlapAttack else 0.0
    whole = run(X)
    assert (whole.precision_at_k < 1).any()
    for part in (run(X, batch_size=1), run(X, batch_size=4)):
        np.testing.assert_allclose(part.X_adv, whole.X_adv, rtol=0, atol=slack)
        np.testing.assert_array_equal(part.first_flip, whole.first_flip)
    order = np.random.default_rng(1).permutation(len(X))[:6]
    np.testing.assert_allclose(run(X[order]).X_adv, whole.X_adv[order], rtol=0, atol=slack)


# ------------------------------------------------------------------------------------------------ the loop


@every_overlap_attack
@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize("kind", ["smooth", "relu"])
def test_first_flip_and_best_iterate_are_those_of_the_trajectory(attack, ranking, kind, relu_victim, monkeypatch):
    victim, epsilon = (Victim(), 0.5) if kind == "smooth" else (relu_victim, 0.2)
    X = np.random.default_rng(5).normal(size=(40, 8)).astype(np.float32)
    recorder = Recorder(monkeypatch, X)
    options = {"threat": ThreatModel(epsilon=epsilon), "max_iter": 8, **CHEAP.get(attack, {})}
    result = attack(victim, k=3, ranking=ranking, **options).run(X)
    labels, clean = victim.predict(X), victim.explain(X)
    trajectory, reached = [], [np.ones(len(X))]
    for point in recorder.points:
        kept = victim.predict(point) == labels
        attribution = np.where(kept[:, None], victim.explain(point, labels), clean)
        trajectory.append(attribution)
        reached.append(precision_at_k(clean, attribution, 3, ranking=ranking))
    while len(trajectory) < 8:  # all rows had left
        trajectory.append(clean)
    expected = first_flip_iteration(trajectory, clean, 3, ranking=ranking)
    np.testing.assert_array_equal(result.first_flip, expected)
    np.testing.assert_array_equal(result.precision_at_k, np.min(reached, axis=0))
    assert (expected == 9).any()
    assert (expected < 9).any()


@every_overlap_attack
def test_a_row_whose_top_set_is_gone_leaves_the_batch(attack, monkeypatch):
    """k=1: the first flip is the end."""
    if attack is ParetoAttack:
        pytest.skip("its rows also end where no direction lowers all gaps")
    X = np.random.default_rng(5).normal(size=(40, 8)).astype(np.float32)
    searched = []
    observe = base.observe

    def counting(module, explainer, points, *rest):
        searched.append(len(points))
        return observe(module, explainer, points, *rest)

    monkeypatch.setattr(base, "observe", counting)
    options = {"threat": ThreatModel(epsilon=1.0), "max_iter": 10, **CHEAP.get(attack, {})}
    result = attack(Victim(), k=1, **options).run(X)
    # one look at the clean rows; a row is looked at until its first flip; the loop ends when no row is left
    expected = [40] + [int((result.first_flip >= i).sum()) for i in range(1, 11)]
    assert searched == [n for n in expected if n]
    assert min(searched) < 40


@every_gradient_attack
def test_a_step_that_changes_the_prediction_is_undone_and_halved(attack):
    """Beside the decision boundary half of all directions are forbidden; the attack must still get somewhere."""
    matrix = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.5], [0.0, 0.5, 0.2]])
    victim = quadratic_victim(matrix, [0.5, 0.6, -0.55], constant=0.02)
    X = np.zeros((1, 3))
    # a distance is stationary at x, and grows fastest where it keeps the prediction: start elsewhere
    options = {"random_start": True} if attack is MSEAttack else {}
    result = attack(victim, k=1, threat=ThreatModel(epsilon=1.0), max_iter=40, **options).run(X)
    assert victim.predict(result.X_adv) == victim.predict(X)
    assert result.precision_at_k == 0


def test_the_gradient_steps_follow_the_schedule(victim, X, monkeypatch):
    """Against a naive version in float64: pairs in loops, one row at a time."""
    d, k, epsilon, n_iter, momentum = X.shape[1], 3, 0.2, 6, 0.75
    X = X[np.abs(victim._logits(X)[:, 1].numpy()) > 1.5].astype(np.float32)
    assert len(X) > 5  # and far from the decision boundary, so that no step is undone
    recorder = Recorder(monkeypatch, X)
    ERAttack(victim, k=k, threat=ThreatModel(epsilon=epsilon), max_iter=n_iter, momentum=momentum).run(X)
    assert len(recorder.deltas) == n_iter

    for row, x in enumerate(torch.tensor(X, dtype=torch.float64)):
        label = int(victim.encode_target(X[[row]]))

        def explain(point, label=label):
            return torch.autograd.grad(victim.module_(point[None])[0, label], point, create_graph=True)[0].abs()

        top = explain(x.clone().requires_grad_()).argsort(descending=True)[:k].tolist()
        delta, velocity = torch.zeros(2, d, dtype=torch.float64)
        for t in range(1, n_iter + 1):
            point = (x + delta).requires_grad_()
            scores = explain(point)
            objective = -sum(scores[i] - scores[j] for i in top for j in range(d) if j not in top)
            (gradient,) = torch.autograd.grad(objective, point)
            velocity = momentum * velocity + gradient / gradient.norm()
            length = epsilon if t == 1 else epsilon * (0.3 * (1 - t / n_iter) + 0.01)
            delta = delta + length * velocity / velocity.norm()
            delta = delta * min(1.0, epsilon / float(delta.norm()))
            np.testing.assert_allclose(recorder.deltas[t - 1][row].numpy(), delta.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("step_size", [0.01, 0.05])
def test_a_constant_step_size_walks_outwards_in_equal_steps(victim, X, monkeypatch, step_size):
    X = X[np.abs(victim._logits(X)[:, 1].numpy()) > 1.5].astype(np.float32)
    recorder = Recorder(monkeypatch, X)
    ERAttack(victim, k=3, threat=ThreatModel(epsilon=0.2), max_iter=10, step_size=step_size, momentum=0.0).run(X)
    path = torch.stack([torch.zeros_like(recorder.X), *recorder.deltas])
    walked = path.diff(dim=0).norm(dim=2).numpy()
    inside = path[1:].norm(dim=2).numpy() < 0.2 * (1 - 1e-5)
    np.testing.assert_allclose(walked[inside], step_size, rtol=1e-5)
    assert inside[:3].all()
    assert inside.all() == (step_size == 0.01)


# ------------------------------------------------------------------------------------------------ ReLU


@pytest.mark.parametrize("attack", [a for a in OVERLAP_ATTACKS if a not in (RandomAttack, NESAttack)])
def test_the_surrogate_finds_what_the_gradient_of_a_relu_network_hides(attack, relu_victim, X, monkeypatch):
    options = {"k": 3, "threat": ThreatModel(epsilon=0.5), "max_iter": 10}
    floor = RandomAttack(relu_victim, **options).run(X)
    assert floor.precision_at_k.mean() < 1
    result = attack(relu_victim, **options).run(X)
    assert (result.X_adv != X).any(axis=1).all()
    monkeypatch.setattr(base, "has_piecewise_linear", lambda module: False)
    with pytest.warns(EvaluationWarning, match="no derivative, or one that only rescales it"):
        blind = attack(relu_victim, **options).run(X)
    assert result.precision_at_k.mean() < blind.precision_at_k.mean()


def test_beta_grows_from_5_to_50_by_a_constant_factor(relu_victim, X, monkeypatch):
    betas = []
    set_beta = gradient.set_beta
    monkeypatch.setattr(gradient, "set_beta", lambda module, beta: (betas.append(beta), set_beta(module, beta)))
    BoundaryMarginAttack(relu_victim, k=3, max_iter=10, threat=ThreatModel(epsilon=0.01)).run(X)
    np.testing.assert_allclose(betas, np.geomspace(5, 50, 10), rtol=1e-12)


def test_a_smooth_network_is_attacked_itself(victim, X, monkeypatch):
    def forbidden(*args):
        raise AssertionError("no surrogate is needed")

    monkeypatch.setattr(base, "softplus_surrogate", forbidden)
    assert ERAttack(victim, k=3, max_iter=3).run(X).precision_at_k.mean() < 1


@every_attack
def test_the_victim_is_left_as_it_was(attack, relu_victim, X):
    module = relu_victim.module_
    before = copy.deepcopy(module.state_dict())
    layers = [(type(m), m.training) for m in module.modules()]
    attack(relu_victim, k=3, max_iter=4, **CHEAP.get(attack, {})).run(X)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert [(type(m), m.training) for m in module.modules()] == layers
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


def test_the_number_of_threads_is_restored(victim, X):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        RandomAttack(victim, k=3, max_iter=2).run(X)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# ------------------------------------------------------------------------------------------------ real network


@pytest.fixture(scope="module")
def on_real_data(vanilla, cancer):
    X = cancer[1][:100]
    threat = ThreatModel(epsilon=0.3, bounds=(0, 1))
    attacks = ERAttack, MSEAttack, BoundaryMarginAttack, SoftOverlapAttack, RandomAttack
    return {a: a(vanilla, threat=threat, max_iter=40).run(X) for a in attacks}


@pytest.mark.parametrize("strong", [BoundaryMarginAttack, SoftOverlapAttack])
@pytest.mark.parametrize("weak", [ERAttack, MSEAttack, RandomAttack])
def test_strong_attacks_are_not_weaker_on_a_trained_network(on_real_data, strong, weak):
    assert on_real_data[strong].precision_at_k.mean() <= on_real_data[weak].precision_at_k.mean() < 1


def test_no_prediction_of_a_trained_network_changes(on_real_data, vanilla, cancer):
    X = cancer[1][:100]
    for result in on_real_data.values():
        np.testing.assert_array_equal(vanilla.predict(result.X_adv), vanilla.predict(X))
        assert ((result.X_adv >= 0) & (result.X_adv <= 1)).all()


# ------------------------------------------------------------------------------------------------ constant explanations


class Constant(torch.nn.Module):
    """A linear logit on two of the features; all others have an explanation of exactly 0."""

    def forward(self, x):
        score = 3 * x[:, 0] - 2 * x[:, 1]
        return torch.stack([-score, score], dim=1)


@every_attack
def test_the_constant_explanation_of_a_linear_logit_cannot_be_moved(attack, X):
    result = attack(Victim(Constant()), k=2, max_iter=5).run(X)
    np.testing.assert_array_equal(result.precision_at_k, 1)
    np.testing.assert_array_equal(result.first_flip, 6)
    np.testing.assert_array_equal(result.attribution, result.attribution_adv)
    assert np.isfinite(result.X_adv).all()


@every_attack
def test_a_tie_is_no_flip(attack, X):
    """Six units share the score 0, so that the third and fourth of the top set are among equals."""
    result = attack(Victim(Constant()), k=4, max_iter=5).run(np.hstack([X] * 4))
    np.testing.assert_array_equal(result.precision_at_k, 1)
    np.testing.assert_array_equal(result.first_flip, 6)


@every_attack
def test_an_explanation_of_zeros_gives_no_nan(attack, X):
    class Dead(torch.nn.Module):
        def forward(self, x):
            return (x[:, :1] - 100).relu() * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])

    with pytest.warns(EvaluationWarning, match=f"{len(X)} of {len(X)} rows have an explanation of zeros"):
        result = attack(Victim(Dead()), k=3, max_iter=5).run(X)
    np.testing.assert_array_equal(result.precision_at_k, 1)
    assert np.isfinite(result.X_adv).all()


# ------------------------------------------------------------------------------------------------ bad input


@every_attack
@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"k": 0}, ValueError, "k must be a finite number >= 1"),
        ({"k": 2.5}, TypeError, "k must be an integer"),
        ({"ranking": "magnitudes"}, ValueError, "Did you mean 'magnitude'"),
        ({"max_iter": 0}, ValueError, "max_iter must be a finite number >= 1"),
        ({"max_iter": 1.5}, TypeError, "max_iter must be an integer"),
        ({"batch_size": 0}, ValueError, "batch_size must be a finite number >= 1"),
        (
            {"threat": 0.5},
            TypeError,
            r"threat must be a ThreatModel, for instance ThreatModel\(epsilon=0.5\), or a TableThreat, got 0.5",
        ),
    ],
)
def test_a_parameter_out_of_its_range_is_refused(attack, victim, X, parameters, error, message):
    for use in ("run", "fit", "fit_transform"):
        with pytest.raises(error, match=message):
            getattr(attack(victim, **parameters), use)(X)


@every_gradient_attack
@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"momentum": -0.1}, ValueError, "momentum must be a finite number >= 0"),
        ({"step_size": 0}, ValueError, "step_size must be a finite number > 0"),
        ({"step_size": "big"}, TypeError, "step_size must be a number"),
        ({"keep": "first"}, ValueError, "keep='first' is not known"),
    ],
)
def test_a_parameter_of_the_steps_out_of_its_range_is_refused(attack, victim, X, parameters, error, message):
    with pytest.raises(error, match=message):
        attack(victim, **parameters).run(X)


@every_attack
def test_a_victim_is_needed_and_must_be_fitted(attack, X):
    name = attack.__name__
    with pytest.raises(ValueError, match=rf"{name} has no estimator to attack: pass .* {name}\(clf\)"):
        attack().run(X)
    for unfitted in (VanillaClassifier(), Victim(fitted=False)):
        with pytest.raises(NotFittedError, match=rf"{type(unfitted).__name__} under attack is not fitted yet: call"):
            attack(unfitted).run(X)
    with pytest.raises(NotFittedError):
        attack(Victim()).transform(X)


@every_attack
def test_k_not_below_the_number_of_features_is_clipped_with_a_warning(attack, victim, X):
    options = {"max_iter": 3, **CHEAP.get(attack, {})}
    clipped = attack(victim, k=8, **options)
    with pytest.warns(UserWarning, match=r"k=8 is not smaller than the number of ranked features \(8\); using k=7"):
        result = clipped.run(X)
    assert clipped.k_ == 7
    np.testing.assert_array_equal(result.X_adv, attack(victim, k=7, **options).run(X).X_adv)


@every_attack
def test_data_that_cannot_be_attacked_is_refused(attack, victim, X):
    fitted = attack(victim, k=3).fit(X)
    hole = X.copy()
    hole[2, 1] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        fitted.run(hole)
    hole[2, 1] = np.inf
    with pytest.raises(ValueError, match="contains infinity"):
        fitted.transform(hole)
    with pytest.raises(ValueError, match=r"X has 7 features, but .* is expecting 8 features"):
        fitted.transform(X[:, :7])
    with pytest.raises(ValueError, match=r"rows lie outside the bounds.*Clip X"):
        attack(victim, k=3, threat=ThreatModel(bounds=(0, 1))).run(X)
    with pytest.raises(ValueError, match=r"'agee' is not in the data\. Did you mean 'age'"):
        attack(victim, k=1, threat=ThreatModel(frozen=["agee"])).run(pd.DataFrame(X[:, :2], columns=["age", "b"]))


@every_attack
def test_the_number_of_features_of_the_victim_counts(attack, X):
    with pytest.raises(ValueError, match="X has 7 features, but Strict is expecting 8 features"):
        attack(Strict().fit(X), k=3).run(X[:, :7])


@pytest.fixture(scope="module")
def with_names():
    X = np.random.default_rng(0).normal(size=(24, 8))
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    network = VanillaClassifier(max_epochs=1, module__hidden=(4,)).fit(frame, X[:, 0] > 0)
    return frame, (Strict().fit(frame), network)


@every_attack
def test_a_victim_that_knows_feature_names_gets_them(attack, with_names):
    frame, victims = with_names
    for victim in victims:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = attack(victim, k=3, max_iter=2, **CHEAP.get(attack, {})).run(frame)
        assert list(result.X_adv.columns) == list(frame.columns)


def test_a_misspelt_parameter_is_refused(victim):
    with pytest.raises(TypeError, match="epsilom"):
        ERAttack(victim, epsilom=0.5)
    with pytest.raises(ValueError, match="Invalid parameter 'epsilom'"):
        ERAttack(victim).set_params(epsilom=0.5)


@pytest.mark.parametrize("kind", [ERAttack, AutoExplanationAttack, NESAttack, RandomAttack])
def test_radius_and_norm_are_a_shorthand_for_a_threat_model(kind, victim, X):
    short = kind(victim, epsilon=0.3, norm="inf")
    whole = kind(victim, threat=ThreatModel(0.3, norm=np.inf))
    assert short.resolved_threat() == whole.resolved_threat()
    assert clone(short).get_params()["epsilon"] == 0.3
    replaced = clone(short).set_params(threat=ThreatModel(0.1))
    assert replaced.resolved_threat() == ThreatModel(0.1)
    assert clone(whole).set_params(epsilon=0.3, norm=np.inf).resolved_threat() == whole.resolved_threat()
    with pytest.raises(ValueError, match="contradicts threat"):
        clone(whole).set_params(epsilon=0.2).fit(X)


def test_an_attack_by_its_shorthand_is_the_attack_by_its_threat_model(victim, X):
    short = ERAttack(victim, k=3, epsilon=0.4, norm="inf", max_iter=5).run(X)
    whole = ERAttack(victim, k=3, threat=ThreatModel(0.4, norm="inf"), max_iter=5).run(X)
    np.testing.assert_array_equal(short.X_adv, whole.X_adv)


def test_a_new_attack_needs_one_hook(victim, X):
    """What docs/extending.md promises: propose, and the rest is inherited."""

    class Corner(BaseAttack):
        def propose(self, search, iteration):
            return torch.full_like(search.x, (-1.0) ** iteration)

    result = clone(Corner(victim, k=3, max_iter=2, threat=ThreatModel(0.5, norm="inf"))).run(X)
    moved = np.abs(result.X_adv - X)
    np.testing.assert_allclose(moved[moved.any(axis=1)], 0.5, rtol=1e-6)
    assert (result.precision_at_k < 1).any()
