import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from robustxai.classifiers import LargeStepClassifier
from robustxai.exceptions import DivergedError
from robustxai.nets import MLP
from robustxai.training import OneCycle, StepDecay

from .conftest import small
from .test_all import states_equal


def test_it_is_gradient_descent_by_hand(data):
    """All rows in every step: three steps of the rate, then one of a tenth, in float64."""
    X, y = data
    clf = small(LargeStepClassifier, lr=0.5, max_epochs=4, batch_size=-1).fit(X, y)
    first = small(LargeStepClassifier, lr=1e-30, max_epochs=1, batch_size=-1).fit(X, y)  # the weights before any step
    module = MLP(4, 3, (8,), activation="relu").double()
    module.load_state_dict(first.module_.double().state_dict())
    x, codes = torch.as_tensor(X.astype(np.float32)).double(), torch.as_tensor(y)
    for rate in (0.5, 0.5, 0.5, 0.05):
        loss = torch.nn.functional.cross_entropy(module(x), codes)
        slopes = torch.autograd.grad(loss, list(module.parameters()))
        with torch.no_grad():
            for weight, slope in zip(module.parameters(), slopes):
                weight -= rate * slope
    for ours, theirs in zip(clf.module_.parameters(), module.parameters()):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5)


class Rates(Callback):
    def on_train_begin(self, net, **kwargs):
        self.rates = []

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.rates.append(net.optimizer_.param_groups[0]["lr"])


def rates(**params):
    X, y = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32), np.arange(64) % 2
    watcher = Rates()
    small(LargeStepClassifier, lr=0.2, callbacks=[("rates", watcher)], max_epochs=4, **params).fit(X, y)
    return watcher.rates


def test_the_schedule_is_replaced_by_its_name():
    assert rates() == [0.2] * 6 + [0.2 * 0.1] * 2
    assert rates(callbacks__lr_schedule__decay_share=0.5, callbacks__lr_schedule__decay=0.5) == [0.2] * 4 + [0.1] * 4
    assert rates(callbacks__lr_schedule=None) == [0.2] * 8
    assert rates(callbacks__lr_schedule=OneCycle)[0] == pytest.approx(0.2 / 25)


def test_without_callbacks_there_is_no_schedule(data):
    a = small(LargeStepClassifier, lr=0.1, callbacks="disable").fit(*data)
    assert states_equal(a, small(LargeStepClassifier, lr=0.1, callbacks__lr_schedule=None).fit(*data))


def test_epochs_are_chosen_with_its_own_optimizer():
    X = np.random.default_rng(0).normal(size=(80, 4))
    y = (X[:, 0] + 0.5 * np.random.default_rng(1).normal(size=80) > 0).astype(int)
    clf = LargeStepClassifier(lr=0.5, module__hidden=(8,), batch_size=80).fit(X, y)
    assert isinstance(clf.net_.optimizer_, torch.optim.SGD)
    assert clf.schedule_.max_epochs == len(clf.history_) <= 200
    assert "held_out_loss" in clf.history_[0]


def test_a_step_that_is_too_large_for_the_features_is_named(data):
    X, y = data
    with pytest.raises(DivergedError, match="Lower lr"):
        small(LargeStepClassifier, lr=1e6).fit(1e6 * X, y)


@pytest.mark.parametrize(("wrong", "name"), [({"decay_share": 2.0}, "decay_share"), ({"decay": -1.0}, "decay")])
def test_parameters_of_the_schedule_out_of_range(wrong, name):
    with pytest.raises(ValueError, match=name):
        StepDecay(**wrong)
