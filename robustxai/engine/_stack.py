"""Train many nets as one stack."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset

from robustxai._arguments import Each, Instance, Number, checked, optional
from robustxai._compat import mark_stepped, own_callback_names
from robustxai._switches import own_switches
from robustxai.engine._choice import differentiates_inputs, lookahead_of
from robustxai.engine._declared import declares
from robustxai.engine._stack_callbacks import kept_by_callbacks, with_kept
from robustxai.engine._stack_key import active_terms, stack_key
from robustxai.engine._stacked_adam import StackedAdam
from robustxai.engine._stacked_batch import StackedBatch
from robustxai.engine._stacked_mlp import StackedMLP
from robustxai.engine._tensor_batches import batch_size_of, soft_labels_of, tensors_of, weights_of
from robustxai.protocols import Penalty

__all__ = ["StackMember", "Stop", "TrainingRows", "train_together"]

#: Inputs and class indices of a training.
TrainingRows = tuple[np.ndarray, np.ndarray]


class Stop(Exception):
    """Signal that a callback ends the training."""


@dataclass
class StackMember:
    """One training of a stack; it can stop after any epoch and continue, alone or in another stack.

    Attributes
    ----------
    net : ObjectiveNet
        Initialized net. Its module and its optimizer are up to date whenever no stack is running; its `streams` are
        the random streams of this training.
    rows : hashable
        Key of the training's data set.
    moments : list of (Tensor, Tensor)
        Adam's moments of every weight; empty before the first step.
    split : (Dataset, Dataset), optional
        Rows for training and rows for validation, after the split.
    stopped : bool
        True after a callback has ended the training.
    error : Exception, optional
        Error that ended the training.
    """

    net: NeuralNet
    rows: Hashable
    moments: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    split: tuple[Dataset[Any], Dataset[Any]] | None = None
    stopped: bool = False
    error: Exception | None = None

    @property
    def unfinished(self) -> bool:
        """True while epochs are left to train."""
        return not self.stopped and self.error is None and len(self.net.history) < self.net.max_epochs

    def notify(self, method: str, **arguments: Any) -> None:
        """Call the net's callbacks; an error in one of them ends this training only."""
        self.attempt(lambda: self.net.notify(method, **arguments))

    def attempt(self, step: Callable[[], Any]) -> Any:
        """Run a step of this training alone; an error in it ends this training only."""
        try:
            return step()
        except Stop:
            self.stopped = True
        except Exception as error:
            self.error = error
        return None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "kept": kept_by_callbacks(self.net.callbacks_)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        kept = state.pop("kept")
        vars(self).update(state)
        with_kept(self.net, kept)


@own_switches()
@checked(members=Each(Instance(StackMember)), max_epochs=optional(Number(0, integer=True)))
def train_together(
    members: Sequence[StackMember], training_rows: Mapping[Hashable, TrainingRows], max_epochs: int | None = None
) -> None:
    """Train the nets of one stack, in place, for `max_epochs` more epochs or to their end.

    Each training draws its own batches, in the order in which it would draw them alone. Its result equals that of
    training alone up to the rounding of float32, and its callbacks receive the same calls. A training leaves the stack
    when it diverges, when a callback stops it, or when a callback or split raises an error; its net, its history and
    its `error` show the reason.

    Parameters
    ----------
    members : sequence of StackMember
        Trainings with the same `stack_key`. Finished trainings are skipped.
    training_rows : mapping of hashable to (array of shape (n, *features), int array of shape (n,))
        Data sets by the keys in ``StackMember.rows``.
    max_epochs : int, optional
        Number of epochs; all remaining epochs by default.
    """
    members = [member for member in members if member.unfinished]
    if not members:
        return
    if len({stack_key(member.net) for member in members}) > 1:
        raise ValueError("The trainings of a stack must have the same stack_key.")
    left = members[0].net.max_epochs - len(members[0].net.history)
    for member in members:
        _begin(member, training_rows)
    members = [member for member in members if member.error is None]
    if not members:
        return
    stack = _Stack(members, training_rows)
    for _ in range(left if max_epochs is None else min(max_epochs, left)):
        if not stack.members:
            break
        stack.run_epoch()
    stack.leave(range(len(stack.members)))


