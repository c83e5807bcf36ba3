import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from robustxai.engine import kept
from robustxai.nets import MLP


@pytest.fixture
def module():
    torch.manual_seed(0)
    return MLP(3, 2, hidden=(4,), activation="softplus", beta=2.0)


def made(module):
    return kept(module, "copy", lambda: copy.deepcopy(module).double())


def in_place(module):
    with torch.no_grad():
        next(module.parameters()).add_(1)


def through_data(module):
    next(module.parameters()).data[0, 0] += 1


def new_state(module):
    module.load_state_dict({name: value + 1 for name, value in module.state_dict().items()})


def new_layer(module):
    module.layers[-1] = copy.deepcopy(module.layers[-1])


def new_beta(module):
    module.layers[1].beta = 5.0


def new_mode(module):
    module.train(not module.training)


@pytest.mark.parametrize("change", [in_place, through_data, new_state, new_layer, new_beta, new_mode])
def test_a_change_is_noticed(change, module):
    first = made(module)
    assert made(module) is first
    change(module)
    second, x = made(module), torch.ones(1, 3, dtype=torch.float64)
    assert second is not first
    assert torch.equal(second(x), copy.deepcopy(module).double()(x))
    assert made(module) is second


class Foreign(nn.Module):
    """A layer whose function may depend on anything."""

    def forward(self, x):
        return x


class WithList(nn.Linear):
    __module__ = "torch.nn.something"

    def __init__(self):
        super().__init__(2, 2)
        self.factors = [1.0]


def hooked():
    module = nn.Linear(2, 2)
    module.register_forward_hook(lambda *args: None)
    return module


@pytest.mark.parametrize(
    "module", [nn.Sequential(nn.Linear(2, 2), Foreign()), WithList(), hooked(), nn.Linear(1001, 1000)], ids=range(4)
)
def test_what_may_change_unnoticed_is_made_anew(module):
    assert made(module) is not made(module)


def test_names_and_modules_are_apart(module):
    other = copy.deepcopy(module)
    assert made(other) is not made(module)
    assert kept(module, "other", lambda: "it") == "it"
    assert kept(module, "copy", lambda: "it") is made(module)


def test_a_module_is_not_kept_alive_and_travels_as_before(module):
    made(module)
    arrived = pickle.loads(pickle.dumps(module))
    assert made(arrived) is not made(module)
    reference = weakref.ref(arrived)
    del arrived
    gc.collect()
    assert reference() is None


def test_a_fitted_classifier_explains_with_its_present_weights():
    from robustxai import SoftplusClassifier
    from robustxai.certificates import certify_top_k

    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    clf = SoftplusClassifier(max_epochs=1, module__hidden=(4,)).fit(X, (X[:, 0] > 0).astype(int))
    before, certificate = clf.explain(X), certify_top_k(clf, X, 1, epsilon=0.1)
    assert np.array_equal(clf.explain(X), before)
    with torch.no_grad():
        clf.module_.layers[0].weight.mul_(-2.0)
    changed = copy.deepcopy(clf)
    assert not np.allclose(clf.explain(X), before)
    assert np.array_equal(clf.explain(X), changed.explain(X))
    again = certify_top_k(clf, X, 1, epsilon=0.1)
    np.testing.assert_array_equal(again.n_proven_pairs, certify_top_k(changed, X, 1, epsilon=0.1).n_proven_pairs)
    assert again.n_proven_pairs.sum() != certificate.n_proven_pairs.sum()
