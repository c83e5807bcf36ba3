"""The skorch net: cross-entropy plus weighted penalties, each logged by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from operator import length_hint
from typing import Any, NamedTuple

import torch
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring, PrintLog
from skorch.dataset import unpack_data
from torch import Tensor
from torch.nn import CrossEntropyLoss

from robustxai._validation import nearest_name
from robustxai.exceptions import DivergedError
from robustxai.explainers import Explainer, Gradient
from robustxai.penalties import ExplainedBatch, Penalty
from robustxai.training._schedule import OneCycle

__all__ = ["ObjectiveNet", "Stop", "Term"]


class Term(NamedTuple):
    """One regulariser of an objective: the column it is logged under, its weight and the penalty itself."""

    name: str
    weight: float
    penalty: Penalty


class Stop(Exception):
    """A callback asks for the end of the training."""


class ObjectiveNet(NeuralNetClassifier):
    r"""A skorch net that minimises

    .. math:: \frac{1}{B} \sum_b \Bigl[ w_0\, \mathrm{CE}(z(x_b), y_b) + \sum_t w_t\, P_t(x_b) \Bigr]

    Everything of skorch works as documented there (callbacks, schedules, checkpoints). What is changed: `train_step`
    computes all terms from one explained batch; and the losses of an epoch stay on the device until it ends, when
    ``history`` gets their means: ``train_loss``, ``cross_entropy`` and one column per term (unweighted).

    Parameters
    ----------
    terms : sequence of Term, default=()
        Terms of weight 0 are left out altogether: they cost nothing and change no bit of the result.
    explainer : Explainer, default=Gradient()
        Makes the attribution that the penalties read.
    adversary : callable, optional
        An explained batch in, the inputs that the cross-entropy is taken at out: adversarial training. The penalties
        go on reading the clean batch.
    criterion_weight : float, default=1.0
        :math:`w_0`; 0 where a student learns from a teacher alone. The cross-entropy is logged all the same.
    """

    #: Share of the training that is done; penalties find it in their batch.
    progress_: float = 1.0

    def __init__(
        self,
        *args: Any,
        terms: Sequence[Term] = (),
        explainer: Explainer | None = None,
        adversary: Callable[[ExplainedBatch], Tensor] | None = None,
        criterion_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.terms = terms
        self.criterion_weight = criterion_weight
        self.adversary = adversary
        self.explainer = explainer if explainer is not None else Gradient()

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [
            ("epoch_timer", EpochTimer()),
            ("lr_schedule", OneCycle()),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
            ("print_log", PrintLog()),
        ]

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, **kwargs: Any) -> ObjectiveNet:
        """Train for `epochs`, or until a callback such as EarlyStopping asks for the end."""
        with suppress(Stop):
            super().fit_loop(X, y, epochs, **kwargs)
        return self

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call the callbacks. At the end of an epoch their KeyboardInterrupt is skorch's way to stop the training.

        Anywhere else it is the user's Ctrl-C, which must not pass a half-trained model off as a fitted one.
        """
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt:
            if method_name != "on_epoch_end":
                raise
            raise Stop from None

    def initialize_callbacks(self) -> ObjectiveNet:
        """Make the callbacks; skorch would pass over a ``callbacks__name`` that there is not."""
        names = [name for name, _ in self._uniquely_named_callbacks()]
        for key in vars(self):
            prefix, _, name = key.partition("__")
            if prefix == "callbacks" and name and name.split("__")[0] not in names:
                raise ValueError(f"There is no callback {name.split('__')[0]!r}.{nearest_name(name, names)}")
        return super().initialize_callbacks()

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Tensor:
        """The criterion's value; what is on the device already is not sent there once more."""
        if isinstance(y_true, Tensor) and y_true.device == y_pred.device and type(self.criterion_) is CrossEntropyLoss:
            return self.criterion_(y_pred, y_true)
        return super().get_loss(y_pred, y_true, X=X, training=training)

    def train_step(self, batch: tuple[Any, Any], **fit_params: Any) -> dict[str, Any]:
        """One step of the optimizer, without the closure that only optimizers with several evaluations need."""
        if isinstance(self.optimizer_, torch.optim.LBFGS) or self.listeners("on_grad_computed"):
            return super().train_step(batch, **fit_params)
        self.optimizer_.zero_grad()
        step = self.train_step_single(batch, **fit_params)
        self.optimizer_.step()
        return step

    def listeners(self, method: str) -> list[Callback]:
        """The callbacks that do something there: in small networks the calls that do nothing are felt."""
        if getattr(type(self), method) is not getattr(NeuralNet, method):
            return [callback for _, callback in self.callbacks_] or [Callback()]
        idle = getattr(Callback, method)
        return [c for _, c in self.callbacks_ if getattr(getattr(c, method), "__func__", None) is not idle]

    def train_step_single(self, batch: tuple[Any, Any], **fit_params: Any) -> dict[str, Any]:
        """Loss and gradient of one batch."""
        x, y = unpack_data(batch)
        terms = [term for term in self.terms if term.weight != 0]
        if terms or self.adversary is not None:
            x = x.detach().requires_grad_()
        explained = ExplainedBatch(self.module_, x, self.explainer, y=y, progress=self.progress_)
        logits = explained.logits if self.adversary is None else self.module_(self.adversary(explained).detach())
        loss = self.get_loss(logits, y, X=x, training=True)
        values = {"cross_entropy": loss.detach()}
        if self.criterion_weight != 1:
            loss = self.criterion_weight * loss if self.criterion_weight else torch.zeros_like(loss)
        for term in terms:
            value = term.penalty(explained).mean()
            values[term.name] = value.detach()
            loss = loss + term.weight * value
        loss.backward()
        return {"loss": loss.detach(), "y_pred": logits.detach(), "terms": values}

    def run_single_epoch(
        self, iterator: Iterable, training: bool, prefix: str, step_fn: Callable, **fit_params: Any
    ) -> None:
        """One pass over `iterator`; a training pass reads no number back from the device until it has ended."""
        if not training:
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            return
        self._set_training(True)
        rows: list[int] = []
        losses: dict[str, list[Tensor]] = {}
        n_batches = max(length_hint(iterator), 1)
        before = len(self.history) - 1
        at_begin, at_end = (bool(self.listeners(method)) for method in ("on_batch_begin", "on_batch_end"))
        for number, batch in enumerate(iterator):
            self.__dict__["progress_"] = min((before + min(number / n_batches, 1.0)) / self.max_epochs, 1.0)
            if at_begin:
                self.notify("on_batch_begin", batch=batch, training=True)
            step = step_fn(batch, **fit_params)
            for name, value in {"train_loss": step["loss"], **step["terms"]}.items():
                losses.setdefault(name, []).append(value)
            rows.append(len(batch[0]))
            if at_end:
                self.notify("on_batch_end", batch=batch, training=True, **step)
        weights = torch.tensor(rows, dtype=torch.float64)
        means = {n: float(torch.stack(v).double().cpu() @ weights / weights.sum()) for n, v in losses.items()}
        self.record_epoch(means, len(rows))

    def record_epoch(self, means: dict[str, float], n_batches: int) -> None:
        """Write the means of an epoch's losses into its row of the history; DivergedError if one is not finite."""
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
                "Lower lr or the weights, or standardise the features."
            )
