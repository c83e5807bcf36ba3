import copy
import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping, EpochScoring
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader

from robustxai._random import RandomStreams
from robustxai.exceptions import DivergedError
from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import EstimatedHessian, ExplainedBatch, RankingGap
from robustxai.training import GapAdversary, LossAdversary, ObjectiveNet, OneCycle, Term


@pytest.fixture
def terms():
    return [Term("gap", 0.2, RankingGap(2)), Term("hessian", 0.7, EstimatedHessian())]


def test_one_epoch_equals_a_loop_written_by_hand(make_net, data, terms):
    X, y = data[0].astype(np.float64), data[1]  # the Hessian's quotient shows the rounding of float32
    net = make_net(terms=terms, max_epochs=2, optimizer__weight_decay=0.01)
    torch.manual_seed(1)
    net.initialize()
    net.module_.double()
    net.partial_fit(X, y)

    torch.manual_seed(1)
    module = MLP(4, 2, (5,)).double()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01, weight_decay=0.01)
    history, n_steps, step = [], 2 * 4, 0
    for _ in range(2):
        sums = {"cross_entropy": 0.0, "gap": 0.0, "hessian": 0.0}
        for rows in torch.randperm(50).split(16):
            optimizer.param_groups[0]["lr"] = 0.01 * OneCycle().factor(step / (n_steps - 1))
            x, target = torch.as_tensor(X)[rows].requires_grad_(), torch.as_tensor(y)[rows]
            batch = ExplainedBatch(module, x, Gradient())
            parts = {
                "cross_entropy": nn.functional.cross_entropy(batch.logits, target),
                "gap": RankingGap(2)(batch).mean(),
                "hessian": EstimatedHessian()(batch).mean(),
            }
            optimizer.zero_grad()
            (parts["cross_entropy"] + 0.2 * parts["gap"] + 0.7 * parts["hessian"]).backward()
            optimizer.step()
            for name, value in parts.items():
                sums[name] += value.item() * len(rows) / 50
            step += 1
        history.append(sums)

    for ours, theirs in zip(net.module_.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    for epoch, sums in zip(net.history, history, strict=True):
        for name, value in sums.items():
            assert epoch[name] == pytest.approx(value, rel=1e-9)
        total = epoch["cross_entropy"] + 0.2 * epoch["gap"] + 0.7 * epoch["hessian"]
        assert epoch["train_loss"] == pytest.approx(total, rel=1e-9)


def test_history_marks_the_best_epoch_and_counts_batches(make_net, data):
    history = make_net(max_epochs=6, lr=0.3, callbacks__lr_schedule=None).fit(*data).history
    losses = history[:, "train_loss"]
    assert history[:, "train_loss_best"] == [loss < min(losses[:i], default=np.inf) for i, loss in enumerate(losses)]
    assert history[:, "train_batch_count"] == [4] * 6


def test_terms_of_weight_zero_are_left_out_altogether(make_net, data):
    def explode(batch):
        raise AssertionError

    states = []
    for terms in ([], [Term("gap", 0.0, explode)]):
        torch.manual_seed(1)
        net = make_net(terms=terms).fit(*data)
        states.append(net.module_.state_dict())
        assert "gap" not in net.history[-1]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_penalties_are_not_computed_in_validation(make_net, data):
    calls = []

    class Counting(RankingGap):
        def __call__(self, batch):
            calls.append(len(batch.x))
            return super().__call__(batch)

    net = make_net(terms=[Term("gap", 0.1, Counting(2))], train_split=ValidSplit(5)).fit(*data)
    assert sum(calls) == 3 * 40
    X, y = data
    split = ValidSplit(5)(net.get_dataset(X, y))[1].indices
    logits = net.module_.eval()(torch.as_tensor(X[split]))
    expected = nn.functional.cross_entropy(logits, torch.as_tensor(y[split])).item()
    assert net.history[-1]["valid_loss"] == pytest.approx(expected, rel=1e-5)


def test_the_data_loader_of_torch_gives_the_same_net(make_net, data, terms):
    states = []
    for options in ({}, {"iterator_train": DataLoader}):
        torch.manual_seed(1)
        options = {"iterator_train__shuffle": False, "terms": terms, **options}
        states.append(make_net(**options).fit(*data).module_.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize(("lr", "weight"), [(1e30, 0.2), (0.01, 3e38)])
def test_divergence_names_epoch_and_weights(lr, weight, make_net, data):
    net = make_net(terms=[Term("gap", weight, RankingGap(1))], lr=lr, max_epochs=20)
    with pytest.raises(DivergedError) as caught:
        net.fit(*data)
    assert str(caught.value).startswith(f"Training diverged in epoch {len(net.history)}: ")
    assert f"not finite (lr={lr:g}, weights of the penalties: gap={weight:g})" in str(caught.value)
    assert isinstance(caught.value, ArithmeticError)


def test_callbacks_see_every_batch_and_may_score(make_net, data):
    seen = []

    class Batches(Callback):
        def on_batch_end(self, net, batch, training, loss, y_pred, **kwargs):
            seen.append((len(batch[0]), training, y_pred.shape, loss.shape))

    def n_right(net, X, y):
        logits = net.forward(X).argmax(dim=1).cpu().numpy()
        return float((logits == np.asarray(y)).mean())

    scoring = EpochScoring(n_right, name="right", on_train=True, use_caching=False)
    net = make_net(callbacks=[Batches(), scoring], max_epochs=1).fit(*data)
    assert seen == [(n, True, (n, 2), ()) for n in (16, 16, 16, 2)]
    X, y = data
    predicted = net.module_.eval()(torch.as_tensor(X)).argmax(dim=1).numpy()
    assert net.history[-1]["right"] == (predicted == y).mean()


def train(net, X, y):
    """What the classifiers do; skorch's own fit swallows every interruption."""
    net.notify("on_train_begin", X=X, y=y)
    return net.fit_loop(X, y)


class Raising(Callback):
    """Raises KeyboardInterrupt in the given hook of the second epoch."""

    def __init__(self, hook):
        self.hook = hook

    def initialize(self):
        setattr(self, self.hook, self.interrupt)
        return self

    def interrupt(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


def test_early_stopping_ends_the_training(make_net, data):
    stopping = EarlyStopping("train_loss", patience=2, threshold=10.0, threshold_mode="abs", sink=lambda *a, **k: None)
    net = make_net(callbacks=[stopping], max_epochs=20).initialize()
    assert train(net, *data) is net
    assert len(net.history) == 3  # the first epoch is the best, the two after it are misses


@pytest.mark.parametrize("hook", ["on_batch_begin", "on_batch_end", "on_epoch_begin"])
def test_an_interruption_elsewhere_reaches_the_caller(hook, make_net, data):
    net = make_net(callbacks=[Raising(hook)]).initialize()
    with pytest.raises(KeyboardInterrupt):
        train(net, *data)
    stopped = make_net(callbacks=[Raising("on_epoch_end")]).initialize()
    assert len(train(stopped, *data).history) == 2


def test_a_misspelt_callback_is_named(make_net):
    for wrong in ({"callbacks__lr_schedul": None}, {"callbacks__lr_schedul__warm_up_share": 0.2}):
        with pytest.raises(ValueError, match=r"no callback 'lr_schedul'. Did you mean 'lr_schedule'"):
            make_net(**wrong).initialize()


def test_check_finite_lists_what_is_not():
    net = ObjectiveNet(MLP, criterion=nn.CrossEntropyLoss, terms=[Term("gap", 2.0, RankingGap(1))])
    net.initialize_history()
    net.check_finite({"a": 1.0})
    with pytest.raises(DivergedError, match=r"epoch 0: b, c not finite \(lr=0.01, weights of the penalties: gap=2\)"):
        net.check_finite({"a": 1.0, "b": float("nan"), "c": float("-inf")})


def test_without_the_criterion_only_the_terms_train(make_net, data):
    X, y = data
    net = make_net(terms=[Term("gap", 0.2, RankingGap(2))], criterion_weight=0.0, max_epochs=1)
    torch.manual_seed(1)
    net.fit(X, y)
    row = net.history[-1]
    assert row["train_loss"] == pytest.approx(0.2 * row["gap"], rel=1e-5)
    assert row["cross_entropy"] > 0
    torch.manual_seed(1)
    other = make_net(terms=net.terms, criterion_weight=0.0, max_epochs=1).fit(X, 1 - y)  # labels are not read
    for a, b in zip(net.module_.parameters(), other.module_.parameters()):
        assert torch.equal(a, b)


def test_a_weight_of_the_criterion_scales_it(make_net, data):
    net = make_net(terms=[Term("gap", 0.2, RankingGap(2))], criterion_weight=3.0, max_epochs=1).fit(*data)
    row = net.history[-1]
    assert row["train_loss"] == pytest.approx(3 * row["cross_entropy"] + 0.2 * row["gap"], rel=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_data_loader_of_torch_feeds_a_gpu(make_net, data, terms):
    net = make_net(device="cuda", iterator_train=DataLoader, terms=terms).fit(*data)
    assert np.isfinite(net.history[-1]["train_loss"])


# ------------------------------------------------------------------ mixed precision


class Watching(nn.Module):
    """A linear net that keeps the types of what it computed, and of the weights it computed with."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.seen = []

    def forward(self, x):
        logits = self.layer(x)
        self.seen.append((logits.dtype, torch.is_autocast_enabled(x.device.type), self.training))
        return logits


def test_only_the_forward_passes_of_training_steps_are_rounded(make_net, data, terms):
    dtypes = []

    def penalty(batch):
        dtypes.extend([batch.logits.dtype, batch.attribution.dtype, (batch.attribution @ torch.ones(4, 1)).dtype])
        return batch.attribution_at(batch.x).square().sum(dim=-1)

    module = Watching()
    options = {key: value for key, value in make_net().get_params().items() if key.startswith("iterator")}
    net = ObjectiveNet(
        module,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        train_split=ValidSplit(5),
        terms=[Term("own", 0.1, penalty)],
        mixed_precision=True,
        max_epochs=1,
        batch_size=20,
        verbose=0,
        **options,
    ).fit(*data)
    training = [seen for seen in net.module_.seen if seen[2]]
    assert training == [(torch.bfloat16, True, True)] * 4  # two batches, two passes each
    assert [seen for seen in net.module_.seen if not seen[2]] == [(torch.float32, False, False)]
    assert set(dtypes) == {torch.float32}
    assert {p.dtype for p in net.module_.parameters()} == {torch.float32}
    assert not net.module_._forward_hooks
    assert not net.module_._forward_pre_hooks


def test_the_rounding_ends_with_a_step_that_fails(make_net, data):
    class Failing(MLP):
        def forward(self, x):
            if self.training:
                raise OSError
            return super().forward(x)

    net = make_net(mixed_precision=True).initialize()
    net.module_.__class__ = Failing
    with pytest.raises(OSError):  # noqa: PT011
        train(net, *data)
    assert not torch.is_autocast_enabled("cpu")
    assert not net.module_._forward_hooks


# ------------------------------------------------------------------ compilation


def test_only_the_module_is_compiled(make_net):
    net = make_net(compile=True, compile__backend="eager").initialize()
    assert hasattr(net.module_, "_orig_mod")
    assert type(net.criterion_) is nn.CrossEntropyLoss


def test_what_needs_second_derivatives_is_not_compiled(make_net, terms):
    with pytest.raises(
        ValueError, match=r"cannot be differentiated twice.*\(RankingGap, EstimatedHessian\)\. Leave it out"
    ):
        make_net(compile=True, terms=terms).initialize()
    with pytest.raises(ValueError, match="GapAdversary"):
        make_net(compile=True, adversary=GapAdversary(2)).initialize()
    make_net(compile=True, terms=[Term("gap", 0.0, RankingGap(2))], adversary=LossAdversary()).initialize()


# ------------------------------------------------------------------ other ways to train


def test_a_subclass_may_take_the_gradient_its_own_way(make_net, data, terms):
    losses = []

    class Own(ObjectiveNet):
        def backward(self, loss):
            losses.append(loss.item())
            super().backward(loss)

    torch.manual_seed(1)
    plain = make_net(terms=terms, max_epochs=1)
    options = plain.get_params(deep=False)
    plain.fit(*data)
    torch.manual_seed(1)
    net = Own(**options).fit(*data)
    assert len(losses) == 4
    for a, b in zip(net.module_.parameters(), plain.module_.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("size", [1, 5, 16, 100])
def test_parts_of_a_batch_give_the_gradient_of_the_batch(make_net, data, terms, size):
    X, y = data[0].astype(np.float64), data[1]
    nets = []
    for internal in (None, size):
        net = make_net(terms=terms, internal_batch_size=internal, optimizer=torch.optim.SGD)
        torch.manual_seed(1)
        net.initialize()
        net.module_.double()
        net.partial_fit(X, y)
        nets.append(net)
    for whole, parts in zip(*(net.module_.parameters() for net in nets), strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)
    for whole, parts in zip(*(net.history for net in nets), strict=True):
        for name in ("train_loss", "cross_entropy", "gap", "hessian"):
            assert parts[name] == pytest.approx(whole[name], rel=1e-9)


class Foreign(nn.Linear):
    """A layer that the library does not know, so that skorch copies the net."""


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_a_copy_goes_on_as_the_net_that_it_was_copied_from(optimizer, make_net, data):
    X, y = data
    net = make_net(optimizer=optimizer, streams=RandomStreams(0), max_epochs=2).fit(X, y)
    before = [p.detach().clone() for p in net.module_.parameters()]
    copied, pickled = copy.deepcopy(net), pickle.loads(pickle.dumps(net))
    for other in (copied, pickled):
        assert other.history == net.history
        owned = [p for group in other.optimizer_.param_groups for p in group["params"]]
        assert all(a is b for a, b in zip(owned, other.module_.parameters(), strict=True))
        other.partial_fit(X, y)
    assert all(torch.equal(a, b) for a, b in zip(net.module_.parameters(), before))  # it has memory of its own
    net.partial_fit(X, y)
    for ours, one, another in zip(*(n.module_.parameters() for n in (net, copied, pickled)), strict=True):
        assert torch.equal(ours, one)
        assert torch.equal(ours, another)
    assert not torch.equal(before[0], next(net.module_.parameters()))


def test_a_net_of_foreign_parts_is_copied_as_skorch_does(make_net, data):
    known, foreign, hooked = (make_net(max_epochs=1).fit(*data) for _ in range(3))
    foreign.module_.layers.append(Foreign(2, 2))
    hooked.module_.register_forward_hook(print)
    assert [net._has_known_parts() for net in (known, foreign, hooked)] == [True, False, False]
    copied = copy.deepcopy(foreign)
    assert torch.equal(copied.module_.layers[-1].weight, foreign.module_.layers[-1].weight)
    assert copied.module_.layers[-1].weight.data_ptr() != foreign.module_.layers[-1].weight.data_ptr()
