"""The loop that every classifier shares: validate, build the skorch net, train, predict, explain."""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data
from torch import nn
from typing_extensions import Self

from robustxai._all_or_nothing import all_or_nothing
from robustxai._arguments import (
    COUNT,
    FLAG,
    POSITIVE,
    SEED,
    Choice,
    Constraint,
    Each,
    Either,
    Exactly,
    Flag,
    Function,
    Instance,
    Nothing,
    Number,
    Text,
    check_arguments,
    checked,
    optional,
)
from robustxai._doubts import warn_of_ball
from robustxai._fingerprint import content_key
from robustxai._frames import as_pandas, in_numbers, like
from robustxai._models import module_of
from robustxai._portable import available, pack, unpack
from robustxai._random import RandomStreams
from robustxai._switches import own_switches, trainable
from robustxai._validation import nearest_name
from robustxai.classifiers._params import NetParamsMixin
from robustxai.engine import stackable
from robustxai.exceptions import MismatchWarning, OverfittingWarning
from robustxai.explainers import EXPLAINER, ExactAttribution, Explainer, resolve_explainer
from robustxai.nets import NETS, accepted_arguments, check_inputs, check_shape, choose_net
from robustxai.nets._copy import copy_with_modules
from robustxai.penalties import ExplainedBatch
from robustxai.ranking import count_units
from robustxai.training import (
    HeldOut,
    ObjectiveNet,
    Schedule,
    TensorBatches,
    Term,
    TrainingProgress,
    draw_seed,
    small_net_threads,
    watch_held_out,
)
from robustxai.training._module_check import check_module

__all__ = ["BaseExplainableClassifier"]

#: Rows that are explained or predicted at once: enough to fill the arithmetic units, small enough for any memory.
_CHUNK = 4096
#: Entries of images and graphs, whose activations are as large as they are, in a chunk: a GB of ResNet9 on CIFAR-10.
_CHUNK_ENTRIES = 2**20
#: Steps that ``max_epochs="auto"`` aims at.
_AUTO_STEPS = 2000
#: Rows of a table of which ``max_epochs="auto"`` holds some out to watch: fewer tell nothing, more do not overfit.
_WATCHED_ROWS = (50, 50_000)
#: With fewer rows the defense itself is watched, with more a plain training, which all of a search have in common.
_OWN_ROWS = 500
#: What is tried on held-out rows, from the shortest training on: share of all epochs, least number of steps, decay
#: times the number of rows, and the largest decay. Under a larger one few rows make smooth networks constant.
_SCHEDULES = (
    (1 / 8, 200, 10.0, 0.015),
    (1 / 4, 400, 10.0, 0.015),
    (1 / 4, 400, 3.0, 0.005),
    (1.0, _AUTO_STEPS, 0.0, 0.0),
)
#: A network overfits if its held-out loss is this many times its training loss, this much larger (in nats), and has
#: risen by this much from its lowest value. A few rows that are hard for every network do not make it rise.
_FAR_TIMES, _FAR_ABOVE, _RISEN = 2.0, 0.1, 0.05
#: Rows are padded to a multiple of this: BLAS sums a few rows in another order, and the last entries of an array miss
#: the vectorized loop, whose softplus rounds otherwise. A row's result is then independent of its company.
_BLOCK = 32


class _IsCallback(Constraint):
    """A callback of skorch, its class, or a pair of a name and one of these or None."""

    def fault(self, value: Any) -> type[Exception] | None:
        """As `Constraint.fault`."""
        if isinstance(value, (tuple, list)):
            named = len(value) == 2 and isinstance(value[0], str)
            return None if named and (value[1] is None or hasattr(value[1], "on_train_begin")) else TypeError
        return None if hasattr(value, "on_train_begin") else TypeError

    def says(self) -> str:
        """As `Constraint.says`."""
        return "a skorch callback, or a pair of a name and one"

    def good(self) -> Iterator[Any]:
        """As `Constraint.good`."""
        yield TrainingProgress()


#: What may be given for two of skorch's parameters.
MODULE = Either(
    (Choice(("auto", *NETS)), Instance((nn.Module, type)), Function()),
    words="a name, a class of torch modules or a module",
)
CALLBACKS = Either(
    (Exactly("disable"), Each(_IsCallback()), Nothing()), words="a list of skorch callbacks, 'disable' or None"
)
#: What may be given for `batch_size`, in words.
_ROWS = "an integer number of rows >= 1, or -1 for all"


