"""What callbacks do in a stack: as alone, or the fit is not stacked and the reason names the callback."""

import copy
import re

import cloudpickle
import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    GradientNormClipping,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    TrainEndCheckpoint,
    Unfreezer,
    WarmRestartLR,
)
from skorch.dataset import ValidSplit
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    StepLR,
)

from robustxai import R2ETClassifier, VanillaClassifier
from robustxai.model_selection._stacked_fits import begin_fits, train_fits
from robustxai.training import OneCycle, ResumableCheckpoint
from tests.engine.test_stack import assert_as_alone

SMALL = {"max_epochs": 10, "batch_size": 64, "module__hidden": (6,)}


@pytest.fixture(scope="module")
def parts():
    """Tables on which a network overfits, so that its best epoch is not its last."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(97, 5)).astype(np.float32)
    y = (X[:, 0] + rng.normal(size=97) > 0.3).astype(int)
    return [(X[:96], y[:96]), (X, y)]


def scores_of_the_net(net, X, y):
    return log_loss(y, net.predict_proba(X))


def schedule(policy, **options):
    return [("rate", LRScheduler(policy, **options))]


CARRIED_OUT = {
    "stop": [("stop", EarlyStopping(patience=2))],
    "stop, the best back": [("stop", EarlyStopping(patience=2, load_best=True))],
    "the best back at the end": [("stop", EarlyStopping(patience=50, load_best=True))],
    "stop by the training loss": [("stop", EarlyStopping("train_loss", patience=1, threshold=0.2, load_best=True))],
    "stop by a score": [
        ("acc", EpochScoring("accuracy", lower_is_better=False, name="valid_acc")),
        ("stop", EarlyStopping("valid_acc", patience=2, lower_is_better=False, load_best=True)),
    ],
    "score": [("ll", EpochScoring("neg_log_loss", lower_is_better=False))],
    "score without a cache": [("ll", EpochScoring("neg_log_loss", lower_is_better=False, use_caching=False))],
    "score by a function": [("ll", EpochScoring(scores_of_the_net, name="ll"))],
    "score of batches": [("acc", BatchScoring("accuracy", lower_is_better=False))],
    "passed through": [("again", PassthroughScoring("valid_loss", lower_is_better=None))],
    "clock and log": [("clock", EpochTimer()), ("log", PrintLog(sink=str))],
    "second cycle": [("cycle", OneCycle(warm_up_share=0.1))],
    "constant": schedule(ConstantLR, factor=0.1, total_iters=3),
    "cosine": schedule(CosineAnnealingLR, T_max=4),
    "cosine by name": schedule("CosineAnnealingLR", T_max=4),
    "restarts": schedule(CosineAnnealingWarmRestarts, T_0=3),
    "exponential": schedule(ExponentialLR, gamma=0.7, event_name="rate"),
    "function": schedule(LambdaLR, lr_lambda=lambda epoch: 1 / (1 + epoch)),
    "linear": schedule(LinearLR, start_factor=0.2, total_iters=4),
    "steps": schedule(StepLR, step_size=2, gamma=0.3),
    "several steps": schedule(MultiStepLR, milestones=[2, 5]),
    "product": schedule(MultiplicativeLR, lr_lambda=lambda epoch: 0.8),
    "polynomial": schedule(PolynomialLR, total_iters=8),
    "plateau": schedule(ReduceLROnPlateau, monitor="valid_loss", patience=0, threshold=0.02),
    "skorch's own": schedule(WarmRestartLR, min_lr=0.001, max_lr=0.02, base_period=3),
}


SCHEDULES = [name for name, ((label, _), *_) in CARRIED_OUT.items() if label == "rate"]


@pytest.mark.parametrize(
    ("name", "cycle"), [*((name, True) for name in CARRIED_OUT), *((name, False) for name in SCHEDULES)]
)
def test_as_alone(name, cycle, parts):
    options = {**SMALL, "train_split": ValidSplit(4, stratified=True), "callbacks": CARRIED_OUT[name]}
    if not cycle:
        options["callbacks__lr_schedule"] = None
    estimators = [R2ETClassifier(k=2, random_state=s, lr=0.02 * (s + 1), **copy.deepcopy(options)) for s in range(2)]
    assert_as_alone(estimators, parts)


@pytest.mark.parametrize(
    "name", ["the best back at the end", "stop by a score", "exponential", "plateau", "second cycle"]
)
def test_as_alone_when_interrupted_and_sent_to_another_process(name, parts):
    options = {**SMALL, "train_split": ValidSplit(4, stratified=True), "callbacks": CARRIED_OUT[name]}
    estimators = [
        R2ETClassifier(
            k=2, random_state=s, lr=0.05, warm_up_epochs=2 * s, callbacks__lr_schedule=None, **copy.deepcopy(options)
        )
        for s in range(2)
    ]
    fits, data = begin_fits([(e, i) for i, e in enumerate(estimators)], parts)
    for share in (0.2, 0.5, 1.0):
        fits = cloudpickle.loads(cloudpickle.dumps(train_fits(fits, data, share=share)))
    for fit, estimator, part in zip(fits, estimators, parts):
        alone, together = estimator.fit(*part), fit.fitted(data)
        assert len(alone.history_) == len(together.history_)
        for mine, theirs in zip(together.module_.parameters(), alone.module_.parameters()):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def test_the_best_epoch_is_another_than_the_last(parts):
    """Or the tests above would not see whether weights are brought back."""
    options = {**SMALL, "train_split": ValidSplit(4, stratified=True)}
    last, best = (
        R2ETClassifier(k=2, lr=0.02, callbacks=[("stop", EarlyStopping(patience=50, load_best=b))], **options).fit(
            *parts[0]
        )
        for b in (False, True)
    )
    assert not torch.equal(last.module_.layers[0].weight, best.module_.layers[0].weight)


def test_the_optimizer_is_left_as_alone(parts):
    estimators = [R2ETClassifier(k=2, lr=0.01 * (s + 1), module__skip=True, **SMALL) for s in range(2)]
    fits, data = begin_fits([(e, 0) for e in estimators], parts)
    for fit, estimator in zip(train_fits(fits, data), estimators):
        mine, theirs = (
            fit.fitted(data).net_.optimizer_.state_dict(),
            estimator.fit(*parts[0]).net_.optimizer_.state_dict(),
        )
        assert mine["param_groups"] == theirs["param_groups"]
        assert mine["state"].keys() == theirs["state"].keys()
        for place, alone in theirs["state"].items():
            own = mine["state"][place]
            assert own.keys() == alone.keys()
            for key in own:
                torch.testing.assert_close(own[key], alone[key], rtol=1e-3, atol=1e-6)


class Halving(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.optimizer_.param_groups[0]["lr"] /= 2


class Noise(Callback):
    def on_epoch_begin(self, net, **kwargs):
        with torch.no_grad():
            net.module_.layers[0].weight.add_(0.1)


class Zeroed(Callback):
    def on_train_begin(self, net, X=None, y=None, **kwargs):
        with torch.no_grad():
            net.module_.layers[0].bias.zero_()


class Rounded(Callback):
    def on_train_end(self, net, X=None, y=None, **kwargs):
        with torch.no_grad():
            net.module_.layers[0].weight.round_()


class Clipped(Callback):
    def on_grad_computed(self, net, named_parameters, **kwargs):
        for _, parameter in named_parameters:
            parameter.grad.clamp_(-0.1, 0.1)


class PerBatchBegin(Callback):
    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        net.optimizer_.param_groups[0]["lr"] *= 0.9


class PerBatchEnd(Callback):
    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        net.optimizer_.param_groups[0]["lr"] *= 0.9


class Fewer(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.terms = ()


class Initially(Callback):
    def initialize(self):
        return self


class NoCallbackAtAll:
    """skorch calls whatever has the methods."""

    def __getattr__(self, name):
        if name.startswith("on_"):
            return lambda *args, **kwargs: None
        raise AttributeError(name)

    def initialize(self):
        return self

    def set_params(self, **params):
        return self


class MyStopping(EarlyStopping):
    def on_epoch_end(self, net, **kwargs):
        net.module_.layers[0].bias.data.zero_()
        super().on_epoch_end(net, **kwargs)


class MyCycle(OneCycle):
    def factor(self, progress):
        return 0.5


class MyLog(PrintLog):
    def on_epoch_end(self, net, **kwargs):
        net.module_.layers[0].bias.data.zero_()


NOT_SUPPORTED = [
    *(kind() for kind in (Halving, Noise, Zeroed, Rounded, Clipped, PerBatchBegin, PerBatchEnd, Fewer, Initially)),
    *(NoCallbackAtAll(), MyStopping(monitor="train_loss"), MyCycle(), MyLog(sink=str)),
    Checkpoint(monitor=None, f_params=None, f_optimizer=None, f_criterion=None, f_history=None),
    TrainEndCheckpoint(f_params=None, f_optimizer=None, f_criterion=None, f_history=None),
    LoadInitState(Checkpoint(f_params=None)),
    Freezer("layers.0.*"),
    Unfreezer("layers.0.*"),
    Initializer("layers.*", fn=torch.nn.init.zeros_),
    ParamMapper("layers.*", fn=torch.nn.init.zeros_, at=3),
    GradientNormClipping(0.1),
    InputShapeSetter(param_name="n_features"),
    ProgressBar(),
    EpochScoring("accuracy", on_train=True),
    BatchScoring("accuracy", on_train=True),
    LRScheduler(StepLR, step_size=2, step_every="batch"),
    LRScheduler(CyclicLR, base_lr=0.001, max_lr=0.01, cycle_momentum=False),
    LRScheduler(OneCycleLR, max_lr=0.01, total_steps=20),
    LRScheduler(ReduceLROnPlateau, monitor=lambda net: 0.0),
    ResumableCheckpoint("unused"),
]


@pytest.mark.parametrize("callback", NOT_SUPPORTED, ids=lambda callback: type(callback).__name__)
def test_not_stacked_and_the_reason_names_it(callback, parts):
    estimator = VanillaClassifier(callbacks=[("own", callback)], train_split=ValidSplit(4), **SMALL)
    (fit,), _ = begin_fits([(estimator, 0)], parts)
    assert fit.members == []
    assert re.search(rf"{type(callback).__name__}\b", fit.why_not)


def test_a_bar_of_progress_is_not_stacked(parts):
    (fit,), _ = begin_fits([(VanillaClassifier(verbose=2, **SMALL), 0)], parts)
    assert "TrainingProgress" in fit.why_not


def test_no_callbacks_at_all(parts):
    assert_as_alone([VanillaClassifier(callbacks="disable", random_state=s, **SMALL) for s in range(2)], parts)


def failing(net, X, y):
    raise RuntimeError("no score today")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"callbacks": [("stop", EarlyStopping(monitor="nothing"))]}, "nothing"),
        ({"callbacks": [("stop", EarlyStopping(threshold_mode="odd"))]}, "odd"),
        ({"callbacks": [("score", EpochScoring(failing))], "train_split": ValidSplit(4)}, "no score today"),
        ({"train_split": ValidSplit(1000)}, "1000"),
    ],
)
def test_what_a_callback_or_split_raises_ends_one_member_and_no_other(options, why, parts):
    estimators = [VanillaClassifier(**SMALL, **options), VanillaClassifier(random_state=1, **SMALL)]
    fits, data = begin_fits([(e, 0) for e in estimators], parts)
    failed, whole = train_fits(fits, data)
    with pytest.raises(Exception, match=why) as alone:
        estimators[0].fit(*parts[0])
    with pytest.raises(alone.type, match=why):
        failed.fitted(data)
    torch.testing.assert_close(
        whole.fitted(data).module_.layers[0].weight,
        estimators[1].fit(*parts[0]).module_.layers[0].weight,
        rtol=1e-4,
        atol=1e-5,
    )