def _begin(member: StackMember, data: Mapping[Hashable, TrainingRows]) -> None:
    """Notify callbacks of the start of a training, and split its rows, unless this was done before."""
    X, y = data[member.rows]
    if not member.net.history:
        member.notify("on_train_begin", X=X, y=y)
        member.attempt(lambda: member.net.check_data(X, y))  # sets the classes of the net, which scores need
    if member.error is None and member.split is None and member.net.train_split is not None:
        member.split = member.attempt(lambda: member.net.get_split_datasets(X, y))


class _Stack:
    def __init__(self, members: Sequence[StackMember], data: Mapping[Hashable, TrainingRows]) -> None:
        self.members = list(members)
        nets = [member.net for member in members]
        self.device = torch.device(nets[0].device)
        self.batch_size = batch_size_of(nets[0])
        self.module = StackedMLP([net.module_ for net in nets]).to(self.device)
        self.adam = StackedAdam(self.module, [net.optimizer_ for net in nets], [m.moments for m in members])
        penalties = [term.penalty for term in active_terms(nets[0])]
        self.differentiates_inputs = any(differentiates_inputs(penalty) for penalty in penalties)
        self.lookahead = [] if self.differentiates_inputs else lookahead_of(penalties)
        # batch orders come from the CPU's stream; penalties draw on the device
        streams = [net.streams for net in nets if net.streams is not None]  # every net has streams: see stack_key
        self.orders, self.streams = ([own.of(place) for own in streams] for place in ("cpu", self.device))
        self.data = data
        self.splits = [m.split or net.get_split_datasets(*data[m.rows]) for net, m in zip(nets, members)]
        self.weights = [weights_of(train) for train, _ in self.splits]
        self.soft_labels = [soft_labels_of(train) for train, _ in self.splits]  # of all members, or of none
        # the device holds every data set once, one after the other; `first` is the position of a training's first row
        parts: dict[Hashable, tuple[Tensor, Tensor]] = {}
        starts: dict[Hashable, int] = {}
        end = 0
        self.first, self.n_rows = [], []
        for member, (train, _) in zip(members, self.splits):
            # a training with its own split has its own rows
            key = member.rows if member.split is None else id(member)
            if key not in parts:
                parts[key], starts[key] = tensors_of(train), end
                end += len(parts[key][0])
            self.first.append(starts[key])
            self.n_rows.append(len(parts[key][0]))
        self.x = torch.cat([x for x, _ in parts.values()]).to(self.device)
        self.y = torch.cat([y for _, y in parts.values()]).to(self.device)

    # ---------------------------------------------------------------- an epoch

    def run_epoch(self) -> None:
        for member, (train, valid) in zip(self.members, self.splits):
            member.notify("on_epoch_begin", dataset_train=train, dataset_valid=valid)
        self.leave([s for s, member in enumerate(self.members) if member.error is not None])
        if not self.members:
            return
        means, n_batches = self._train_epoch()
        if any(_watches(member.net) for member in self.members):
            self.module.write([member.net.module_ for member in self.members])
        for s, (member, (train, valid)) in enumerate(zip(self.members, self.splits)):
            self._end_epoch(member, {name: values[s] for name, values in means.items()}, n_batches[s], train, valid)
        self.leave([s for s, member in enumerate(self.members) if member.stopped or member.error is not None])

    def _end_epoch(
        self,
        member: StackMember,
        means: dict[str, float],
        n_batches: int,
        train: Dataset[Any],
        valid: Dataset[Any] | None,
    ) -> None:
        """Record the epoch of one training."""
        net = member.net

        def record() -> None:
            net.record_epoch(means, n_batches)
            if valid is not None:
                iterator = net.get_iterator(valid, training=False)
                net.run_single_epoch(iterator, training=False, prefix="valid", step_fn=net.validation_step)
            net.notify("on_epoch_end", dataset_train=train, dataset_valid=valid)

        member.attempt(record)

    def _train_epoch(self) -> tuple[dict[str, list[float]], list[int]]:
        size, n_members = self.batch_size, len(self.members)
        n_rows = torch.tensor(self.n_rows)
        width = int(n_rows.max())
        orders = torch.zeros(n_members, width, dtype=torch.long)
        weights = None if all(own is None for own in self.weights) else torch.ones(n_members, width)
        first = self.soft_labels[0]
        soft = None if first is None else torch.zeros(n_members, width, first.shape[1])
        for s, stream in enumerate(self.orders):
            order = torch.randperm(self.n_rows[s], generator=stream)
            orders[s, : self.n_rows[s]] = order + self.first[s]
            own, labels = self.weights[s], self.soft_labels[s]
            if weights is not None and own is not None:
                weights[s, : self.n_rows[s]] = own[order]
            if soft is not None and labels is not None:
                soft[s, : self.n_rows[s]] = labels[order]
        orders = orders.to(self.device)
        weights = None if weights is None else weights.to(self.device)
        soft = None if soft is None else soft.to(self.device)
        n_batches = -(-n_rows // size)
        rates = self._rates(n_batches.tolist())
        sums: dict[str, Tensor] = {}
        for number, rows in enumerate(orders.split(size, dim=1)):
            counts = (n_rows - number * size).clamp(0, size)
            part = slice(number * size, number * size + rows.shape[1])
            own = None if weights is None else weights[:, part]
            labels = None if soft is None else soft[:, part]
            share = number / float(n_batches.max())
            for name, values in self._step(rows, counts, rates[number], share, own, labels).items():
                sums[name] = sums.get(name, 0.0) + values.double() * counts.to(values.device)
        means = {name: (total.cpu() / n_rows).tolist() for name, total in sums.items()}
        return means, n_batches.tolist()

    def _rates(self, n_batches: list[int]) -> Tensor:
        """Return the learning rates of all steps, (steps, models), and set the last one in each optimizer."""
        rates = torch.empty(max(n_batches), len(self.members), dtype=torch.float64)
        for s, member in enumerate(self.members):
            group = member.net.optimizer_.param_groups[0]
            # the last one of several schedules sets the rate
            cycle = next((c for _, c in reversed(member.net.callbacks_) if declares(c, "sets_rate_in_each_step")), None)
            if cycle is None:
                rates[:, s] = group["lr"]
            else:
                last = max(cycle.n_steps_ - 1, 1)
                factors = [cycle.factor((cycle.step_ + number) / last) for number in range(len(rates))]
                rates[:, s] = group.setdefault("initial_lr", group["lr"]) * torch.tensor(factors, dtype=torch.float64)
                group["lr"] = float(rates[n_batches[s] - 1, s])
            mark_stepped(member.net.optimizer_)
        return rates

    def _step(
        self,
        rows: Tensor,
        counts: Tensor,
        rate: Tensor,
        share: float,
        sample_weight: Tensor | None = None,
        soft_labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        x, y = self.x[rows], self.y[rows]
        terms = [active_terms(member.net) for member in self.members]
        progress = min((len(self.members[0].net.history) - 1 + share) / self.members[0].net.max_epochs, 1.0)
        batch = StackedBatch(
            self.module,
            x.requires_grad_() if self.differentiates_inputs else x,
            self.members[0].net.explainer,
            y=y,
            progress=progress,
            lookahead=self.lookahead,
            streams=self.streams,
            counts=counts.tolist(),
        )
        full = bool((counts == rows.shape[1]).all())
        weights = _row_weights(counts, rows.shape[1]).to(self.device)
        weights = weights if sample_weight is None else weights * sample_weight
        labels = y if soft_labels is None else soft_labels
        losses = nn.functional.cross_entropy(batch.logits.flatten(0, 1), labels.flatten(0, 1), reduction="none")
        losses = losses.view_as(y)
        loss = (losses * weights).sum(dim=1)
        values = {"cross_entropy": loss.detach()}
        for number, term in enumerate(terms[0]):
            value = (_evaluate([t[number].penalty for t in terms], batch) * weights).sum(dim=1)
            values[term.name] = value.detach()
            factors = torch.tensor([t[number].weight for t in terms], dtype=torch.float32, device=self.device)
            loss = loss + factors * value
        loss.sum().backward()
        self.module.finish_backward()
        active = None if full else (counts > 0)
        self.adam.step(rate, None if active is None or bool(active.all()) else active)
        return {"train_loss": loss.detach(), **values}

    # ---------------------------------------------------------------- leaving the stack

    def leave(self, gone: Sequence[int]) -> None:
        """Write weights and moments back to the trainings `gone`, end those that are finished, and keep the others."""
        if not gone:
            return
        moments = self.adam.moments()
        self.module.write([member.net.module_ for member in self.members])
        for s in gone:
            member = self.members[s]
            member.moments = moments[s]
            _write_state(member.net.optimizer_, self.module.parameters_of(member.net.module_), moments[s])
            if member.error is None and not member.unfinished:
                X, y = self.data[member.rows]
                member.notify("on_train_end", X=X, y=y)
        stay = [s for s in range(len(self.members)) if s not in gone]
        for name in ("members", "orders", "streams", "splits", "weights", "soft_labels", "first", "n_rows"):
            setattr(self, name, [getattr(self, name)[s] for s in stay])
        if stay:
            index = torch.tensor(stay, dtype=torch.long)
            self.module = self.module.select(index.to(self.device))
            self.adam = self.adam.select(self.module, index)


def _write_state(optimizer: Optimizer, parameters: Sequence[Tensor], moments: list[tuple[Tensor, Tensor]]) -> None:
    """Set the moments of an Adam to those of training alone."""
    *own, (steps, _) = moments
    if steps == 0:
        return
    group = optimizer.param_groups[0]
    on_device = bool(group.get("fused") or group.get("capturable"))
    for parameter, (m, v) in zip(parameters, own):
        optimizer.state[parameter] = {
            "step": torch.tensor(float(steps), device=parameter.device if on_device else "cpu"),
            "exp_avg": m.reshape(parameter.shape).to(parameter),
            "exp_avg_sq": v.reshape(parameter.shape).to(parameter),
        }


def _watches(net: NeuralNet) -> bool:
    """Return True if a validation or a callback reads the weights after every epoch."""
    own = own_callback_names(net)
    return net.train_split is not None or any(name not in own for name, _ in net.callbacks_)


def _row_weights(counts: Tensor, width: int) -> Tensor:
    """Return the weights that turn a sum over a batch's rows into the mean over the rows that are not padding."""
    return (torch.arange(width) < counts[:, None]).float() / counts.clamp_min(1)[:, None].float()


def _evaluate(penalties: Sequence[Penalty], batch: StackedBatch) -> Tensor:
    """Evaluate the models' penalties, shape (models, rows), with one call for all models that share a penalty."""
    groups: dict[Penalty, list[int]] = {}
    for s, penalty in enumerate(penalties):
        groups.setdefault(penalty, []).append(s)
    if len(groups) == 1:
        return penalties[0](batch)
    parts = [penalty(batch.of_models(torch.tensor(index))) for penalty, index in groups.items()]
    order = torch.tensor([s for index in groups.values() for s in index]).argsort()
    return torch.cat(parts)[order.to(parts[0].device)]
