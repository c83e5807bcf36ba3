"""What the shared loop does with skorch's parameters, with `init`, and with a fit that fails."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Checkpoint, EarlyStopping, EpochScoring, GradientNormClipping, LRScheduler
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader

from robustxai.classifiers import (
    LinearClassifier,
    R2ETClassifier,
    VanillaClassifier,
    WeightDecayClassifier,
    _epochs,
    _net,
)
from robustxai.exceptions import DivergedError
from robustxai.nets import MLP

from . import conftest
from .test_all import states_equal


def small(cls, **params):
    """Return what the other files take, for three epochs."""
    return conftest.small(cls, **{"max_epochs": 3, **params})


# ------------------------------------------------------------------ skorch by its own names


@pytest.fixture
def split():
    return ValidSplit(3, stratified=True)


def test_early_stopping_stops_and_fits(split, data):
    X, y = data
    options = {"train_split": split, "lr": 1e-9, "max_epochs": 30}  # nothing is learnt, so nothing improves
    clf = small(VanillaClassifier, callbacks=[EarlyStopping(patience=4, threshold=0.1)], **options).fit(X, y)
    assert len(clf.history_) == 5
    assert clf.explain(X).shape == X.shape
    with_output = small(
        VanillaClassifier, callbacks=[EarlyStopping("train_loss", patience=4, threshold=0.1)], **options
    )
    assert len(with_output.fit(X, y).history_) == 5


def test_early_stopping_brings_back_the_best_weights(split, data):
    X, y = data
    stopping = EarlyStopping(patience=30, load_best=True)
    options = {"train_split": split, "lr": 0.5, "max_epochs": 12, "callbacks__lr_schedule": None}
    clf = small(VanillaClassifier, callbacks=[stopping], **options).fit(X, y)
    losses = clf.history_[:, "valid_loss"]
    best = int(np.argmin(losses))
    assert best < 11  # else there is nothing to bring back
    rows = split(clf.net_.get_dataset(X.astype(np.float32), y), y)[1].indices
    probabilities = clf.predict_proba(X[rows])[np.arange(len(rows)), y[rows]]
    assert -np.log(probabilities).mean() == pytest.approx(losses[best], rel=1e-4)


@pytest.mark.parametrize("monitor", ["train_loss_best", "valid_loss_best"])
def test_checkpoints_keep_the_best_weights(monitor, split, data, tmp_path):
    X, y = data
    checkpoint = Checkpoint(monitor=monitor, dirname=tmp_path, load_best=True)
    options = {"train_split": split, "lr": 0.5, "max_epochs": 12, "callbacks__lr_schedule": None}
    clf = small(VanillaClassifier, callbacks=[checkpoint], **options).fit(X, y)
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    assert all(torch.equal(value, saved[name]) for name, value in clf.module_.state_dict().items())
    best = int(np.argmin(clf.history_[:, monitor.removesuffix("_best")]))
    assert clf.history_[best][monitor]
    assert not any(epoch[monitor] for epoch in clf.history_[best + 1 :])
    # the last improvement is what a shorter run ends with
    shorter = small(VanillaClassifier, **{**options, "max_epochs": best + 1}).fit(X, y)
    assert states_equal(shorter, clf)


def test_lr_scheduler_takes_the_place_of_the_one_cycle(data):
    X, y = data
    scheduler = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    options = {"optimizer": torch.optim.SGD, "lr": 0.1, "max_epochs": 3, "batch_size": -1}
    clf = small(VanillaClassifier, callbacks__lr_schedule=scheduler, **options).fit(X, y)
    assert clf.history_[:, "event_lr"] == pytest.approx([0.1, 0.05, 0.025])
    assert clf.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(0.0125)
    named = small(VanillaClassifier, callbacks=[("own", scheduler)], callbacks__lr_schedule=None, **options)
    assert states_equal(named.fit(X, y), clf)


def hit_rate(net, dataset, targets):
    return accuracy_score(targets, net.predict(dataset))


@pytest.mark.parametrize("scorer", ["accuracy", hit_rate])
def test_epoch_scoring_adds_a_column(scorer, split, data):
    X, y = data
    scoring = EpochScoring(scorer, name="valid_acc", lower_is_better=False)
    clf = small(VanillaClassifier, callbacks=[scoring], train_split=split, callbacks__lr_schedule=None).fit(X, y)
    rows = split(clf.net_.get_dataset(X.astype(np.float32), y), y)[1].indices
    assert clf.history_[-1]["valid_acc"] == pytest.approx(clf.score(X[rows], y[rows]))


def test_gradient_norm_clipping_bounds_the_step(data):
    X, y = data
    options = {"optimizer": torch.optim.SGD, "lr": 1.0, "max_epochs": 1, "batch_size": -1}
    options |= {"callbacks__lr_schedule": None}
    start = small(VanillaClassifier, **{**options, "lr": 1e-30}).fit(X, y)
    moved = {}
    for bound in (1e-3, 1e3):
        clf = small(VanillaClassifier, callbacks=[GradientNormClipping(bound)], **options).fit(X, y)
        steps = [a - b for a, b in zip(clf.module_.parameters(), start.module_.parameters())]
        moved[bound] = torch.cat([s.detach().flatten() for s in steps]).norm().item()
    assert moved[1e-3] == pytest.approx(1e-3, rel=1e-2)  # float32 weights of size 1 move by 1e-3
    assert moved[1e3] > 1e-2


def test_another_optimizer_equals_gradient_descent_by_hand(data):
    X, y = data
    options = {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.5, "optimizer__weight_decay": 0.1}
    options |= {"callbacks__lr_schedule": None, "batch_size": -1, "max_epochs": 4, "lr": 0.1}
    clf = small(VanillaClassifier, iterator_train__shuffle=False, **options).fit(X, y)
    module = small(VanillaClassifier, **{**options, "lr": 1e-30, "max_epochs": 1}).fit(X, y).module_
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.5, weight_decay=0.1)
    for _ in range(4):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(torch.as_tensor(X, dtype=torch.float32)), torch.as_tensor(y)).backward()
        optimizer.step()
    for ours, theirs in zip(clf.module_.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_parameter_groups_by_their_skorch_name(data):
    X, y = data
    frozen = small(VanillaClassifier, optimizer__param_groups=[("*bias", {"lr": 0.0})]).fit(X, y)
    start = small(VanillaClassifier, lr=1e-30, max_epochs=1).fit(X, y)
    for (name, ours), theirs in zip(frozen.module_.named_parameters(), start.module_.parameters(), strict=True):
        assert torch.equal(ours, theirs) == name.endswith("bias")


class Own(nn.Module):
    """A module that asks for the table's shape."""

    def __init__(self, n_features, n_classes, width=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, width), nn.Tanh(), nn.Linear(width, n_classes))

    def forward(self, x):
        return self.layers(x)


