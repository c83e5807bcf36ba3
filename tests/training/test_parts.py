"""Batches in parts: every criterion, reduction and defense gives the training of the whole, or is refused."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_classification
from torch import nn

import robustxai
from robustxai.classifiers import BaseExplainableClassifier
from robustxai.nets import MLP
from robustxai.penalties import RankingGap
from robustxai.training import ObjectiveNet, TensorBatches, Term
from robustxai.training._parts import check_sum, criterion_shares

DEFENSES = sorted(
    name
    for name in robustxai.__all__
    if isinstance(getattr(robustxai, name), type) and issubclass(getattr(robustxai, name), BaseExplainableClassifier)
)


@pytest.fixture(scope="module")
def data():
    return make_classification(60, 5, n_informative=3, n_classes=3, weights=[0.7, 0.2], random_state=0)


@pytest.fixture(scope="module")
def start(data):
    return robustxai.SoftplusClassifier(max_epochs=2, module__hidden=(8,)).fit(*data)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.module_.parameters()])


@pytest.mark.parametrize("name", DEFENSES)
def test_every_defense(name, data, start):
    params = {"max_epochs": 2, "batch_size": 25, "optimizer": torch.optim.SGD}
    if name != "LinearClassifier":
        params["module__hidden"] = (8,)
    if name == "ATEXClassifier":
        params["init"] = start
    if "k" in getattr(robustxai, name)().get_params():
        params["k"] = 2
    whole = getattr(robustxai, name)(**params).fit(*data)
    parts = getattr(robustxai, name)(internal_batch_size=4, **params).fit(*data)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-4, atol=1e-6)
    for one, other in zip(parts.history_, whole.history_, strict=True):
        for column in ("train_loss", "cross_entropy"):
            assert one[column] == pytest.approx(other[column], rel=1e-4)


CRITERIA = {
    "weights": {"weight": torch.tensor([1.0, 20.0, 5.0])},
    "a class that does not count": {"weight": torch.tensor([1.0, 0.0, 2.0])},
    "ignored": {"ignore_index": 1},
    "ignored and weights": {"ignore_index": 0, "weight": torch.tensor([1.0, 20.0, 5.0])},
    "smoothing": {"label_smoothing": 0.2},
    "smoothing and weights": {"label_smoothing": 0.2, "weight": torch.tensor([1.0, 20.0, 5.0])},
    "sum": {"reduction": "sum"},
    "sum and weights": {"reduction": "sum", "weight": torch.tensor([1.0, 20.0, 5.0]), "label_smoothing": 0.1},
    "sum and ignored": {"reduction": "sum", "ignore_index": 2},
}


@pytest.mark.parametrize("size", [1, 7, 16])
@pytest.mark.parametrize("kind", CRITERIA)
def test_every_form_of_the_cross_entropy(kind, size, data):
    params = {f"criterion__{name}": value for name, value in CRITERIA[kind].items()}
    params |= {"max_epochs": 2, "batch_size": 25, "optimizer": torch.optim.SGD, "module__hidden": (8,)}
    params["lr"] = 1e-3
    whole = robustxai.VanillaClassifier(**params).fit(*data)
    parts = robustxai.VanillaClassifier(internal_batch_size=size, **params).fit(*data)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-4, atol=1e-6)


class Focal(nn.Module):
    """A mean over rows of the library's user."""

    def forward(self, logits, y):
        p = logits.softmax(dim=1).gather(1, y[:, None]).squeeze(1)
        return (-((1 - p) ** 2) * p.log()).mean()


class FocalSum(Focal):
    reduction = "sum"

    def forward(self, logits, y):
        return len(y) * super().forward(logits, y)


class Balanced(nn.Module):
    """Every class of a batch counts the same: what one row counts depends on the others."""

    def forward(self, logits, y):
        losses = nn.functional.cross_entropy(logits, y, reduction="none")
        return torch.stack([losses[y == label].mean() for label in y.unique()]).mean()


class Ranking(nn.Module):
    """Compares rows with each other."""

    def forward(self, logits, y):
        scores, positive = logits[:, 1] - logits[:, 0], y == 1
        return (scores[~positive][:, None] - scores[positive][None, :]).sigmoid().mean()


class Largest(nn.CrossEntropyLoss):
    """A subclass whose reduction says something else than it does."""

    def forward(self, logits, y):
        return nn.functional.cross_entropy(logits, y, reduction="none").max()


def net(criterion, data, **options):
    torch.manual_seed(0)
    return ObjectiveNet(
        MLP,
        criterion=criterion,
        module__n_features=5,
        module__n_classes=3,
        module__hidden=(8,),
        terms=[Term("gap", 0.1, RankingGap(2))],
        optimizer=torch.optim.SGD,
        lr=0.01,
        batch_size=30,
        max_epochs=2,
        train_split=None,
        iterator_train=TensorBatches,
        verbose=0,
        **options,
    ).fit(data[0].astype(np.float32), data[1].astype(np.int64))


@pytest.mark.parametrize(
    "criterion", [Focal, FocalSum, nn.MultiMarginLoss, lambda: nn.MultiMarginLoss(reduction="sum"), nn.CrossEntropyLoss]
)
def test_other_criteria_that_are_means_or_sums(criterion, data):
    criterion = criterion() if not isinstance(criterion, type) else criterion
    whole, parts = net(criterion, data), net(criterion, data, internal_batch_size=7)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("criterion", [Balanced, Ranking, Largest])
def test_a_criterion_that_looks_at_the_whole_batch_is_refused(criterion, data):
    net(criterion, data)
    with pytest.raises(NotImplementedError, match=f"{criterion.__name__} of the batch"):
        net(criterion, data, internal_batch_size=7)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.booleans(), st.sampled_from([-100, 0, 1, 2]))
def test_shares_add_up_to_the_criterion_of_the_batch(seed, size, weighted, ignored):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(12, 3, dtype=torch.float64, generator=generator)
    y = torch.randint(3, (12,), generator=generator)
    weight = torch.rand(3, dtype=torch.float64, generator=generator) if weighted else None
    criterion = nn.CrossEntropyLoss(weight=weight, ignore_index=ignored)
    if bool((y == ignored).all()):
        return
    shares = criterion_shares(criterion, y.split(size))
    values = [criterion(z, part) if share else 0.0 for z, part, share in zip(logits.split(size), y.split(size), shares)]
    total = sum(share * value for share, value in zip(shares, values, strict=True))
    torch.testing.assert_close(total, criterion(logits, y))


def test_a_total_that_is_not_finite_is_left_to_the_end_of_the_epoch():
    class Infinite(nn.Module):
        def forward(self, logits, y):
            return logits.sum() / 0.0

    check_sum(Infinite(), torch.ones(3, 2), torch.zeros(3, dtype=torch.long), torch.tensor(1.0))
    with pytest.raises(NotImplementedError), warnings.catch_warnings():
        check_sum(Focal(), torch.ones(3, 2), torch.zeros(3, dtype=torch.long), torch.tensor(1.0))
