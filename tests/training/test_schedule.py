import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from torch.optim.lr_scheduler import OneCycleLR

from robustxai.training import OneCycle


class Rates(Callback):
    """Keeps the learning rate that each step was made with."""

    def on_train_begin(self, net, **kwargs):
        self.rates = []

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.rates.append([group["lr"] for group in net.optimizer_.param_groups])


def rates_of(net, X, y):
    return dict(net.fit(X, y).callbacks_)["Rates"].rates


def test_ends_and_peak():
    schedule = OneCycle()
    assert schedule.factor(0.0) == pytest.approx(1 / 25)
    assert schedule.factor(0.3) == pytest.approx(1.0)
    assert schedule.factor(1.0) == pytest.approx(1e-4)
    assert schedule.factor(2.0) == schedule.factor(1.0)


@given(st.floats(0.05, 0.95), st.floats(0, 1), st.floats(0, 1))
def test_rises_up_to_the_warm_up_and_falls_from_there(warm_up_share, a, b):
    low, high = sorted((a, b))
    factor = OneCycle(warm_up_share).factor
    assert factor(low * warm_up_share) <= factor(high * warm_up_share) + 1e-12
    down = [warm_up_share + (1 - warm_up_share) * t for t in (low, high)]
    assert factor(down[0]) >= factor(down[1]) - 1e-12
    assert 1e-4 * (1 - 1e-9) <= factor(a) <= 1 + 1e-12


@given(st.integers(20, 60))
def test_equals_the_schedule_of_torch(n_steps):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    # torch counts the warm-up in steps from 0, hence the peak at pct_start * total - 1
    warm_up_share = 0.3
    theirs = OneCycleLR(
        optimizer,
        1.0,
        n_steps,
        pct_start=(warm_up_share * (n_steps - 1) + 1) / n_steps,
        final_div_factor=1e4 / 25,
        cycle_momentum=False,
    )
    for step in range(n_steps):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(OneCycle(warm_up_share).factor(step / (n_steps - 1)))
        optimizer.step()
        if step < n_steps - 1:
            theirs.step()


@pytest.mark.parametrize("batch", [{"batch_size": 16}, {"batch_size": -1}, {"iterator_train__batch_size": 7}])
def test_the_rate_is_set_in_the_optimizer(batch, make_net, data):
    net = make_net(callbacks=[Rates()], max_epochs=5, lr=0.02, **batch)
    rates = rates_of(net, *data)
    size = net.get_params().get("iterator_train__batch_size", net.batch_size)
    n_steps = 5 * math.ceil(50 / (size if size > 0 else 50))
    assert rates == [[0.02 * OneCycle().factor(i / (n_steps - 1))] for i in range(n_steps)]


def test_validation_steps_do_not_count(make_net, data):
    rates = rates_of(make_net(callbacks=[Rates()], train_split=ValidSplit(5)), *data)
    assert len(rates) == 3 * math.ceil(40 / 16)
    assert rates[-1] == [pytest.approx(0.01 * 1e-4)]


def test_none_keeps_the_rate(make_net, data):
    rates = rates_of(make_net(callbacks=[Rates()], callbacks__lr_schedule=None), *data)
    assert rates == [[0.01]] * 12


def test_warmup_by_its_skorch_name(make_net, data):
    rates = rates_of(make_net(callbacks=[Rates()], callbacks__lr_schedule__warm_up_share=0.5), *data)
    assert rates == [[0.01 * OneCycle(0.5).factor(i / 11)] for i in range(12)]


def test_groups_keep_their_own_rates(make_net, data):
    rates = rates_of(make_net(callbacks=[Rates()], optimizer__param_groups=[("*bias", {"lr": 0.0})]), *data)
    assert rates == [[0.0, 0.01 * OneCycle().factor(i / 11)] for i in range(12)]


def test_a_second_fit_starts_a_new_cycle(make_net, data):
    net = make_net(callbacks=[Rates()])
    assert rates_of(net, *data) == rates_of(net, *data)
