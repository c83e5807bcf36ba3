"""The skorch net, which minimizes the cross-entropy plus weighted penalties."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from operator import length_hint
from types import MethodType
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring
from skorch.dataset import unpack_data
from skorch.utils import to_device
from torch import Tensor, nn
from torch.nn import CrossEntropyLoss

from robustxai._arguments import COUNT, FLAG, NOT_NEGATIVE, Each, Function, Instance, Number, Text, checked, optional
from robustxai._compat import callback_names, criterion_names, has_hooks, set_training
from robustxai._portable import available, pack, unpack
from robustxai._random import RandomStreams
from robustxai._validation import nearest_name
from robustxai.engine import (
    Differentiation,
    ExplainedBatch,
    LookaheadPenalty,
    Stop,
    WeightedBatch,
    check_compilable,
    choose_differentiation,
    declares,
    lookahead_of,
    set_soft_labels,
    set_weights,
)
from robustxai.exceptions import DivergedError
from robustxai.explainers import Explainer, Gradient
from robustxai.protocols import Penalty
from robustxai.training._epoch_lines import EpochLines
from robustxai.training._foreign import is_ours, may_draw
from robustxai.training._module_check import check_has_weights
from robustxai.training._parts import PartOfBatch, check_sum, criterion_divisor, criterion_shares
from robustxai.training._schedule import OneCycle

__all__ = ["ObjectiveNet", "Term"]


class Term(NamedTuple):
    """One regularizer of an objective: its column in the history, its weight and the penalty itself."""

    name: str
    weight: float
    penalty: Penalty


class _IsTerm(Instance):
    """A term with a name, a number as its weight, and a callable penalty."""

    def fault(self, value: Any) -> type[Exception] | None:
        """Return the exception's type, as `Constraint.fault`."""
        fields = (Text(), "name"), (Number(), "weight"), (Function(), "penalty")
        return super().fault(value) or next((e for c, name in fields if (e := c.fault(getattr(value, name)))), None)


_TERM = _IsTerm(Term, words="a Term of a name, a number and a callable penalty")


class _Plan(NamedTuple):
    """Constants of an epoch, computed once because a step of a small network is short."""

    terms: list[Term]
    #: Differentiation of the network.
    differentiation: Differentiation
    #: Penalties whose points share the forward pass of the inputs.
    lookahead: list[LookaheadPenalty]
    #: The inputs require a gradient. The step does not read it, so that the backward pass does not compute it.
    differentiates_inputs: bool
    #: Source of the penalties' random numbers.
    generator: torch.Generator | None
    #: A step is one evaluation, without the closure that optimizers with several evaluations need.
    one_evaluation: bool


class _Part(NamedTuple):
    """Some rows of a batch, and the weight of their criterion in that of the batch."""

    first: int
    n_rows: int
    share: float
    #: Divisor of the weighted sum over the rows of the batch, if rows have weights.
    divisor: Tensor | float = 1.0

    def n_values(self, penalty: Penalty) -> int:
        """Return the number of values of the penalty for the batch."""
        return min(getattr(penalty, "n_rows", None) or self.n_rows, self.n_rows)