class BaseExplainableClassifier(NetParamsMixin, ClassifierMixin, BaseEstimator):
    """Base of the classifiers: a scikit-learn estimator that owns a skorch net.

    A defense subclasses it, names its hyper-parameters in ``__init__`` and returns its regularizers from `terms`.

    Parameters
    ----------
    explainer : str or Explainer, default="gradient"
        Attribution that is trained for, and that `explain` returns: "gradient" (of the predicted class's probability),
        "log_odds_gradient", "logit_gradient", "cross_entropy_gradient" or any callable
        ``(module, x, target) -> attribution``.
    device : str, default="auto"
        "auto" takes the GPU if there is one; else a torch device name. Both this and `explainer` may be changed by
        ``set_params`` after `fit` and take effect at once; all other parameters wait for the next `fit`.
    random_state : int, RandomState or None, default=0
        Seed of initialization and batch order. A fixed default: an audit must be repeatable without asking.
    max_epochs : int or "auto", default="auto"
        Passes over the data. "auto" takes as many as 2,000 steps need, but no less than 15 and no more than 200. On
        tables of 50 to 50,000 rows it first looks whether that overfits: a fifth of the rows, stratified, is held out,
        and the network is trained on the others (from 500 rows on by cross-entropy alone), first for an eighth of the
        epochs (at least 200 steps) with a weight decay of 10 / n_samples (at most 0.015), then for a quarter (400
        steps) with that and with 3 / n_samples (at most 0.005), then for all of them without, until one overfits. The
        longest whose held-out loss is within 0.01 of the lowest is the schedule by which this classifier is then
        trained **on all rows**; `schedule_` says which. No row is lost, and the seed does not matter to the choice.
        Nothing is held out where `max_epochs` is a number, or with `init`, ``train_split``, ``callbacks``, ``compile``
        or a module instance; a weight decay that is given (``optimizer__weight_decay``, or that of a defense) stays,
        and only the epochs are chosen. docs/results/default-epochs.md has the evidence.
    lr : float, default=0.005
        Peak learning rate of Adam.
    batch_size : int, default=128
        Rows per step; -1 for all.
    warm_up_epochs : int, default=0
        Epochs of plain cross-entropy before the defense's own training begins, with a learning-rate schedule of their
        own. Some penalties, :class:`R2ETClassifier` with ``gap="distance"`` for one, ruin a network that knows nothing
        yet, and are cheap for one that does.
    init : fitted classifier, Pipeline or search, skorch net, nn.Module or None, default=None
        Start from these weights instead of random ones. The module must have the same parameters.
    verbose : int, default=0
        1 prints one line per epoch with a column per term of the objective, 2 shows a bar with the time left.
    mixed_precision : bool, default=False
        Run the forward passes of training steps in bfloat16. Weights, predictions, explanations and attacks stay
        float32. It pays for wide networks on GPUs and on CPUs with bfloat16 instructions, and makes small ones slower.
        The input gradients of a training step then have about three digits too, so that penalties that compare
        gradients see the noise of rounding. float16 is not offered: it would need its loss scaled, and the scale does
        not reach the input gradients inside of a loss.
    internal_batch_size : int, optional
        Rows of a batch that are computed at once, all by default. Where a batch with its second derivatives does not
        fit into the memory, a smaller number gives the same training up to rounding, in more time: class weights and
        what penalties draw included. A criterion that is neither a mean nor a sum over rows is refused with
        NotImplementedError. Batch normalization sees the parts, and dropout draws for them.
    **net_params
        Any skorch parameter by its skorch name: ``module``, ``module__hidden``, ``optimizer__weight_decay``,
        ``callbacks``, ``callbacks__lr_schedule=None``, ``train_split``, ``iterator_train``, ... ``module="auto"``, the
        default, goes by the shape of X (:func:`robustxai.nets.choose_net`): MLP for tables, ConvNet for images,
        GraphNet for adjacency matrices, Siamese for pairs; "mlp", "conv", "resnet9", "graph" and "siamese" are these
        and ResNet9 by name. A module class gets what its ``__init__`` names of
        ``n_features``, ``in_shape``, ``n_classes`` and what the defense asks for (``activation``, ``beta``); its
        methods ``check_inputs(X)`` and ``check_shape(shape)``, if it has them, refuse data with a ValueError before
        training and in use. ``compile=True`` (and
        ``compile__mode`` etc.) trains through ``torch.compile`` where no penalty needs second derivatives; the
        fitted module is the plain one again.

    Attributes
    ----------
    net_ : ObjectiveNet
        The fitted skorch net.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str, only for DataFrame input
    feature_means_ : ndarray of shape (*features,)
        Mean of the training inputs: what faithfulness metrics put in the place of a removed feature.
    feature_scales_ : ndarray of shape (*features,)
        Standard deviation of the training inputs, to tell a radius that is tiny or huge beside it.
    feature_range_ : ndarray of shape (2, *features)
        Lowest and highest value of every feature in the training inputs.
    k_, ranking_ : int and str
        Size of the top set that was trained for, after clipping, and what was ranked; of defenses with such parameters.
    history_ : skorch History
        One row per epoch. Where rows were held out to choose the epochs, ``held_out_train_loss`` and ``held_out_loss``
        are the cross-entropies of that plain training; with a ``train_split`` of yours there is ``valid_loss``.
        :class:`robustxai.exceptions.OverfittingWarning` is given where the loss on held-out rows is more than twice
        that on training rows, and has risen; and where the shortest training of "auto" is the best of all, or none is
        better than a constant.
    schedule_ : Schedule
        ``max_epochs`` and ``weight_decay`` that were trained with.
    """

    net_defaults = {
        "module": "auto",
        "optimizer": torch.optim.Adam,
        "criterion": nn.CrossEntropyLoss,
        "iterator_train": TensorBatches,
        "iterator_valid": TensorBatches,
    }

    #: The net that trains: a subclass trains in another way, such as on several GPUs.
    net_class: ClassVar[type[ObjectiveNet]] = ObjectiveNet

    _constraints: ClassVar[Mapping[str, Constraint]] = {
        "explainer": EXPLAINER,
        "device": Either((Text(), Instance(torch.device)), words="'auto' or the name of a torch device"),
        "random_state": SEED,
        "max_epochs": Either((COUNT, Exactly("auto"))),
        "lr": POSITIVE,
        "batch_size": Either((Number(1, integer=True, words=_ROWS), Exactly(-1)), words=_ROWS),
        "warm_up_epochs": Number(0, integer=True),
        "verbose": Either((Number(0, integer=True), FLAG)),
        "mixed_precision": Flag(
            words="True (bfloat16) or False (float32)",
            advice="float16 is not offered, because the loss scaling that it needs does not reach the input gradients "
            "inside a loss.",
        ),
        "internal_batch_size": optional(COUNT),
    }

    def __init__(
        self,
        *,
        explainer: str | Explainer = "gradient",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = 0,
        max_epochs: int | str = "auto",
        lr: float = 0.005,
        batch_size: int = 128,
        warm_up_epochs: int = 0,
        init: Any = None,
        verbose: int = 0,
        mixed_precision: bool = False,
        internal_batch_size: int | None = None,
        **net_params: Any,
    ) -> None:
        self.explainer = explainer
        self.device = device
        self.random_state = random_state
        self.max_epochs = max_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.warm_up_epochs = warm_up_epochs
        self.init = init
        self.verbose = verbose
        self.mixed_precision = mixed_precision
        self.internal_batch_size = internal_batch_size
        self._store_net_params(net_params, TypeError)

    # ---------------------------------------------------------------- hooks

    def terms(self, n_units: int) -> list[Term]:
        """The regularizers of this defense for inputs with `n_units` ranked units."""
        return []

    def adversary(self) -> Callable[[ExplainedBatch], torch.Tensor] | None:
        """Where the cross-entropy is taken instead of at the clean inputs, if anywhere (adversarial training)."""
        return None

    def module_params(self) -> dict[str, Any]:
        """Arguments of the default module that this defense asks for."""
        return {"activation": "relu"}

    def optimizer_params(self) -> dict[str, Any]:
        """Arguments of the optimizer that this defense asks for."""
        return {}

    def training_radius(self) -> tuple[str, float, Any] | None:
        """Name and value of the radius in which this defense trains, and its norm, if it does so in a ball."""
        return None

    def _trained_for(self) -> dict[str, Any]:
        """What is ranked in training: `k` and `ranking`, where a defense has them."""
        return {name: getattr(self, name) for name in ("k", "ranking") if name in self._get_param_names()}

    # ---------------------------------------------------------------- fit

    @stackable
    def fit(self, X: Any, y: Any) -> Self:
        """Train on X of shape (n_samples, *features) and labels y of shape (n_samples,).

        Raises
        ------
        ValueError
            X with NaN or infinity or of a shape that the network does not take, a single class, or a parameter out of
            its range.
        DivergedError
            The loss stopped being finite; nothing of this fit is kept (a model of an earlier one stays).
        """
        with all_or_nothing(self), own_switches():
            X, codes, classes = self._check_fit(X, y)
            watched = self._watch(X, codes, len(classes))
            nets = self._start(X, len(classes), watched)
            with small_net_threads(nets[-1].module_):
                for number, net in enumerate(nets):
                    if number:
                        _load_weights(net.module_, nets[number - 1].module_)
                    self.train_net(net, X, codes)
            return self._finish(nets[-1], X, classes)

    # Three parts, so that a search can train many estimators between the second and the last.

    def _check_fit(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Check parameters and data: X as the net sees it, class indices, and the classes."""
        self.check_params()
        X = as_pandas(X)
        with in_numbers(X):
            X, y = validate_data(self, X, y, dtype=np.float32, allow_nd=True)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least two classes; "
                f"y holds one class only: {classes.tolist()[0]!r}."
            )
        ball = self.training_radius()
        if ball is not None:
            name, radius, norm = ball
            names, cure = getattr(self, "feature_names_in_", None), f"another {name}"
            spread = X.std(axis=0, dtype=np.float64)
            warn_of_ball(name, radius, spread, norm=norm, names=names, cure=cure, category=MismatchWarning)
        return _plain(X), codes.astype(np.int64), classes

    def _watch(self, X: np.ndarray, codes: np.ndarray, n_classes: int) -> HeldOut | None:
        """What the plain training of this network is worth on held-out rows, by the schedule that is best for them.

        None where nothing is held out: where the number of epochs is given, where the user watches or continues a
        training, where no net is trained on a table, or where there are too few or too many rows.
        """
        if self._watch_key(len(X)) is None or X.ndim != 2 or not _WATCHED_ROWS[0] <= len(X) <= _WATCHED_ROWS[1]:
            return None
        make_net = partial(self._make_net, X, n_classes, resolve_device(self.device), verbose=0)
        if not self._watches_itself(len(X)):
            make_net = partial(make_net, terms=[], adversary=None)
        return watch_held_out(make_net, X, codes, self._schedules(len(X)))

    def _schedules(self, n_rows: int) -> list[Schedule]:
        """What to try, the shortest first."""
        longest, per_epoch = self._n_epochs(n_rows), self._steps_per_epoch(n_rows)
        given = self._weight_decay_is_given()
        schedules = [
            Schedule(
                min(max(math.ceil(share * longest), -(-n_steps // per_epoch)), longest),
                None if given or not decay else min(decay / n_rows, largest),
            )
            for share, n_steps, decay, largest in _SCHEDULES
        ]
        return list(dict.fromkeys(schedules))

    def _watches_itself(self, n_rows: int) -> bool:
        """Whether the defense's own training is watched: with few rows it stands less decay than a plain one."""
        return n_rows < _OWN_ROWS and not self.warm_up_epochs

    def _watch_key(self, n_rows: int) -> Hashable:
        """Estimators with the same key, fitted on the same rows, see the same held-out losses; None: they see none."""
        params = self._net_params()
        if self.max_epochs != "auto" or self.init is not None or self.net_class is not ObjectiveNet:
            return None
        if {"train_split", "callbacks", "compile"} & params.keys():
            return None
        if isinstance(params.get("module"), nn.Module):  # it may bring weights along, as `init` does
            return None
        own = (self.device, self.lr, self.batch_size, self.mixed_precision, self.internal_batch_size)
        asked = [params, self.module_params(), self.optimizer_params()]
        if self._watches_itself(n_rows):
            asked.append(self.get_params() | {"random_state": None, "type": type(self).__name__})
        if not type(self).__module__.startswith("robustxai."):  # a class of somebody else's may make another net
            asked.append({"type": type(self)})
        return content_key(type(self).net_defaults["module"], own, *(sorted(names.items()) for names in asked))

    def _weight_decay_is_given(self) -> bool:
        """Whether somebody has decided on the weight decay: the user, the defense or another optimizer than Adam."""
        params = self._net_params()
        adam = params.get("optimizer", self.net_defaults["optimizer"]) is torch.optim.Adam
        names = {"optimizer__weight_decay", "optimizer__param_groups"}
        return not adam or bool(names & params.keys()) or "weight_decay" in self.optimizer_params()

    def _start(self, X: np.ndarray, n_classes: int, watched: HeldOut | None = None) -> list[ObjectiveNet]:
        """The initialized nets that train one after the other, each from the weights of the one before."""
        device = resolve_device(self.device)
        streams = RandomStreams(draw_seed(self.random_state))
        changes = {} if watched is None else watched.schedule.changes
        net = self._make_net(X, n_classes, device, streams=streams, **changes)
        net.held_out_ = watched
        net.initialize()
        with net.own_draws():
            check_inputs(_unwrapped(net.module_), X)
        if not type(_unwrapped(net.module_)).__module__.startswith("robustxai."):
            check_module(_unwrapped(net.module_), X, n_classes)
        if self.init is not None:
            _load_weights(net.module_, self.init)
        if not self.warm_up_epochs:
            return [net]
        # its random weights are not used, and cost no draws: they come from streams of their own
        unused = RandomStreams(streams.seed)
        changes |= {"max_epochs": self.warm_up_epochs}
        plain = self._make_net(X, n_classes, device, terms=[], adversary=None, streams=unused, **changes)
        plain.initialize()
        plain.streams = streams
        _load_weights(plain.module_, net.module_)
        return [plain, net]

    def _finish(self, net: ObjectiveNet, X: np.ndarray, classes: np.ndarray) -> Self:
        """Take a trained net over."""
        device = torch.device(net.device)
        module = _unwrapped(net.module_)
        if module is not net.module_:  # the plain one can be explained, certified and pickled
            net.module_ = module
        net.module_.eval()
        with torch.no_grad():  # the losses of the epochs do not show what the last step did
            rows = torch.tensor(X[: _chunk(X)], device=device)
            net.check_finite({"logits": net.module_(rows).sum().item()})
        # float64, because the mean of many float32 values loses digits
        self.net_, self.classes_, self.feature_means_ = net, classes, X.mean(axis=0, dtype=np.float64)
        self.device_, self.feature_scales_ = device, X.std(axis=0, dtype=np.float64)
        self.feature_range_ = np.stack([X.min(axis=0), X.max(axis=0)])
        n_units = count_units(X.shape[1:])
        for name, value in self._trained_for().items():
            setattr(self, f"{name}_", min(int(value), max(n_units - 1, 1)) if name == "k" else value)
        self._compare_losses()
        return self

    def _compare_losses(self) -> None:
        """Put the held-out losses into the history, and warn where they are far above those of the training."""
        history, watched = self.history_, getattr(self.net_, "held_out_", None)
        if watched is not None:
            for epoch, training, held_out in zip(history, watched.training, watched.held_out):
                epoch.update(held_out_train_loss=training, held_out_loss=held_out)
            losses = list(zip(watched.training, watched.held_out))
        else:
            losses = [(e["cross_entropy"], e["valid_loss"]) for e in history if {"cross_entropy", "valid_loss"} <= {*e}]
        if not losses:
            return
        best = min(range(len(losses)), key=lambda epoch: losses[epoch][1])
        brought_back = any(getattr(callback, "load_best", False) for _, callback in self.net_.callbacks_)
        training, held_out = losses[best if brought_back else -1]
        far = held_out > _FAR_TIMES * training and held_out > training + _FAR_ABOVE
        if far and held_out > losses[best][1] + _RISEN:
            decay = max(2 * (self.schedule_.weight_decay or 0.0), 0.01)
            warnings.warn(
                f"The cross-entropy of rows that {type(self).__name__} was trained on is {training:.3f}, that of "
                f"held-out rows {held_out:.3f} (lowest in epoch {best + 1} of {len(losses)}: {losses[best][1]:.3f}): "
                "the network overfits, and its probabilities are too confident. Use fewer epochs "
                f"(max_epochs={best + 1}), more weight decay (optimizer__weight_decay={decay:g}), or more rows.",
                OverfittingWarning,
                stacklevel=3,
            )
        elif watched is not None and watched.too_few_rows:
            warnings.warn(
                f"{type(self).__name__} has too few rows: on held-out ones the shortest training that it tries is the "
                f"best, or none does better than a constant (cross-entropy {held_out:.3f} after "
                f"{watched.schedule.max_epochs} epochs). Compare with LinearClassifier, which may be as good here, use "
                "more rows, or set max_epochs and optimizer__weight_decay.",
                OverfittingWarning,
                stacklevel=3,
            )

    @stackable
    def train_net(self, net: ObjectiveNet, X: np.ndarray, codes: np.ndarray) -> None:
        # Not net.partial_fit: it swallows KeyboardInterrupt and would hand on a half-trained model as fitted.
        net.notify("on_train_begin", X=X, y=codes)
        net.fit_loop(X, codes, epochs=net.max_epochs - len(net.history))  # a checkpoint may have brought some back
        net.notify("on_train_end", X=X, y=codes)

    def check_params(self) -> None:
        """Check what scikit-learn leaves unchecked; subclasses extend it."""
        check_arguments(self)
        params = self._net_params()
        for name, constraint in (("module", MODULE), ("callbacks", CALLBACKS)):
            if name in params:
                constraint.check(name, params[name], type(self).__name__)

    def _make_net(self, X: np.ndarray, n_classes: int, device: torch.device, **changes: Any) -> ObjectiveNet:
        """The net that trains, `changes` to its arguments included."""
        params = self._net_params()
        module = params.pop("module", self.net_defaults["module"])
        if isinstance(module, str):
            chosen = choose_net(X) if module == "auto" else NETS[module]
            _check_module_params(module, chosen, params, X.shape)
            module = chosen
        defaults: dict[str, Any] = {**self.net_defaults, "train_split": None}
        del defaults["module"]
        if inspect.isclass(module):
            wanted = {"n_features": int(np.prod(X.shape[1:])), "in_shape": X.shape[1:], "n_classes": n_classes}
            arguments = accepted_arguments(module, {**wanted, **self.module_params()})
            defaults |= {f"module__{name}": value for name, value in arguments.items()}
        defaults |= {f"optimizer__{name}": value for name, value in self.optimizer_params().items()}
        merged = {**defaults, **_copies({**params, "module": module})}
        module = merged.pop("module")
        if merged["optimizer"] is torch.optim.Adam:
            merged.setdefault("optimizer__fused", True)  # one kernel for all weights: a quarter off a small net's step
        for name in ("iterator_train", "iterator_valid"):
            if merged[name] is TensorBatches:
                merged[f"{name}__device"] = device
        merged.setdefault("iterator_train__shuffle", True)
        merged.setdefault("iterator_valid__batch_size", _chunk(X))
        if changes.get("verbose", self.verbose) > 1 and merged.get("callbacks") != "disable":
            merged["callbacks"] = [*(merged.get("callbacks") or []), ("progress", TrainingProgress())]
        own = {
            "terms": self.terms(count_units(X.shape[1:])),
            "explainer": resolve_explainer(self.explainer),
            "adversary": self.adversary(),
            "lr": self.lr,
            "max_epochs": self._n_epochs(len(X)),
            "batch_size": self.batch_size,
            "device": str(device),
            "verbose": int(self.verbose == 1),
            "mixed_precision": bool(self.mixed_precision),
            "internal_batch_size": self.internal_batch_size,
        }
        return self.net_class(module, **{**own, **merged, **changes})

    def _n_epochs(self, n_rows: int) -> int:
        if self.max_epochs != "auto":
            return int(self.max_epochs)
        return min(max(-(-_AUTO_STEPS // self._steps_per_epoch(n_rows)), 15), 200)

    def _steps_per_epoch(self, n_rows: int) -> int:
        return -(-n_rows // (self.batch_size if self.batch_size > 0 else n_rows))

    def set_params(self, **params: Any) -> Self:
        """Set parameters; an unknown name raises ValueError with the nearest valid one.

        Of a fitted classifier, `explainer` and `device` take effect at once: from then on it explains in the new way,
        and its network is moved. All other parameters are about training, and wait for the next `fit`.

        Raises
        ------
        ValueError, TypeError
            Of a fitted classifier, an explainer or a device that there is not; nothing is set then.
        """
        if not self.__sklearn_is_fitted__():
            return super().set_params(**params)
        if "explainer" in params:
            resolve_explainer(params["explainer"])
        device = resolve_device(params["device"]) if "device" in params else self.device_
        super().set_params(**params)
        if device != self.device_:
            self._move(device)
        return self

    def _move(self, device: torch.device) -> None:
        """Take the fitted network to another device."""
        self.net_.module_.to(device)
        self.net_.criterion_.to(device)
        self.net_.device = str(device)
        for name in ("iterator_train__device", "iterator_valid__device"):
            if hasattr(self.net_, name):
                setattr(self.net_, name, device)
        self.device_ = device

    # ---------------------------------------------------------------- use

    @property
    def module_(self) -> nn.Module:
        """The fitted torch module: inputs of shape (n, *features) to logits (n, n_classes).

        In evaluation mode whenever it is asked for here, whatever was done to it, or to `net_`, in between: dropout is
        off, and batch normalization uses its statistics. To call it in training mode, hold it and call its ``train``.
        """
        module = self.net_.module_
        if any(part.training for part in module.modules()):
            module.eval()
        return module

    @property
    def explainer_(self) -> Explainer:
        """What explains: `explainer`, that of a later ``set_params`` too. Attacks, certificates and metrics read it."""
        check_is_fitted(self)
        return resolve_explainer(self.explainer)

    @property
    def schedule_(self) -> Schedule:
        """Number of epochs and weight decay of the training."""
        return Schedule(self.net_.max_epochs, float(self.net_.optimizer_.param_groups[0].get("weight_decay", 0.0)))

    @property
    def history_(self) -> Any:
        """Training history, one entry per epoch."""
        return self.net_.history

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities, shape (n_samples, n_classes), columns as in `classes_`.

        A row alone has the result that it has in company, to a relative 1e-6: float32 sums are ordered by the batch.
        """
        logits = self._forward(self._validate_inputs(X))
        # float64, so that the rows of very confident predictions still sum to one
        return logits.double().softmax(dim=-1).cpu().numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Predicted labels, shape (n_samples,)."""
        logits = self._forward(self._validate_inputs(X))
        return self.classes_[logits.argmax(dim=-1).cpu().numpy()]

    @checked(explainer=optional(EXPLAINER))
    @stackable
    def explain(self, X: Any, y: Any = None, *, explainer: str | Explainer | None = None) -> Any:
        """Attribution of every feature, signed, of the predicted class.

        Parameters
        ----------
        X : array-like of shape (n_samples, *features)
            Inputs, as in `fit`.
        y : array-like of shape (n_samples,) or a single label, optional
            Explain these classes instead of the predicted ones.
        explainer : str or Explainer, optional
            Explain in this way, for this call alone; by default as the parameter `explainer` says. What was trained
            for does not change: a defense makes the explanations stable that it was trained with.

        Returns
        -------
        ndarray or DataFrame of the shape of X
            float64, in units of the explained output per unit of X; a DataFrame of the kind of X (pandas, polars, ...)
            if X is one, with its columns and its index. It is the exact explanation of the network's weights up to
            the rounding of float64, at X as given (`predict` rounds X to float32). Confident rows do not underflow:
            see :class:`robustxai.explainers.ExactAttribution`.
        """
        with own_switches():
            seen = self._validate_inputs(X)  # as the network sees it, in the range of float32
            target = self._forward(seen).argmax(dim=-1) if y is None else self.encode_target(seen, y)
            on_mps = self.device_.type == "mps"  # which has no float64
            inputs = seen if on_mps else self._validate_inputs(X, dtype=[np.float64, np.float32])
            chosen = self.explainer_ if explainer is None else resolve_explainer(explainer)
            attribution = self._in_chunks(ExactAttribution(chosen, self.module_), inputs, target)
        return like(X, attribution.cpu().numpy())

    def encode_target(self, X: Any, y: Any = None) -> torch.Tensor:
        """Class indices on the device for labels `y` (predicted ones by default), shape (n_samples,)."""
        if y is None:
            return self._forward(self._validate_inputs(X)).argmax(dim=-1)
        labels = np.asarray(y)
        if labels.ndim:
            check_consistent_length(X, labels)
        matches = np.broadcast_to(labels, (len(X),))[:, None] == self.classes_
        unknown = ~matches.any(axis=1)
        if unknown.any():
            label = np.broadcast_to(labels, (len(X),))[unknown].tolist()[0]
            raise ValueError(f"y holds {label!r}, which is none of the classes {self.classes_.tolist()}.")
        with own_switches():
            return torch.as_tensor(matches.argmax(axis=1), device=self.device_)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    def __sklearn_clone__(self) -> Self:
        copied = super().__sklearn_clone__()
        copied.init = self.init  # scikit-learn clones it too, and a clone has no weights to start from
        return copied

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        device = state.get("device_", torch.device("cpu"))
        return {**pack(state), "net_": state["net_"]} if device.type != "cpu" else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(unpack(state))
        if "net_" in state:  # copied or unpickled, in the caller's inference mode perhaps
            trainable(self.net_.module_)
            if not available(self.device_):
                self._move(torch.device(self.net_.device))  # which is where skorch has put it

    def _validate_inputs(self, X: Any, dtype: Any = np.float32) -> np.ndarray:
        check_is_fitted(self)
        X, module = as_pandas(X), _unwrapped(self.module_)
        with in_numbers(X):
            if self.feature_means_.ndim > 1:  # scikit-learn looks at axis 1 alone, and calls channels features
                check_shape(module, check_array(X, dtype=dtype, allow_nd=True, input_name="X").shape)
            X = validate_data(self, X, reset=False, dtype=dtype, allow_nd=True)
        check_shape(module, X.shape)
        return _plain(X)

    def _forward(self, X: np.ndarray) -> torch.Tensor:
        module = self.module_
        dtype = next((w.dtype for w in module.parameters() if w.is_floating_point()), torch.float32)
        with own_switches(), torch.no_grad():
            return self._in_chunks(lambda rows: module(rows.to(dtype)), X)

    def _in_chunks(self, function: Callable[..., torch.Tensor], X: np.ndarray, *others: torch.Tensor) -> torch.Tensor:
        """`function` of X, and of `others` row by row, a bounded number of rows at a time."""
        rows = torch.arange(len(X), device=self.device_)
        rows = torch.cat([rows, rows[-1:].expand(-len(rows) % _BLOCK)])
        columns = [torch.from_numpy(X).to(self.device_), *others]
        with small_net_threads(self.module_):
            parts = [function(*(column[chunk] for column in columns)) for chunk in rows.split(_chunk(X))]
        return torch.cat(parts)[: len(X)]


def resolve_device(device: str) -> torch.device:
    """The torch device of that name, "auto" being the GPU if there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is no torch device; use 'auto', 'cpu' or 'cuda'.") from error
    if resolved.type == "cpu":
        return torch.device("cpu")  # pickles of tensors on "cpu:0" cannot be read
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device={device!r} was asked for, but torch {torch.__version__} sees no GPU here. "
            "Use device='cpu' or 'auto', or install a CUDA build of torch."
        )
    return resolved


def _chunk(X: np.ndarray) -> int:
    """How many rows of X are explained or predicted at once: whole blocks."""
    if X.ndim == 2:
        return _CHUNK
    return min(_CHUNK, max(_CHUNK_ENTRIES // math.prod(X.shape[1:]) // _BLOCK, 1) * _BLOCK)


def _check_module_params(asked: str, module: type[nn.Module], params: dict[str, Any], shape: tuple[int, ...]) -> None:
    """ValueError for a ``module__name`` that is for another network than the one which the data asked for."""
    names = set(inspect.signature(module.__init__).parameters) - {"self"}
    for key in params:
        prefix, _, name = key.partition("__")
        if prefix == "module" and name not in names:
            raise ValueError(
                f"module={asked!r} is {module.__name__} for X of shape {shape}, and that has no parameter {name!r}."
                f"{nearest_name(name, names)}"
            )


def _plain(X: np.ndarray) -> np.ndarray:
    """A copy that torch takes: it refuses negative strides and warns of read-only memory."""
    return np.array(X, order="C")


def _load_weights(module: nn.Module, init: Any) -> None:
    """Copy the weights of a fitted classifier (in a Pipeline or search too), a skorch net or a module into `module`."""
    source, _ = module_of(init, "init")
    try:
        _unwrapped(module).load_state_dict(copy.deepcopy(_unwrapped(source).state_dict()))
    except RuntimeError as error:
        raise ValueError(f"init does not fit the module that this classifier trains: {error}") from error


def _copies(params: dict[str, Any]) -> dict[str, Any]:
    """`params` with copies of what trains or is moved to a device: modules, criteria and what they are made of."""
    memo: dict[int, Any] = {}  # one for all, so that what two arguments share stays shared
    copies = dict(params)
    for name, value in params.items():
        if name.partition("__")[0] in ("module", "criterion"):
            try:
                copies[name] = copy_with_modules(value, memo)
            except Exception as error:
                raise TypeError(
                    f"{name} cannot be copied ({type(error).__name__}: {error}), and a fit trains a copy. Pass a "
                    "class, and what it needs as module__...: every fit then makes an instance of its own."
                ) from error
    return copies


def _unwrapped(module: nn.Module) -> nn.Module:
    """The module inside of what torch.compile or distributed training put around it."""
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        module = module.module
    return getattr(module, "_orig_mod", module)
