import re

import numpy as np
import pytest
import torch
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch.callbacks import EarlyStopping, EpochScoring
from skorch.dataset import Dataset, ValidSplit
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.data import Subset

from robustxai import (
    CrossLipschitzClassifier,
    EstimatedHessianClassifier,
    ExactHessianClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    VanillaClassifier,
)
from robustxai.classifiers import AdversarialTrainingClassifier, ATEXClassifier, WeightDecayClassifier
from robustxai.engine import train_together
from robustxai.exceptions import DivergedError
from robustxai.explainers import Gradient
from robustxai.model_selection._stacked_fits import begin_fits, train_fits
from robustxai.nets import MLP
from robustxai.penalties import RankingGap
from robustxai.training import ObjectiveNet, Term

SMALL = {"max_epochs": 4, "batch_size": 32, "module__hidden": (8, 6)}


@pytest.fixture(scope="module")
def parts():
    """Two tables: 96 and 97 rows, so that the second has one batch more; three classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(97, 5)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int) + (X[:, 2] > 0.8)
    return [(X[:96], y[:96]), (X, y)]


def weights(estimator):
    return torch.cat([p.detach().flatten() for p in estimator.module_.parameters()])


def assert_as_alone(estimators, parts, **options):
    """Every member's weights, history and explanations are those of its own fit."""
    pairs = [(e, i % len(parts)) for i, e in enumerate(estimators)]
    fits, data = begin_fits(pairs, parts)
    assert [fit.why_not for fit in fits] == [""] * len(fits)
    fits = train_fits(fits, data, **options)
    for fit, (estimator, part) in zip(fits, pairs):
        X, y, *params = parts[part]
        alone = type(estimator)(**estimator.get_params()).fit(X, y, **(params[0] if params else {}))
        together = fit.fitted(data)
        torch.testing.assert_close(weights(together), weights(alone), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(together.explain(parts[0][0]), alone.explain(parts[0][0]), rtol=1e-3, atol=1e-5)
        assert len(together.history_) == len(alone.history_)
        for mine, theirs in zip(together.history_, alone.history_):
            numbers = {name for name, value in theirs.items() if isinstance(value, float)} - {"dur"}
            assert numbers <= set(mine)
            assert {n: mine[n] for n in numbers} == pytest.approx({n: theirs[n] for n in numbers}, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda s: VanillaClassifier(random_state=s, lr=0.002 * (s + 1), **SMALL),
        lambda s: WeightDecayClassifier(random_state=s, weight_decay=0.001 * s, **SMALL),
        lambda s: SoftplusClassifier(random_state=0, beta=1.0 + s, **SMALL),
        lambda s: EstimatedHessianClassifier(random_state=s, **{**SMALL, "module__activation": "tanh"}),
        lambda s: R2ETClassifier(k=1 + s, lambda_gap=0.001 * (s + 1), lambda_hessian=0.01 * (s + 1), **SMALL),
        lambda s: R2ETClassifier(k=2, lambda_hessian=0, gap="hinge", pairs="all", random_state=s, **SMALL),
        lambda s: R2ETClassifier(k=2, warm_up_epochs=2, random_state=s, **SMALL),
        lambda s: R2ETClassifier(k=2, random_state=s, **{**SMALL, "callbacks__lr_schedule": None}),
        lambda s: R2ETClassifier(k=2, random_state=s, **{**SMALL, "module__skip": True, "batch_size": -1}),
        lambda s: CrossLipschitzClassifier(k=2, random_state=s, **SMALL),
    ],
)
def test_a_member_is_what_it_would_be_alone(make, parts):
    assert_as_alone([make(s) for s in range(4)], parts)


def weighted(parts):
    draws = np.random.default_rng(1)
    return [(X, y, {"sample_weight": draws.integers(0, 4, size=len(y))}) for X, y in parts]


@pytest.mark.parametrize(
    "make",
    [
        lambda s: VanillaClassifier(random_state=s, class_weight=[None, "balanced", {0: 5.0}][s % 3], **SMALL),
        lambda s: R2ETClassifier(k=1 + s, warm_up_epochs=1, class_weight={1: s + 1.0}, **SMALL),
        lambda s: R2ETClassifier(k=2, random_state=s, train_split=ValidSplit(4), class_weight={1: s + 1.0}, **SMALL),
    ],
)
def test_weights_of_rows_and_classes_are_the_members_own(make, parts):
    first, second = parts
    assert_as_alone([make(s) for s in range(4)], [*weighted([first]), second])


def test_members_start_from_given_weights(parts):
    old = VanillaClassifier(**{**SMALL, "module__activation": "softplus"}).fit(*parts[0])
    assert_as_alone([R2ETClassifier(k=2, init=old, random_state=s, **SMALL) for s in range(2)], parts)


