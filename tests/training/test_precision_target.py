"""The controller of a weight, the rows that it sees, and the landing."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from skorch.history import History
from torch import nn

from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import AdversarialHinge, ExplainedBatch
from robustxai.perturbation import ThreatModel
from robustxai.ranking import top_k_indices, unit_scores
from robustxai.training import PrecisionController, Term, goal_of, held_out_for_target
from robustxai.training._precision_target import _land

ROWS = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
THREAT = ThreatModel(0.5)


def controller(**options):
    return PrecisionController(**{"X": ROWS, "k": 2, "goal": 0.9, "threat": THREAT, "explainer": Gradient(), **options})


@pytest.mark.parametrize("n", [100, 3000, 20_000])
def test_rows_are_learned_from_or_held_out(n):
    codes = np.random.default_rng(1).choice(3, size=n, p=[0.7, 0.2, 0.1])
    learned, controlled, measured = rows = held_out_for_target(codes)
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(n))
    held = np.concatenate([controlled, measured])
    assert len(held) == min(sum(len(np.flatnonzero(codes == c)[2::5]) for c in range(3)), 1256)
    assert len(controlled) == min(len(held) // 5, 256)
    shares = [np.bincount(codes[part], minlength=3) / len(part) for part in (held, learned)]
    np.testing.assert_allclose(*shares, atol=4 / len(held) ** 0.5 if n > 10_000 else 0.06)
    assert all(np.array_equal(*pair) for pair in zip(rows, held_out_for_target(codes)))


@pytest.mark.parametrize(("target", "goal"), [(0.5, 0.52), (0.95, 0.97), (0.98, 0.99)])
def test_the_goal_is_a_little_above_the_target(target, goal):
    assert goal_of(target) == pytest.approx(goal)


def test_the_weight_follows_the_law():
    """One weight after the other, by a loop."""
    measured = [0.2, 0.95, 0.88, 1.0, 0.9, 0.5] + [0.0] * 40 + [1.0] * 60
    control = controller(n_updates=len(measured))
    weights = []
    net = SimpleNamespace(max_epochs=len(measured), batch_size=10, reweigh=lambda name, w: weights.append((name, w)))
    control.measure = lambda net: measured[len(weights) - 1]
    control.on_train_begin(net)
    for _ in measured:
        control.on_epoch_begin(net, dataset_train=range(30))  # three steps, one measurement
        for _ in range(3):
            control.on_batch_begin(net, training=True)
        control.on_batch_begin(net, training=False)
    log, expected = math.log(0.1), [("gap", 0.1)]
    for p in measured:
        e = max(-1.0, min(1.0, (0.9 - p) / 0.1))
        log = max(math.log(1e-3), min(math.log(30), log + 0.4 * e))
        expected.append(("gap", pytest.approx(math.exp(log + 0.5 * e))))
    assert weights == expected
    assert control.precision_ == measured[-1]


def test_the_measure_is_the_lowest_overlap_of_its_attacks():
    torch.manual_seed(0)
    module = MLP(4, 2, (8,), activation="softplus", beta=3.0)
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(3)
    net = SimpleNamespace(module_=module.train(), device="cpu")
    found = [controller(threat=ThreatModel(epsilon)).measure(net) for epsilon in (1e-6, 0.3, 1.0)]
    assert found[0] == 1.0
    assert found[0] > found[1] > found[2]
    assert module.training
    strong = controller(threat=ThreatModel(0.3)).measure(net, strong=True)
    assert strong <= found[1]
    assert controller(threat=ThreatModel(0.3)).measure(net, strong=True) == strong
    # the attack of the penalty alone keeps at least as much
    x = torch.tensor(ROWS, requires_grad=True)
    batch = ExplainedBatch(module, x, Gradient(), generator=torch.Generator().manual_seed(0))
    points = AdversarialHinge(2, threat=ThreatModel(0.3), max_iter=15).worst(batch)
    top = [
        top_k_indices(unit_scores(Gradient()(module, p, batch.target)), 2)
        for p in (x, points.detach().requires_grad_())
    ]
    overlap = np.mean([len(set(a.tolist()) & set(b.tolist())) / 2 for a, b in zip(*top)])
    assert strong <= overlap + 0.05


def test_a_linear_network_cannot_be_moved():
    net = SimpleNamespace(module_=nn.Linear(4, 2), device="cpu")
    assert controller().measure(net, strong=True) == 1.0


def test_a_weight_changes_within_an_epoch(make_net, data):
    class Raise(Callback):
        def on_batch_begin(self, net, batch=None, training=False, **kwargs):
            if training:
                self.step = getattr(self, "step", 0) + 1
                net.reweigh("size", float(self.step))

    def size(batch):
        return batch.logits.square().sum(dim=-1)

    X, y = data
    net = make_net(
        terms=[Term("size", 1.0, size)], lr=1e-30, max_epochs=1, batch_size=25, callbacks=[("raise", Raise())],
        callbacks__lr_schedule=None, iterator_train__shuffle=False,
    ).fit(X, y)  # fmt: skip
    halves = [net.module_(torch.tensor(X[part])).detach() for part in (slice(0, 25), slice(25, 50))]
    sizes = [float(z.square().sum(dim=-1).mean()) for z in halves]
    losses = [float(nn.functional.cross_entropy(z, torch.tensor(c))) for z, c in zip(halves, (y[:25], y[25:]))]
    expected = (losses[0] + sizes[0] + losses[1] + 2 * sizes[1]) / 2
    assert net.history[0]["train_loss"] == pytest.approx(expected, rel=1e-5)
    assert net.terms[0].weight == 2.0


@pytest.mark.parametrize(
    ("measured", "losses", "kept", "rounds"),
    [
        ([0.95], [1.0], 0, 0),
        ([0.8, 0.85, 0.95], [1.0, 1.001, 1.005], 2, 2),
        ([0.8, 0.85, 0.83, 0.84], [1.0] * 4, 1, 3),
        ([0.8, 0.85, 0.95], [1.0, 1.005, 1.02], 1, 2),
        ([0.8, 0.95], [1.0, 1.02], 0, 1),
    ],
)
def test_the_landing_keeps_the_best_that_costs_little(measured, losses, kept, rounds):
    module = nn.Linear(1, 2)
    history = History()
    history.new_epoch()
    history.record("valid_loss", losses[0])
    calls = []

    def fit_loop(X, y, epochs):
        calls.append(epochs)
        with torch.no_grad():
            module.bias.fill_(len(calls))
        history.new_epoch()
        history.record("valid_loss", losses[len(calls)])

    with torch.no_grad():
        module.bias.fill_(0)
    net = SimpleNamespace(
        module_=module, history=history, fit_loop=fit_loop, callbacks_=[("lr_schedule", 1), ("other", 2)],
        optimizer_=SimpleNamespace(param_groups=[{"lr": 1e-9, "initial_lr": 0.01}]), max_epochs=9,
    )  # fmt: skip
    weights = []
    net.reweigh = lambda name, weight: weights.append(weight)
    control = controller()
    control.weight_ = 0.3
    control.measure = lambda net, strong: measured[len(calls)]
    _land(net, None, None, control, n_batches=100)
    assert float(module.bias[0]) == kept
    assert control.precision_ == measured[kept]
    assert weights == [pytest.approx(0.3 * 2 ** (i + 1)) for i in range(rounds)]
    assert calls == [3] * rounds
    assert net.optimizer_.param_groups[0]["lr"] == pytest.approx(0.004)
    assert net.max_epochs == 1 + rounds
