"""The rows that are held out, and the schedule that they choose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustxai.classifiers import SoftplusClassifier
from robustxai.training import HeldOut, Schedule
from robustxai.training._held_out import held_out_rows, watch_held_out


@given(st.lists(st.integers(0, 3), min_size=10, max_size=120))
def test_a_fifth_of_every_class_is_held_out(codes):
    codes = np.array(codes)
    learned, held = held_out_rows(codes)
    assert sorted([*learned, *held]) == list(range(len(codes)))
    for code in np.unique(codes):
        assert abs((codes[held] == code).sum() - (codes == code).sum() / 5) <= 1


def test_the_split_is_that_of_the_rows_alone():
    codes = np.random.default_rng(0).integers(0, 2, 90)
    np.random.seed(1)  # noqa: NPY002
    first = held_out_rows(codes)
    np.random.seed(2)  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(first, held_out_rows(codes)))


class Scripted:
    """A net whose held-out losses are written down."""

    def __init__(self, losses):
        self.losses, self.max_epochs, self.module_, self.history = losses, len(losses), Empty(), self

    def initialize(self):
        return self

    def notify(self, *args, **kwargs):
        pass

    def fit_loop(self, *args, **kwargs):
        pass

    def __getitem__(self, key):
        return self.losses if key[1] == "valid_loss" else [0.1] * len(self.losses)


class Empty:
    def parameters(self):
        return iter(())


@pytest.mark.parametrize(
    ("scripts", "chosen", "n_tried", "too_few_rows"),
    [
        ([[0.7, 0.60], [0.7, 0.50], [0.7, 0.40]], 2, 3, False),  # the longer the better
        ([[0.7, 0.60], [0.6, 0.90], [0.7, 0.10]], 0, 2, True),  # the second overfits: the third is not tried
        ([[0.7, 0.60], [0.58, 0.595], [0.7, 0.10]], 1, 2, False),  # it overfits and is still as good
        ([[0.7, 0.500], [0.7, 0.505], [0.7, 0.509]], 2, 3, False),  # of equal ones the longest
        ([[0.7, 0.500], [0.7, 0.505], [0.7, 0.520]], 1, 3, False),
        ([[0.7, 0.690], [0.7, 0.690], [0.7, 0.690]], 2, 3, True),  # no better than a coin
    ],
)
def test_the_longest_schedule_without_loss_is_chosen(scripts, chosen, n_tried, too_few_rows):
    schedules = [Schedule(number + 1, None) for number in range(3)]
    tried = []

    def make_net(*, max_epochs, **params):
        tried.append(max_epochs)
        return Scripted(scripts[max_epochs - 1])

    found = watch_held_out(make_net, np.zeros((20, 2)), np.arange(20) % 2, schedules)
    assert isinstance(found, HeldOut)
    assert found.schedule == schedules[chosen]
    assert found.too_few_rows == too_few_rows
    assert found.held_out == tuple(scripts[chosen])
    assert tried == list(range(1, n_tried + 1))


def test_the_losses_are_those_of_a_training_on_the_other_rows():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 3)).astype(np.float32), rng.integers(0, 2, 120)
    clf = SoftplusClassifier(module__hidden=(8,)).fit(X, y)
    learned, held = held_out_rows(y)
    schedule = clf.schedule_
    alone = SoftplusClassifier(
        module__hidden=(8,), max_epochs=schedule.max_epochs, optimizer__weight_decay=schedule.weight_decay
    )
    # another seed, so the same only about: a training of as many rows reaches about the same loss
    alone.fit(X[learned], y[learned])
    probabilities = alone.predict_proba(X[held])[np.arange(len(held)), y[held]]
    assert clf.history_[-1]["held_out_loss"] == pytest.approx(-np.log(probabilities).mean(), rel=0.15)