def test_a_validation_split_and_early_stopping_freeze_members(parts):
    estimators = [
        R2ETClassifier(
            k=2,
            random_state=s,
            lr=0.03 if s else 0.001,
            **{**SMALL, "max_epochs": 30},
            train_split=ValidSplit(4, stratified=True),
            callbacks=[("stop", EarlyStopping(patience=2, load_best=False))],
            callbacks__lr_schedule=None,
        )
        for s in range(3)
    ]
    fits, data = begin_fits([(e, 0) for e in estimators], parts)
    fits = train_fits(fits, data)
    lengths = [len(fit.members[0].net.history) for fit in fits]
    assert min(lengths) < 30
    assert len(set(lengths)) > 1
    assert_as_alone(estimators, parts[:1])


def test_splits_without_validation_rows_are_the_members_own(parts):
    def split(start):
        return lambda dataset, y: (Subset(dataset, range(start, start + 60)), None)

    assert_as_alone([VanillaClassifier(train_split=split(start), **SMALL) for start in (0, 30)], parts[:1])


def test_training_goes_on_where_it_was_interrupted(parts):
    def fits_of():
        return begin_fits(
            [(R2ETClassifier(k=2, warm_up_epochs=2, random_state=s, **SMALL), s) for s in range(2)], parts
        )

    at_once, data = fits_of()
    at_once = train_fits(at_once, data)
    in_parts, _ = fits_of()
    for share in (0.1, 0.3, 0.5, 0.9, 1.0):
        in_parts = train_fits(in_parts, data, share=share, stack_size=1 + (share > 0.4))
    for a, b in zip(at_once, in_parts):
        assert torch.allclose(weights(a.fitted(data)), weights(b.fitted(data)), atol=1e-6)
        assert [len(m.net.history) for m in b.members] == [2, 4]


def test_a_member_that_diverges_leaves_the_others_alone(parts):
    estimators = [R2ETClassifier(k=2, lr=lr, **SMALL) for lr in (0.005, 1e30, 0.01)]
    fits, data = begin_fits([(e, 0) for e in estimators], parts)
    fits = train_fits(fits, data)
    with pytest.raises(DivergedError, match="epoch 1"):
        fits[1].fitted(data)
    for i in (0, 2):
        alone = estimators[i].fit(*parts[0])
        torch.testing.assert_close(weights(fits[i].fitted(data)), weights(alone), rtol=1e-4, atol=1e-5)


class OwnMLP(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)

    def forward(self, x):
        return self.layer(x)


class OwnNet(ObjectiveNet):
    pass


class OwnSteps(VanillaClassifier):
    net_class = OwnNet


@pytest.mark.parametrize(
    ("estimator", "why"),
    [
        (ExactHessianClassifier(**SMALL), "ExactHessian"),
        (R2ETClassifier(hessian="spectral", **SMALL), "ExactHessian"),
        (AdversarialTrainingClassifier(**SMALL), "adversary"),
        (ATEXClassifier(**SMALL), "its own training loop"),
        (VanillaClassifier(module=OwnMLP, max_epochs=1), "OwnMLP"),
        (VanillaClassifier(mixed_precision=True, **SMALL), "mixed_precision"),
        (VanillaClassifier(compile=True, **SMALL), "compile"),
        (OwnSteps(**SMALL), "OwnNet"),
        (VanillaClassifier(optimizer=torch.optim.SGD, max_epochs=1), "SGD"),
        (VanillaClassifier(explainer="integrated_gradients", max_epochs=1), "IntegratedGradients"),
        (VanillaClassifier(criterion__label_smoothing=0.1, max_epochs=1), "cross-entropy"),
        (VanillaClassifier(callbacks=[EpochScoring("accuracy", on_train=True)], max_epochs=1), "EpochScoring"),
    ],
)
def test_what_cannot_be_stacked_says_why(estimator, why, parts):
    (fit,), _ = begin_fits([(estimator, 0)], parts)
    assert why in fit.why_not
    assert fit.members == []


class OwnGap(RankingGap):
    def __call__(self, batch):
        return 2 * super().__call__(batch)


class OwnTerms(R2ETClassifier):
    def terms(self, n_units):
        return [Term("gap", 0.1, OwnGap(k=2))]


class OwnGradient(Gradient):
    def __call__(self, *args, **kwargs):
        return 2 * super().__call__(*args, **kwargs)


class OwnFit(VanillaClassifier):
    """Mixes rows up, as people do who augment their data."""

    def fit(self, X, y):
        return super().fit(np.vstack([X, X + 0.1]), np.r_[y, y])


class OwnPipeline(Pipeline):
    """Drops rows on the way, as those of imbalanced-learn do."""

    def fit(self, X, y=None, **params):
        return super().fit(X[::2], y[::2], **params)


class OwnDataset(Dataset):
    def transform(self, X, y):
        return super().transform(2 * X, y)


class OwnAdam(torch.optim.Adam):
    pass


def by_hand(change, **options):
    """A network of the library that somebody has changed."""
    module = MLP(5, 3, (8, 6), **options)
    change(module)
    return VanillaClassifier(module=module, max_epochs=1)


