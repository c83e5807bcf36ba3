"""Many trainings as one: the nets of a stack take their steps together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robustxai._arguments import Each, Instance, Number, checked, optional
from robustxai._switches import own_switches
from robustxai.engine import StackedMLP
from robustxai.training._iterator import batch_size_of, tensors_of
from robustxai.training._net import ObjectiveNet, Stop
from robustxai.training._schedule import OneCycle
from robustxai.training._stack_callbacks import kept_by_callbacks, with_kept
from robustxai.training._stack_key import active_terms, stack_key
from robustxai.training._stacked_adam import StackedAdam
from robustxai.training._stacked_batch import StackedBatch

__all__ = ["Member", "Rows", "train_together"]

#: Rows of an epoch: inputs and class indices.
Rows = tuple[np.ndarray, np.ndarray]


@dataclass
class Member:
    """A training that can stop after any epoch and go on, alone or in another stack.

    Attributes
    ----------
    net : ObjectiveNet
        Initialized; its module and its optimizer are up to date whenever no stack is at work, its `streams` are those
        of the member.
    rows : hashable
        Which of the data sets it learns from.
    moments : list of (Tensor, Tensor)
        Adam's, for every weight; empty before the first step.
    split : (Dataset, Dataset), optional
        The rows to train on and those to validate on, once they have been divided.
    stopped : bool
        A callback has asked for the end.
    error : Exception, optional
        What ended it before its time.
    """

    net: ObjectiveNet
    rows: Hashable
    moments: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    split: tuple[Any, Any] | None = None
    stopped: bool = False
    error: Exception | None = None

    @property
    def going_on(self) -> bool:
        """Whether there is something left to train."""
        return not self.stopped and self.error is None and len(self.net.history) < self.net.max_epochs

    def notify(self, method: str, **arguments: Any) -> None:
        """Call the net's callbacks; what one of them raises ends this member's training and no other's."""
        self.attempt(lambda: self.net.notify(method, **arguments))

    def attempt(self, step: Callable[[], Any]) -> Any:
        """Do a step of the member's own; what it raises ends this training."""
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
@checked(members=Each(Instance(Member)), n_epochs=optional(Number(0, integer=True)))
def train_together(members: Sequence[Member], data: Mapping[Hashable, Rows], n_epochs: int | None = None) -> None:
    """Train the members of one stack, in place, for `n_epochs` more epochs or to their end.

    A member draws its own batches, in the order in which it would draw them alone, and its result is what it would
    be alone up to the rounding of float32. Its callbacks are called as alone, at the end of the training too. A member
    that diverges, whose callback stops it, or whose callback or split raises an error, leaves the stack; its net, its
    history and its `error` tell what happened.

    Parameters
    ----------
    members : sequence of Member
        With one `stack_key`. Members that are not `going_on` are left as they are.
    data : mapping of hashable to (array of shape (n, *features), int array of shape (n,))
        What `Member.rows` names.
    n_epochs : int, optional
        All that are left by default.
    """
    members = [member for member in members if member.going_on]
    if not members:
        return
    if len({stack_key(member.net) for member in members}) > 1:
        raise ValueError("The members of a stack must have one stack_key.")
    left = members[0].net.max_epochs - len(members[0].net.history)
    for member in members:
        _begin(member, data)
    members = [member for member in members if member.error is None]
    if not members:
        return
    stack = _Stack(members, data)
    for _ in range(left if n_epochs is None else min(n_epochs, left)):
        if not stack.members:
            break
        stack.run_epoch()
    stack.leave(range(len(stack.members)))


def _begin(member: Member, data: Mapping[Hashable, Rows]) -> None:
    """Announce the training and divide the rows, if it has not begun yet."""
    X, y = data[member.rows]
    if not member.net.history:
        member.notify("on_train_begin", X=X, y=y)
        member.attempt(lambda: member.net.check_data(X, y))  # it learns its classes there, for scores
    if member.error is None and member.split is None and member.net.train_split is not None:
        member.split = member.attempt(lambda: member.net.get_split_datasets(X, y))