class Fixed(nn.Module):
    """A module that does not."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Linear(4, 3)

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("params", [{"module": Own, "module__width": 5}, {"module": Fixed}, {"module": Own}])
@pytest.mark.parametrize("cls", [VanillaClassifier, R2ETClassifier])
def test_a_module_of_the_users_own(cls, params, data):
    X, y = data
    options = {"k": 2} if cls is R2ETClassifier else {}
    clf = cls(max_epochs=2, **options, **params).fit(X, y)
    assert type(clf.module_) is params["module"]
    rows = torch.as_tensor(X[:128], dtype=torch.float32)
    assert np.array_equal(clf.predict(X[:128]), clf.module_(rows).argmax(dim=1).numpy())
    assert clone(clf).get_params() == clf.get_params()
    if params["module"] is Own:
        assert clf.module_.layers[0].out_features == params.get("module__width", 3)
        with pytest.raises(TypeError, match="Did you mean 'module__width'"):
            cls(module=Own, module__widht=3)


def test_images_go_through_a_module_that_takes_them():
    class Conv(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Softplus(), nn.Flatten(), nn.Linear(18, n_classes))

        def forward(self, x):
            return self.layers(x)

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2, 4, 5)), rng.integers(0, 2, 40)
    clf = R2ETClassifier(k=4, module=Conv, max_epochs=2).fit(X, y)
    explained = clf.explain(X)
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    chosen = clf.module_(x).softmax(dim=1).amax(dim=1).sum()
    np.testing.assert_allclose(explained, torch.autograd.grad(chosen, x)[0], rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(clf.feature_means_, X.astype(np.float32).mean(axis=0), atol=1e-6)
    with pytest.warns(UserWarning, match=r"number of ranked features \(20\); using k=19"):
        R2ETClassifier(k=40, module=Conv, max_epochs=1).fit(X, y)


def test_a_data_loader_takes_the_place_of_the_iterator(data):
    X, y = data
    options = {"iterator_train__shuffle": False}
    ours = small(VanillaClassifier, **options).fit(X, y)
    theirs = small(VanillaClassifier, iterator_train=DataLoader, iterator_valid=DataLoader, **options).fit(X, y)
    assert states_equal(ours, theirs)


def test_dropout_is_off_once_fitted(data):
    X, y = data

    class Dropped(Own):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.layers.insert(2, nn.Dropout(0.5))

    clf = VanillaClassifier(module=Dropped, max_epochs=2).fit(X, y)
    assert not clf.module_.training
    assert np.array_equal(clf.explain(X), clf.explain(X))


@pytest.mark.parametrize(
    ("cls", "columns"),
    [(VanillaClassifier, ["cross_entropy"]), (R2ETClassifier, ["cross_entropy", "gap", "hessian"])],
)
def test_verbose_prints_a_line_per_epoch_with_a_column_per_term(cls, columns, data, capsys):
    X, y = data
    clf = small(cls, verbose=1).fit(X, y)
    header, rule, *lines = capsys.readouterr().out.splitlines()
    names = header.split()
    assert [name for name in names if name in {"cross_entropy", "gap", "hessian"}] == columns
    assert set(rule) == {"-", " "}
    assert len(lines) == len(clf.history_) == clf.max_epochs
    for line, epoch in zip(lines, clf.history_):
        cells = dict(zip(names, line.split()))
        assert cells["epoch"] == str(epoch["epoch"])
        assert {name: cells[name] for name in columns} == {name: f"{epoch[name]:.4f}" for name in columns}
    small(cls).fit(X, y)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "n_auto"),
    [(25, 1, 200), (100, 5, 400), (150, 50, 200), (48, -1, 400), (45, 7, 400)],
)
def test_auto_epochs_make_two_thousand_steps_within_their_limits(n_rows, batch_size, n_auto, data, monkeypatch):
    """With a fifth or a tenth of the steps, and so within the same limits of epochs; below 50 rows none are tried."""
    assert _net.AUTO_STEPS == 2000
    monkeypatch.setattr(_net, "AUTO_STEPS", n_auto)
    part = tuple((share, n_steps * n_auto // 2000, *decay) for share, n_steps, *decay in _epochs._SCHEDULES)
    monkeypatch.setattr(_epochs, "_SCHEDULES", part)
    X, y = data
    clf = small(VanillaClassifier, max_epochs="auto", batch_size=batch_size).fit(X[:n_rows], y[:n_rows])
    steps = sum(clf.history_[:, "train_batch_count"])
    n_epochs = len(clf.history_)
    per_epoch = steps / n_epochs
    assert 15 <= n_epochs <= 200
    assert n_epochs == 200 or steps >= n_auto
    assert n_epochs == 15 or steps - per_epoch < n_auto


# ------------------------------------------------------------------ init


@pytest.mark.parametrize("kind", ["classifier", "module", "other defense"])
def test_training_starts_from_init(kind, data):
    X, y = data
    source = small(WeightDecayClassifier if kind == "other defense" else VanillaClassifier, random_state=7).fit(X, y)
    init = source.module_ if kind == "module" else source
    still = small(VanillaClassifier, init=init, lr=1e-30, max_epochs=1).fit(X, y)
    assert states_equal(still, source)
    before = source.explain(X)
    moved = small(VanillaClassifier, init=init).fit(X, y)
    assert not states_equal(moved, source)
    assert np.array_equal(source.explain(X), before)


@pytest.mark.parametrize("wrap", [lambda clf: clf, lambda clf: clf.module_, FrozenEstimator])
def test_init_survives_clone_and_cross_validation(wrap, data):
    X, y = data
    source = small(VanillaClassifier, random_state=7).fit(X, y)
    clf = small(VanillaClassifier, init=wrap(source), lr=1e-30, max_epochs=1)
    assert states_equal(clone(clf).fit(X, y), source)
    scores = cross_val_score(clf, X, y, cv=3, n_jobs=2)
    assert scores.mean() == pytest.approx(source.score(X, y))
    assert cross_val_score(clf.set_params(**clf.get_params()), X, y, cv=3).tolist() == scores.tolist()


@pytest.mark.parametrize(
    ("init", "error"),
    [
        (MLP(4, 3, (9,)), ValueError),
        (MLP(5, 3, (8,)), ValueError),
        (nn.Linear(4, 3), ValueError),
        (VanillaClassifier(), NotFittedError),
        ({"layers.0.weight": 1}, TypeError),
    ],
)
def test_an_init_that_does_not_fit(init, error, data):
    clf = small(VanillaClassifier, init=init)
    with pytest.raises(error, match="init "):
        clf.fit(*data)
    with pytest.raises(NotFittedError):
        clf.predict(data[0])


# ------------------------------------------------------------------ fits that fail


@pytest.mark.parametrize("params", [{"lr": 1e30}, {"lr": 1e38, "max_epochs": 1, "batch_size": -1}])
def test_a_diverged_fit_leaves_no_model(params, data):
    X, y = data
    clf = small(R2ETClassifier, lambda_gap=0.02, lambda_hessian=0.5, **params)
    message = r"diverged in epoch \d+: .* not finite .*gap=0.02, hessian=0.5.*Lower lr"
    with pytest.raises(DivergedError, match=message):
        clf.fit(X, y)
    assert not hasattr(clf, "net_")
    for method in (clf.predict, clf.predict_proba, clf.explain):
        with pytest.raises(NotFittedError):
            method(X)
    assert small(R2ETClassifier).fit(X, y).predict_proba(X).max() <= 1


def test_an_interrupted_fit_leaves_no_model(data):
    X, y = data

    class Interrupted(Own):
        def forward(self, x):
            raise KeyboardInterrupt

    clf = VanillaClassifier(module=Interrupted, max_epochs=2)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, y)
    assert not hasattr(clf, "net_")


def test_thread_count_comes_back(data):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        clf = small(VanillaClassifier).fit(*data)
        clf.explain(data[0])
        assert torch.get_num_threads() == 2
        with pytest.raises(DivergedError):
            small(VanillaClassifier, lr=1e30).fit(*data)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_linear_rows_are_in_every_table(binary):
    """The ranking quality of a linear model is that of scikit-learn's own."""
    from sklearn.linear_model import LogisticRegression

    X, y = binary
    ours = LinearClassifier().fit(X, y).predict_proba(X)[:, 1]
    theirs = LogisticRegression().fit(X, y).predict_proba(X)[:, 1]
    assert roc_auc_score(y, ours) == roc_auc_score(y, theirs)