def first(layer):
    def change(module):
        module.layers[0] = layer

    return change


def unit(activation):
    def change(module):
        module.layers[1] = activation

    return change


CHANGED = {
    "penalty": OwnTerms(**SMALL),
    "explainer": VanillaClassifier(explainer=OwnGradient(), **SMALL),
    "fit": OwnFit(**SMALL),
    "pipeline": OwnPipeline([("s", StandardScaler()), ("m", VanillaClassifier(**SMALL))]),
    "pipeline with a memory": Pipeline([("s", StandardScaler()), ("m", VanillaClassifier(**SMALL))], memory="unused"),
    "data set": VanillaClassifier(dataset=OwnDataset, **SMALL),
    "optimizer": VanillaClassifier(optimizer=OwnAdam, **SMALL),
    "groups of weights": VanillaClassifier(optimizer__param_groups=[("layers.0.*", {"lr": 0.1})], **SMALL),
    "amsgrad": VanillaClassifier(optimizer__amsgrad=True, **SMALL),
    "class weights": VanillaClassifier(criterion__weight=torch.tensor([1.0, 2.0, 3.0]), **SMALL),
    "ignored class": VanillaClassifier(criterion__ignore_index=1, **SMALL),
    "sum": VanillaClassifier(criterion__reduction="sum", **SMALL),
    "generator": VanillaClassifier(iterator_train__generator=torch.Generator(), **SMALL),
    "in order": VanillaClassifier(iterator_train__shuffle=False, **SMALL),
    "loader": VanillaClassifier(iterator_train=torch.utils.data.DataLoader, **SMALL),
    "parts of batches": VanillaClassifier(internal_batch_size=8, **SMALL),
    "frozen": by_hand(lambda module: module.layers[0].requires_grad_(False)),
    "hook": by_hand(lambda module: module.layers[0].register_forward_hook(lambda m, i, o: 2 * o)),
    "hook before": by_hand(lambda module: module.register_forward_pre_hook(lambda m, i: (2 * i[0],))),
    "forward": by_hand(lambda module: setattr(module, "forward", lambda x: 2 * module.layers(x))),
    "parametrization": by_hand(lambda module: weight_norm(module.layers[0])),
    "threshold": by_hand(unit(nn.Softplus(threshold=0.1))),
    "one beta of two": by_hand(unit(nn.Softplus(beta=5))),
    "another activation": by_hand(unit(nn.Tanh())),
    "dropout": by_hand(unit(nn.Dropout(0.5))),
    "no bias": by_hand(first(nn.Linear(5, 8, bias=False))),
    "two layers in one": by_hand(first(nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 8)))),
    "GELU": VanillaClassifier(module__activation="gelu", max_epochs=1),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_a_stack_would_compute_otherwise_is_not_stacked(name, parts):
    (fit,), _ = begin_fits([(CHANGED[name], 0)], parts)
    assert fit.members == []
    assert re.fullmatch(r"(a stack|Only|The|Each|a pipeline|Own\w+)\b.+", fit.why_not), fit.why_not


def test_what_is_not_stacked_is_as_given(parts):
    """The attempt leaves no trace: a fit afterwards draws, and finds its steps, as if there had been none."""
    estimator = Pipeline([("s", StandardScaler()), ("m", OwnFit(random_state=np.random.RandomState(3), **SMALL))])
    (fit,), _ = begin_fits([(estimator, 0)], parts)
    assert fit.estimator is estimator
    assert not hasattr(estimator[0], "mean_")
    assert estimator[-1].random_state.randint(1000) == np.random.RandomState(3).randint(1000)


@pytest.mark.parametrize(
    "estimator",
    [
        VanillaClassifier(lr=-1.0, **SMALL),
        VanillaClassifier(batch_size=0, max_epochs=1),
        VanillaClassifier(callbacks__nothing=None, **SMALL),
        Pipeline([("s", FunctionTransformer(lambda X: 1 / 0)), ("m", VanillaClassifier(**SMALL))]),
    ],
)
def test_what_cannot_be_begun_is_left_to_the_ordinary_fit(estimator, parts):
    (bad, good), _ = begin_fits([(estimator, 0), (VanillaClassifier(**SMALL), 0)], parts)
    with pytest.raises(Exception, match=r"\w") as alone:
        estimator.fit(*parts[0])
    assert type(alone.value).__name__ in bad.why_not
    assert bad.members == []
    assert good.members


def test_members_of_one_stack_have_one_key(parts):
    pairs = [(VanillaClassifier(**SMALL), 0), (VanillaClassifier(**{**SMALL, "batch_size": 16}), 0)]
    fits, data = begin_fits(pairs, parts)
    assert fits[0].key != fits[1].key
    with pytest.raises(ValueError, match="stack_key"):
        train_together([fit.members[0] for fit in fits], data)