class _Stack:
    def __init__(self, members: Sequence[Member], data: Mapping[Hashable, Rows]) -> None:
        self.members = list(members)
        nets = [member.net for member in members]
        self.device = torch.device(nets[0].device)
        self.batch_size = batch_size_of(nets[0])
        self.module = StackedMLP([net.module_ for net in nets]).to(self.device)
        self.adam = StackedAdam(self.module, [net.optimizer_ for net in nets], [m.moments for m in members])
        penalties = [term.penalty for term in active_terms(nets[0])]
        self.differentiates = not all(getattr(penalty, "in_weights", False) for penalty in penalties)
        self.ahead = [] if self.differentiates else [p for p in penalties if hasattr(p, "point")]
        # the CPU's stream orders the batches; penalties draw on the device
        streams = [net.streams for net in nets if net.streams is not None]  # all, says stack_key
        self.orders, self.streams = ([own.of(place) for own in streams] for place in ("cpu", self.device))
        self.data = data
        self.splits = [m.split or net.get_split_datasets(*data[m.rows]) for net, m in zip(nets, members)]
        # every data set once on the device, end to end; a member knows where its rows begin
        parts: dict[Hashable, tuple[Tensor, Tensor]] = {}
        starts: dict[Hashable, int] = {}
        end = 0
        self.first, self.n_rows = [], []
        for member, (train, _) in zip(members, self.splits):
            # with a split of its own a member has rows of its own
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

    def _end_epoch(self, member: Member, means: dict[str, float], n_batches: int, train: Any, valid: Any) -> None:
        """Book the epoch of one member."""
        net = member.net

        def book() -> None:
            net.record_epoch(means, n_batches)
            if valid is not None:
                iterator = net.get_iterator(valid, training=False)
                net.run_single_epoch(iterator, training=False, prefix="valid", step_fn=net.validation_step)
            net.notify("on_epoch_end", dataset_train=train, dataset_valid=valid)

        member.attempt(book)

    def _train_epoch(self) -> tuple[dict[str, list[float]], list[int]]:
        size, n_members = self.batch_size, len(self.members)
        n_rows = torch.tensor(self.n_rows)
        width = int(n_rows.max())
        orders = torch.zeros(n_members, width, dtype=torch.long)
        for s, stream in enumerate(self.orders):
            orders[s, : self.n_rows[s]] = torch.randperm(self.n_rows[s], generator=stream) + self.first[s]
        orders = orders.to(self.device)
        n_batches = -(-n_rows // size)
        rates = self._rates(n_batches.tolist())
        sums: dict[str, Tensor] = {}
        for number, rows in enumerate(orders.split(size, dim=1)):
            counts = (n_rows - number * size).clamp(0, size)
            for name, values in self._step(rows, counts, rates[number], number / float(n_batches.max())).items():
                sums[name] = sums.get(name, 0.0) + values.double() * counts.to(values.device)
        means = {name: (total.cpu() / n_rows).tolist() for name, total in sums.items()}
        return means, n_batches.tolist()

    def _rates(self, n_batches: list[int]) -> Tensor:
        """Learning rate of every member in every step of the epoch, (steps, members); their optimizers get the last."""
        rates = torch.empty(max(n_batches), len(self.members), dtype=torch.float64)
        for s, member in enumerate(self.members):
            group = member.net.optimizer_.param_groups[0]
            # of several the last one has its way
            cycle = next((c for _, c in reversed(member.net.callbacks_) if isinstance(c, OneCycle)), None)
            if cycle is None:
                rates[:, s] = group["lr"]
            else:
                last = max(cycle.n_steps_ - 1, 1)
                factors = [cycle.factor((cycle.step_ + number) / last) for number in range(len(rates))]
                rates[:, s] = group.setdefault("initial_lr", group["lr"]) * torch.tensor(factors, dtype=torch.float64)
                group["lr"] = float(rates[n_batches[s] - 1, s])
            member.net.optimizer_._opt_called = True  # its schedulers ask
        return rates

    def _step(self, rows: Tensor, counts: Tensor, rate: Tensor, share: float) -> dict[str, Tensor]:
        x, y = self.x[rows], self.y[rows]
        terms = [active_terms(member.net) for member in self.members]
        progress = min((len(self.members[0].net.history) - 1 + share) / self.members[0].net.max_epochs, 1.0)
        batch = StackedBatch(
            self.module,
            x.requires_grad_() if self.differentiates else x,
            self.members[0].net.explainer,
            y=y,
            progress=progress,
            ahead=self.ahead,
            streams=self.streams,
            counts=counts.tolist(),
        )
        full = bool((counts == rows.shape[1]).all())
        weights = _row_weights(counts, rows.shape[1]).to(self.device)
        losses = nn.functional.cross_entropy(batch.logits.flatten(0, 1), y.flatten(), reduction="none").view_as(y)
        loss = (losses * weights).sum(dim=1)
        values = {"cross_entropy": loss.detach()}
        for number, term in enumerate(terms[0]):
            value = (_evaluate([t[number].penalty for t in terms], batch) * weights).sum(dim=1)
            values[term.name] = value.detach()
            factors = torch.tensor([t[number].weight for t in terms], dtype=torch.float32, device=self.device)
            loss = loss + factors * value
        loss.sum().backward()
        self.module.backward()
        active = None if full else (counts > 0)
        self.adam.step(rate, None if active is None or bool(active.all()) else active)
        return {"train_loss": loss.detach(), **values}

    # ---------------------------------------------------------------- members come and go

    def leave(self, gone: Sequence[int]) -> None:
        """Give members their weights and moments, end the training of those that have no more to do, and go on."""
        if not gone:
            return
        moments = self.adam.moments()
        self.module.write([member.net.module_ for member in self.members])
        for s in gone:
            member = self.members[s]
            member.moments = moments[s]
            _write_state(member.net.optimizer_, self.module.parameters_of(member.net.module_), moments[s])
            if member.error is None and not member.going_on:
                X, y = self.data[member.rows]
                member.notify("on_train_end", X=X, y=y)
        stay = [s for s in range(len(self.members)) if s not in gone]
        for name in ("members", "orders", "streams", "splits", "first", "n_rows"):
            setattr(self, name, [getattr(self, name)[s] for s in stay])
        if stay:
            index = torch.tensor(stay, dtype=torch.long)
            self.module = self.module.select(index.to(self.device))
            self.adam = self.adam.select(self.module, index)


def _write_state(optimizer: Any, parameters: Sequence[Tensor], moments: list[tuple[Tensor, Tensor]]) -> None:
    """Give an Adam the moments that it would have alone."""
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


def _watches(net: ObjectiveNet) -> bool:
    """Whether somebody looks at the weights after every epoch."""
    own = {name for name, _ in net._default_callbacks}
    return net.train_split is not None or any(name not in own for name, _ in net.callbacks_)


def _row_weights(counts: Tensor, width: int) -> Tensor:
    """What turns a sum over a batch's rows into the mean over those that are not padding, (members, width)."""
    return (torch.arange(width) < counts[:, None]).float() / counts.clamp_min(1)[:, None].float()


def _evaluate(penalties: Sequence[Any], batch: StackedBatch) -> Tensor:
    """The members' penalties, (members, rows): one call for all that have the same one."""
    groups: dict[Any, list[int]] = {}
    for s, penalty in enumerate(penalties):
        groups.setdefault(penalty, []).append(s)
    if len(groups) == 1:
        return penalties[0](batch)
    parts = [penalty(batch.members(torch.tensor(index))) for penalty, index in groups.items()]
    order = torch.tensor([s for index in groups.values() for s in index]).argsort()
    return torch.cat(parts)[order.to(parts[0].device)]
