"""A fit trains copies: what was given stays as it was, and every fit begins where it began."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.model_selection import cross_val_score
from torch import nn

from robustxai import ATEXClassifier, R2ETClassifier, SoftplusClassifier, VanillaClassifier, retrain
from robustxai.model_selection import BatchedSearchCV


@pytest.fixture(scope="module")
def data():
    return make_classification(120, 5, n_informative=3, random_state=0)


class Around(nn.Module):
    """A network around one that it is given."""

    def __init__(self, inner, n_classes=2):
        super().__init__()
        self.inner = inner
        self.head = nn.Linear(8, n_classes)

    def forward(self, x):
        return self.head(self.inner(x))


def body():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU())


def network():
    return nn.Sequential(*body(), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 2))


def old_weight_norm():
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(5, 8)), nn.ReLU(), nn.Linear(8, 2))


def tied():
    shared = nn.Linear(5, 5)
    return nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(5, 2))


def half_frozen():
    module = network()
    module[0].requires_grad_(False)
    return module


def in_evaluation_mode():
    return network().eval()


def scripted():
    return torch.jit.script(nn.Sequential(nn.Linear(5, 2)))


def with_buffer():
    module = network()
    module.register_buffer("shift", torch.zeros(5))
    return module


GIVEN = {
    "module": lambda: {"module": network()},
    "weight norm": lambda: {"module": old_weight_norm()},
    "shared layers": lambda: {"module": tied()},
    "frozen layers": lambda: {"module": half_frozen()},
    "evaluation mode": lambda: {"module": in_evaluation_mode()},
    "script": lambda: {"module": scripted()},
    "buffer": lambda: {"module": with_buffer()},
    "argument of the module": lambda: {"module": Around, "module__inner": body()},
    "weights of the classes": lambda: {
        "criterion__weight": torch.tensor([1.0, 2.0]),
        "module__hidden": (4,),
    },
}


def tensors(params):
    """All tensors of what was given, and whether they are trained."""
    found = []
    for value in params.values():
        if isinstance(value, nn.Module):
            found += [*value.state_dict().values(), *(torch.tensor(p.requires_grad) for p in value.parameters())]
            found += [torch.tensor(part.training) for part in value.modules()]
            found += [torch.tensor(p.grad is None) for p in value.parameters()]
        elif isinstance(value, torch.Tensor):
            found.append(value)
    return [tensor.clone() for tensor in found]


@pytest.mark.parametrize("kind", GIVEN)
def test_a_fit_changes_nothing_that_it_was_given(kind, data):
    params = GIVEN[kind]()
    before = tensors(params)
    model = VanillaClassifier(max_epochs=2, **params)
    first = model.fit(*data).predict_proba(data[0])
    for now, then in zip(tensors(params), before, strict=True):
        assert torch.equal(now, then)
    np.testing.assert_array_equal(model.fit(*data).predict_proba(data[0]), first)
    np.testing.assert_array_equal(clone(model).fit(*data).predict_proba(data[0]), first)


@pytest.mark.parametrize("kind", GIVEN)
def test_two_estimators_share_no_weights(kind, data):
    params = GIVEN[kind]()
    first = VanillaClassifier(max_epochs=2, **params).fit(*data)
    before = first.predict_proba(data[0])
    second = VanillaClassifier(max_epochs=2, lr=0.05, **params).fit(*data)
    np.testing.assert_array_equal(first.predict_proba(data[0]), before)
    own = {id(p) for p in (*first.module_.parameters(), *first.net_.criterion_.parameters())}
    assert not own & {id(p) for p in (*second.module_.parameters(), *second.net_.criterion_.parameters())}


def test_arguments_that_share_a_layer_go_on_sharing_it(data):
    class Twice(nn.Module):
        def __init__(self, one, two):
            super().__init__()
            self.one, self.two = one, two

        def forward(self, x):
            return self.one(x) + self.two(x)

    layer = nn.Linear(5, 2)
    model = VanillaClassifier(module=Twice, module__one=layer, module__two=layer, max_epochs=1).fit(*data)
    assert model.module_.one is model.module_.two is not layer


@pytest.mark.parametrize(
    "kind",
    [
        lambda module, old: R2ETClassifier(k=2, module=module, max_epochs=2),
        lambda module, old: VanillaClassifier(module=module, max_epochs=2, warm_up_epochs=1),
        lambda module, old: VanillaClassifier(module=module, max_epochs=2, init=old),
        lambda module, old: ATEXClassifier(init=old, module=old.module_, max_epochs=2),
    ],
)
def test_other_classifiers_and_ways_to_begin(kind, data):
    module = nn.Sequential(nn.Linear(5, 8), nn.Softplus(), nn.Linear(8, 2))
    old = VanillaClassifier(module=module, max_epochs=1).fit(*data)
    before = tensors({"module": module, "old": old.module_})
    model = kind(module, old)
    first = model.fit(*data).predict_proba(data[0])
    for now, then in zip(tensors({"module": module, "old": old.module_}), before, strict=True):
        assert torch.equal(now, then)
    np.testing.assert_array_equal(model.fit(*data).predict_proba(data[0]), first)


def test_retrain_and_searches(data):
    module = nn.Sequential(nn.Linear(5, 8), nn.Softplus(), nn.Linear(8, 2))
    before = tensors({"module": module})
    retrain(R2ETClassifier(lr=1e-3), module, *data, k=2, max_epochs=1)
    BatchedSearchCV(R2ETClassifier(k=2, module=module, max_epochs=1), {"lr": [0.01, 0.02]}, cv=2).fit(*data)
    for now, then in zip(tensors({"module": module}), before, strict=True):
        assert torch.equal(now, then)


def test_scores_are_those_of_a_model_without_a_past(data):
    model = VanillaClassifier(max_epochs=2, module=network())
    before = cross_val_score(model, *data, cv=3)
    np.testing.assert_array_equal(cross_val_score(model.fit(*data), *data, cv=3), before)


def test_what_cannot_be_copied_is_refused_by_name(data):
    class NoCopy(nn.Linear):
        def __deepcopy__(self, memo):
            raise RuntimeError("there is one of me")

    with pytest.raises(TypeError, match=r"module cannot be copied .*there is one of me.*Pass a class"):
        VanillaClassifier(module=NoCopy(5, 2), max_epochs=1).fit(*data)
    with pytest.raises(TypeError, match="module__inner cannot be copied"):
        VanillaClassifier(module=Around, module__inner=NoCopy(5, 8), max_epochs=1).fit(*data)


def test_softplus_leaves_a_given_module_alone(data):
    module = network()
    SoftplusClassifier(module=module, max_epochs=1).fit(*data)
    assert isinstance(module[1], nn.ReLU)