class ObjectiveNet(NeuralNetClassifier):
    r"""A skorch net that minimizes the cross-entropy plus weighted penalties.

    .. math:: \frac{1}{B} \sum_b s_b \Bigl[ w_0\, \mathrm{CE}(z(x_b), y_b) + \sum_t w_t\, P_t(x_b) \Bigr]

    with the weights :math:`s_b` of the rows, 1 by default, scaled to mean 1 over all rows of the training.

    skorch's callbacks, schedules and checkpoints work as documented there. Two things differ: `train_step` computes all
    terms from one explained batch, and the losses of an epoch stay on the device until its end, when ``history`` gets
    their means: ``train_loss``, ``cross_entropy`` and one column per term (unweighted).

    Parameters
    ----------
    terms : sequence of Term, default=()
        Penalties with their names and weights. Terms of weight 0 are not computed and do not change the result.
    explainer : Explainer, default=Gradient()
        Source of the attribution that the penalties read.
    adversary : callable, optional
        Function from an explained batch to the inputs at which the cross-entropy is evaluated, for adversarial
        training. The penalties read the clean batch, whose `attacked` are these inputs.
    criterion_weight : float, default=1.0
        :math:`w_0`; 0 if a student learns from a teacher alone. The cross-entropy is recorded in any case.
    mixed_precision : bool, default=False
        Run the forward passes of training steps, and thereby their derivatives, in bfloat16 (``torch.autocast``).
        Weights, logits, losses and everything outside of training steps stay float32. float16 is not available: its
        smallest number is 6e-8, and loss scaling does not help, because it does not reach the input gradients inside
        a loss.
    internal_batch_size : int, optional
        Number of rows that are computed at once, for batches that do not fit into the memory. The gradients of these
        parts add up to that of the batch, with which the optimizer takes its step. A criterion that is neither a mean
        nor a sum over rows raises an error. Batch normalization and dropout act on the parts.
    streams : RandomStreams, optional
        Source of all random numbers: first weights, order of the batches, penalties, dropout, callbacks. torch's global
        generators are then neither read nor advanced, so that trainings in several threads do not affect each other.
        By default the global generators, as in skorch.

    Attributes
    ----------
    sample_weight_ : ndarray of shape (n_samples,), optional
        Weights of the rows of the training that begins; a classifier sets it before the training and removes it after.
    soft_labels_ : ndarray of shape (n_samples, n_classes), optional
        Targets of the cross-entropy in place of the labels, each row with the sum 1; set and removed in the same way.
        Losses of validation rows are those of the labels.

    Notes
    -----
    ``compile=True`` (of skorch) compiles the module, not the criterion, and is available for objectives that
    differentiate the module once: a compiled module has no second derivative.
    """

    #: A stack supports the training steps of this class; a subclass that does not change them declares this again.
    stackable = True
    #: Completed share of the training, which penalties read from their batch.
    progress_: float = 1.0
    sample_weight_: np.ndarray | None = None
    soft_labels_: np.ndarray | None = None
    #: Constants of the running epoch.
    _plan: _Plan | None = None

    @checked(
        terms=Each(_TERM),
        explainer=optional(Function()),
        adversary=optional(Function()),
        criterion_weight=NOT_NEGATIVE,
        mixed_precision=FLAG,
        internal_batch_size=optional(COUNT),
        streams=optional(Instance(RandomStreams)),
    )
    def __init__(
        self,
        *args: Any,
        terms: Sequence[Term] = (),
        explainer: Explainer | None = None,
        adversary: Callable[[ExplainedBatch], Tensor] | None = None,
        criterion_weight: float = 1.0,
        mixed_precision: bool = False,
        internal_batch_size: int | None = None,
        streams: RandomStreams | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.streams = streams
        self.internal_batch_size = internal_batch_size
        self.terms = terms
        self.criterion_weight = criterion_weight
        self.mixed_precision = mixed_precision
        self.adversary = adversary
        self.explainer = explainer if explainer is not None else Gradient()

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [
            ("epoch_timer", EpochTimer()),
            ("lr_schedule", OneCycle()),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
            ("print_log", EpochLines()),
        ]

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()  # skorch pickles module, criterion and optimizer
        return pack(state) if torch.device(self.device).type != "cpu" else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(unpack(state))
        for name in ("iterator_train__device", "iterator_valid__device"):
            if name in vars(self) and not available(vars(self)[name]):
                setattr(self, name, torch.device(self.device))

    def __deepcopy__(self, memo: dict[int, Any]) -> ObjectiveNet:
        """Copy the net; the parts of a known one without the bytes into which skorch turns every tensor."""
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        if self._has_known_parts():
            copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        else:  # which a class may be able to pickle only
            copied.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return copied

    def _has_known_parts(self) -> bool:
        """Return True if class, modules and optimizers are those of the library, torch or skorch, without hooks."""
        modules = [getattr(self, f"{name}_", nn.Module()) for name in criterion_names(self)]
        layers = [layer for module in modules for layer in module.modules()]
        parts = [type(self), getattr(self, "optimizer_", torch.optim.Adam), *layers]
        return not self.compile and all(map(is_ours, parts)) and not any(map(has_hooks, layers))

    def own_draws(self) -> AbstractContextManager[object]:
        """Return a context in which this thread draws from the net's own streams."""
        return nullcontext() if self.streams is None else self.streams.in_use()

    def initialize(self) -> ObjectiveNet:
        """Create module, optimizer and callbacks; the first weights come from the net's own streams."""
        with self.own_draws():
            return super().initialize()

    def initialize_module(self) -> ObjectiveNet:
        """Create the module; raise ValueError if it has no parameters."""
        super().initialize_module()
        check_has_weights(self.module_)
        return self

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> tuple[Any, Any]:
        """Return the rows for training and those for validation, if any."""
        with self.own_draws():
            train, valid = super().get_split_datasets(X, y, **fit_params)
        if self.sample_weight_ is not None:
            set_weights(train, self.sample_weight_)  # rows for validation are a subset of the same data set
        if self.soft_labels_ is not None:
            set_soft_labels(train, self.soft_labels_)
        return train, valid

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return the batches of a data set, in an order from the net's own stream."""
        with self.own_draws():
            iterator = super().get_iterator(dataset, training=training)
        if declares(iterator, "on_device") and iterator.generator is None and self.streams is not None:
            iterator.generator = self.streams.of("cpu")
        for name, refuse in _REFUSALS.items():
            if getattr(self, f"{name}_") is not None and not hasattr(iterator, name):
                refuse(f"the iterator {type(iterator).__name__} does not carry them. Use TensorBatches")
        return iterator

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, **kwargs: Any) -> ObjectiveNet:
        """Train for `epochs`, or until a callback such as EarlyStopping ends the training."""
        try:
            with suppress(Stop):
                super().fit_loop(X, y, epochs, **kwargs)
        finally:  # closes progress bars after an error too, of which skorch does not notify callbacks
            for _, callback in self.callbacks_:
                if hasattr(callback, "close"):
                    callback.close()
        return self

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call the callbacks.

        At the end of an epoch, a KeyboardInterrupt from a callback ends the training, as in skorch. Elsewhere it comes
        from the user's Ctrl-C and is raised, because an incompletely trained model must not count as fitted.
        """
        try:
            with self.own_draws():
                super().notify(method_name, **kwargs)
        except KeyboardInterrupt:
            if method_name != "on_epoch_end":
                raise
            raise Stop from None

    def reweigh(self, name: str, weight: float) -> None:
        """Set the weight of a term, other than 0, from the next step on."""
        self.terms = [term._replace(weight=weight) if term.name == name else term for term in self.terms]
        if self._plan is not None:  # of the running epoch
            self.__dict__["_plan"] = self._plan._replace(terms=[term for term in self.terms if term.weight != 0])

    def check_soft_labels(self) -> None:
        """Raise NotImplementedError if the criterion does not take soft labels: it is not the plain cross-entropy."""
        criterion = self.criterion_
        if type(criterion) is not CrossEntropyLoss:
            _refuse_soft_labels(f"{type(criterion).__name__} takes labels only. Leave out criterion")
        if criterion.weight is not None:
            _refuse_soft_labels("criterion__weight weighs labels. Use class_weight")
        if criterion.ignore_index >= 0:
            _refuse_soft_labels("criterion__ignore_index is about labels. Give these rows the sample_weight 0")

    def initialize_callbacks(self) -> ObjectiveNet:
        """Create the callbacks; raise ValueError for an unknown ``callbacks__name``, which skorch would ignore."""
        names = callback_names(self)
        for key in vars(self):
            prefix, _, name = key.partition("__")
            if prefix == "callbacks" and name and name.split("__")[0] not in names:
                raise ValueError(f"There is no callback {name.split('__')[0]!r}.{nearest_name(name, names)}")
        return super().initialize_callbacks()

    def torch_compile(self, module: nn.Module, name: str) -> nn.Module:
        """Compile the module, not the criterion, which is one operation; raise ValueError if this cannot be trained."""
        if not self.compile or name not in self._modules:
            return module
        parts = [term.penalty for term in self.terms if term.weight != 0]
        check_compilable(parts if self.adversary is None else [*parts, self.adversary])
        return super().torch_compile(module, name)

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Tensor:
        """Return the criterion's value, without skorch's conversions of labels that are on the device already."""
        if getattr(y_true, "device", None) == y_pred.device and type(self.criterion_) is CrossEntropyLoss:
            return self.criterion_(y_pred, y_true)
        return super().get_loss(y_pred, y_true, X=X, training=training)

    def train_step(self, batch: tuple[Any, Any], **fit_params: Any) -> dict[str, Any]:
        """Take one step of the optimizer."""
        if not (self._plan or self._make_plan()).one_evaluation:
            return super().train_step(batch, **fit_params)
        self.optimizer_.zero_grad()
        step = self.train_step_single(batch, **fit_params)
        self.optimizer_.step()
        return step

    def listeners(self, method: str) -> list[MethodType]:
        """Return the methods of this net's class and of its callbacks that override an empty `method` of skorch.

        Empty calls take a noticeable share of the time of small networks and are left out.
        """
        own = [] if getattr(type(self), method) is getattr(NeuralNet, method) else [getattr(self, method)]
        calls = [getattr(callback, method) for _, callback in self.callbacks_]
        idle = getattr(Callback, method)
        return own + [call for call in calls if getattr(call, "__func__", None) is not idle]

    def _call(self, listener: MethodType, **kwargs: Any) -> None:
        """Call a listener, within `own_draws` if it is neither the library's nor skorch's and may draw."""
        with nullcontext() if is_ours(listener.__self__) else self.own_draws():
            listener(self, **kwargs)

    def _step_may_draw(self) -> bool:
        """Return True if a part of a training step may draw from torch's global generators."""
        parts = [self.explainer, self.adversary, self.optimizer_, *(t.penalty for t in self.terms if t.weight != 0)]
        parts += [getattr(self, f"{name}_") for name in criterion_names(self)]
        foreign = [cls for cls in type(self).__mro__ if not is_ours(cls) and issubclass(cls, ObjectiveNet)]
        return bool(foreign) or any(may_draw(part) for part in parts)

    def _batches(self, iterator: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches of an iterator; a foreign iterator draws from the net's own streams."""
        if declares(iterator, "on_device"):
            yield from iterator
            return
        with self.own_draws():
            batches = iter(iterator)
        while True:
            with self.own_draws():
                try:
                    batch = next(batches)
                except StopIteration:
                    return
            yield batch

    def train_step_single(self, batch: tuple[Any, Any], **fit_params: Any) -> dict[str, Any]:
        """Compute loss and gradient of one batch, in parts of `internal_batch_size` rows."""
        x, y = unpack_data(batch)
        if not declares(self.iterator_train, "on_device"):
            x, y = to_device((x, y), self.device)
        size = self.internal_batch_size or len(x)
        weights, soft = getattr(batch, "sample_weight", None), getattr(batch, "soft_labels", None)
        if len(x) <= size:
            return self._add_gradient(x, y, weights, soft)
        return self._add_gradient_in_parts(x, y, weights, soft, size)

    def validation_step(self, batch: tuple[Any, Any], **fit_params: Any) -> dict[str, Any]:
        """Return predictions and loss of a batch, in which rows have their weights."""
        step = super().validation_step(batch, **fit_params)
        weights = getattr(batch, "sample_weight", None)
        if weights is not None:
            with torch.no_grad():
                step["loss"] = self._weighted_criterion(step["y_pred"], batch[1], batch[0], weights, training=False)
        return step

    def _add_gradient_in_parts(
        self, x: Tensor, y: Tensor, weights: Tensor | None, soft: Tensor | None, size: int
    ) -> dict[str, Any]:
        """Call `_add_gradient` for `size` rows at a time; penalties draw the same numbers as for the whole batch."""
        generator = (self._plan or self._make_plan()).generator
        before = torch.empty(0) if generator is None else generator.get_state()
        labels = y.split(size)
        steps = []
        own = [None] * len(labels) if weights is None else weights.split(size)
        divisor = 1.0 if weights is None else criterion_divisor(self.criterion_, y, weights)
        for number, share in enumerate(criterion_shares(self.criterion_, labels)):
            if generator is not None:
                generator.set_state(before)
            rows = slice(number * size, number * size + len(labels[number]))
            part = _Part(rows.start, len(x), share, divisor)
            steps.append(self._add_gradient(x[rows], y[rows], own[number], None if soft is None else soft[rows], part))
        total = {name: sum(step["terms"][name] for step in steps) for name in steps[0]["terms"]}
        logits = torch.cat([step["y_pred"] for step in steps])
        if weights is None and soft is None:  # the criterion of every row counts by itself otherwise
            check_sum(self.criterion_, logits, y, total["cross_entropy"])
        return {"loss": sum(step["loss"] for step in steps), "y_pred": logits, "terms": total}

    def _add_gradient(
        self,
        x: Tensor,
        y: Tensor,
        weights: Tensor | None = None,
        soft: Tensor | None = None,
        part: _Part | None = None,
    ) -> dict[str, Any]:
        """Add the gradient of the loss, or of a part's share in the loss of its batch, to that of the weights."""
        plan = self._plan or self._make_plan()
        if plan.differentiates_inputs:
            x = x.detach().requires_grad_()
        explained = (ExplainedBatch if part is None else partial(PartOfBatch, first=part.first, n_rows=part.n_rows))(
            plan.differentiation,
            x,
            self.explainer,
            y=y,
            progress=self.progress_,
            lookahead=plan.lookahead,
            generator=plan.generator,
        )
        with _bfloat16(self.module_, x.device.type) if self.mixed_precision else nullcontext():
            if self.adversary is not None:
                explained.attacked = self.adversary(explained).detach()
            logits = explained.logits if self.adversary is None else self.module_(explained.attacked)
            loss = self._criterion_of(logits, y if soft is None else soft.to(logits.dtype), x, weights, part)
            values = {"cross_entropy": loss.detach()}
            if self.criterion_weight != 1:
                loss = self.criterion_weight * loss if self.criterion_weight else torch.zeros_like(loss)
            for term in plan.terms:
                value = term.penalty(explained)
                if weights is not None:  # a penalty may read the first rows only
                    value = value * weights[: len(value)]
                value = value.mean() if part is None else value.sum() / part.n_values(term.penalty)
                values[term.name] = value.detach()
                loss = torch.add(loss, value, alpha=term.weight)
        self.backward(loss)
        plan.differentiation.finish_backward()
        return {"loss": loss.detach(), "y_pred": logits.detach(), "terms": values}

    def _criterion_of(self, logits: Tensor, y: Tensor, x: Tensor, weights: Tensor | None, part: _Part | None) -> Tensor:
        if weights is not None:
            return self._weighted_criterion(logits, y, x, weights, None if part is None else part.divisor)
        if part is None:
            return self.get_loss(logits, y, X=x, training=True)
        if part.share == 0:  # all rows are ignored, and the mean over no rows is NaN
            return 0.0 * logits.sum()
        return part.share * self.get_loss(logits, y, X=x, training=True)

    def _weighted_criterion(
        self,
        logits: Tensor,
        y: Tensor,
        x: Tensor,
        weights: Tensor,
        divisor: Tensor | float | None = None,
        training: bool = True,
    ) -> Tensor:
        """Return the weighted sum of the rows' criteria, divided by `divisor`, that of these rows by default."""
        criterion = self.criterion_
        if divisor is None:
            divisor = criterion_divisor(criterion, y, weights)
        kept = getattr(criterion, "reduction", None)
        if kept not in ("mean", "sum"):
            _refuse_weights(f"{type(criterion).__name__} has no reduction='none', which gives one loss per row")
        criterion.reduction = "none"
        try:
            losses = self.get_loss(logits, y, X=x, training=training)
        finally:
            criterion.reduction = kept
        if losses.shape != weights.shape:
            _refuse_weights(f"{type(criterion).__name__} does not return one loss per row with reduction='none'")
        return (losses * weights).sum() / divisor

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of `loss` to that of the weights; a net for several machines may override this."""
        if (self._plan or self._make_plan()).differentiates_inputs:
            weights = [w for group in self.optimizer_.param_groups for w in group["params"] if w.requires_grad]
            torch.autograd.backward(loss, inputs=weights)
        else:
            loss.backward()

    def _make_plan(self) -> _Plan:
        terms = [term for term in self.terms if term.weight != 0]
        penalties = [term.penalty for term in terms]
        written_out = self.adversary is None and not self.mixed_precision
        differentiation = choose_differentiation(self.module_, penalties, self.explainer, written_out=written_out)
        differentiates_inputs = differentiation.needs_input_graph and bool(terms or self.adversary is not None)
        return _Plan(
            terms=terms,
            differentiation=differentiation,
            lookahead=[] if differentiation.needs_input_graph else lookahead_of(penalties),
            differentiates_inputs=differentiates_inputs,
            generator=None if self.streams is None else self.streams.of(self.device),
            one_evaluation=not (isinstance(self.optimizer_, torch.optim.LBFGS) or self.listeners("on_grad_computed")),
        )

    def run_single_epoch(
        self, iterator: Iterable[Any], training: bool, prefix: str, step_fn: Callable[..., Any], **fit_params: Any
    ) -> None:
        """Run one pass over `iterator`; a training pass reads no number from the device before its end."""
        if not training:
            with nullcontext() if declares(iterator, "on_device") and not self._step_may_draw() else self.own_draws():
                super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            return
        with self.own_draws() if self._step_may_draw() else nullcontext():
            self._run_training_epoch(iterator, step_fn, **fit_params)

    def _run_training_epoch(self, iterator: Iterable[Any], step_fn: Callable[..., Any], **fit_params: Any) -> None:
        set_training(self, True)
        rows: list[int] = []
        losses: dict[str, list[Tensor]] = {}
        n_batches = max(length_hint(iterator), 1)
        before = len(self.history) - 1
        at_begin, at_end = self.listeners("on_batch_begin"), self.listeners("on_batch_end")
        if at_end or any(not declares(listener.__self__, "ignores_batch_record") for listener in at_begin):
            at_begin.insert(0, super().on_batch_begin)  # a callback may read skorch's record of the batch
        carried = [name for name in _REFUSALS if getattr(iterator, name, None) is not None]
        self.__dict__["_plan"] = self._make_plan()
        try:
            for number, batch in enumerate(self._batches(iterator)):
                self.__dict__["progress_"] = min((before + min(number / n_batches, 1.0)) / self.max_epochs, 1.0)
                for listener in at_begin:
                    self._call(listener, batch=batch, training=True)
                if carried and not isinstance(batch, WeightedBatch):
                    refuse = _REFUSALS[carried[0]]
                    refuse(f"the batches of {type(iterator).__name__} do not carry them. Use TensorBatches")
                step = step_fn(batch, **fit_params)
                for name, value in {"train_loss": step["loss"], **step["terms"]}.items():
                    losses.setdefault(name, []).append(value)
                rows.append(len(batch[0]))
                for listener in at_end:
                    self._call(listener, batch=batch, training=True, **step)
        finally:
            del self.__dict__["_plan"]  # it holds the graph of the last batch
        weights = torch.tensor(rows, dtype=torch.float64)
        means = {n: float(torch.stack(v).double().cpu() @ weights / weights.sum()) for n, v in losses.items()}
        self.record_epoch(means, len(rows))

    def record_epoch(self, means: dict[str, float], n_batches: int) -> None:
        """Record the means of an epoch's losses in the history; raise DivergedError if one is not finite."""
        self.check_finite(means)
        best = min((epoch["train_loss"] for epoch in self.history[:-1]), default=float("inf"))
        for name, mean in means.items():
            self.history.record(name, mean)
        self.history.record("train_loss_best", means["train_loss"] < best)
        self.history.record("train_batch_count", n_batches)

    def check_finite(self, means: dict[str, float]) -> None:
        """Raise DivergedError, naming the epoch, if a value is not finite."""
        bad = [name for name, value in means.items() if not torch.isfinite(torch.tensor(value))]
        if bad:
            weights = ", ".join(f"{t.name}={t.weight:g}" for t in self.terms) or "none"
            raise DivergedError(
                f"Training diverged in epoch {len(self.history)}: {', '.join(bad)} not finite "
                f"(lr={self.lr:g}, weights of the penalties: {weights}). "
                "Lower lr or the weights, or standardize the features."
            )


def _refuse_weights(reason: str) -> NoReturn:
    raise NotImplementedError(f"Rows cannot have weights (sample_weight, class_weight) here, because {reason}.")


def _refuse_soft_labels(reason: str) -> NoReturn:
    raise NotImplementedError(f"A teacher or soft_labels cannot be used here, because {reason}.")


#: What the batches of a training may carry beside inputs and labels, and the error of those that do not.
_REFUSALS: dict[str, Callable[[str], NoReturn]] = {
    "sample_weight": _refuse_weights,
    "soft_labels": _refuse_soft_labels,
}


@contextmanager
def _bfloat16(module: nn.Module, device_type: str) -> Iterator[None]:
    """Run the calls of `module` inside the block under autocast; they return float32, for the precision of the loss.

    Autocast does not cover the whole block, because it would also round the products inside penalties, and would reuse
    weights that it converted in a pass without gradients, again without gradients, in the next pass.
    """
    call = ExitStack()

    def begin(module: nn.Module, inputs: Any) -> None:
        call.enter_context(torch.autocast(device_type, torch.bfloat16))

    def end(module: nn.Module, inputs: Any, logits: Any) -> Any:
        call.close()
        return logits if logits.dtype == torch.float32 else logits.float()  # bounds need logits without a conversion

    with call, module.register_forward_pre_hook(begin), module.register_forward_hook(end):
        yield
