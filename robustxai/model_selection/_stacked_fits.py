"""Fit many estimators at once: select those that can be stacked, split them into stacks, and train."""

from __future__ import annotations

import copy
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from sklearn import get_config
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object, process_routing

from robustxai._fingerprint import digest
from robustxai._switches import own_switches
from robustxai.engine import StackMember, TrainingRows, batch_size_of, declares, stack_key, train_together
from robustxai.training import ObjectiveNet

__all__ = ["Part", "StackedFit", "begin_fits", "portions", "train_fits"]

#: Models of a stack on a CPU. More models do not reduce the cost per model of starting operations any further, and do
#: not fit into the cache.
_CPU_STACK = 32
#: Share of the free memory of a GPU that a stack may use.
_GPU_SHARE = 0.7
#: Reason for a NotImplementedError without a message.
_UNKNOWN = "a part of it is not implemented for stacks"
#: Approximate number of tensors that a training step keeps, each of the size of all units of a batch.
_KEPT = 40


class Part(NamedTuple):
    """A part of the data: inputs, labels, and parameters of ``fit`` for these rows, such as `sample_weight`."""

    X: Any
    y: Any
    params: Mapping[str, Any] = MappingProxyType({})


@dataclass
class StackedFit:
    """State of the fit of one estimator on one part of the data.

    Attributes
    ----------
    estimator : estimator
        Estimator with its parameters; the first steps of a pipeline are fitted if the fit can be stacked.
    part : int
        Index of the part of the data.
    members : list of StackMember
        Phases of the training, the warm-up first; empty if the fit cannot be stacked.
    why_not : str
        Reason why the fit cannot be stacked.
    rows : hashable
        Key of the data set on which it trains.
    classes : ndarray
        Class labels.
    key : hashable
        Fits with the same key form a stack.
    seconds : float
        Share of the fit in the time of its stacks.
    """

    estimator: Any
    part: int
    members: list[StackMember] = field(default_factory=list)
    why_not: str = ""
    rows: Hashable = None
    classes: np.ndarray | None = None
    key: Hashable = None
    seconds: float = 0.0

    @property
    def classifier(self) -> Any:
        """Last step of a pipeline, or the estimator itself."""
        return self.estimator[-1] if isinstance(self.estimator, Pipeline) else self.estimator

    @property
    def error(self) -> Exception | None:
        """Error that ended the training."""
        return next((m.error for m in self.members if m.error is not None), None)

    @own_switches()
    def fitted(self, data: dict[Hashable, TrainingRows]) -> Any:
        """Return the estimator in its current state of training; raise the error that ended the training."""
        if self.error is not None:
            raise self.error
        # a shallow copy, because some users' steps cannot be copied deeply
        estimator = copy.copy(self.estimator)
        classifier = copy.copy(self.classifier)
        if isinstance(estimator, Pipeline):
            estimator.steps = [*estimator.steps[:-1], (estimator.steps[-1][0], classifier)]
        else:
            estimator = classifier
        reached = [member for member in self.members if len(member.net.history)] or self.members[:1]
        classifier._finish(copy.deepcopy(reached[-1]).net, data[self.rows][0], self.classes)
        return estimator


@own_switches()
def begin_fits(
    candidates: Iterable[tuple[Any, int]],
    parts: Sequence[tuple[Any, ...]],
    watched: dict[Hashable, Any] | None = None,
) -> tuple[list[StackedFit], dict[Hashable, TrainingRows]]:
    """Check and initialize all fits.

    Parameters
    ----------
    candidates : iterable of (unfitted estimator, int)
        Each estimator with the index of its part of the data.
    parts : sequence of (X, y) or (X, y, dict)
        Parts of the data, in the form that the estimators take, with parameters of their ``fit``.
    watched : dict, optional
        Results on held-out rows, and soft labels of teachers, of earlier calls with the same parts; new results are
        added. Estimators that differ only in their penalties, weights and seeds share one result on held-out rows;
        those of one teacher and seed share its soft labels.

    Returns
    -------
    fits : list of StackedFit
    data : dict of hashable to (array of shape (n, *features), int array of shape (n,))
        Training data of the fits, after the first steps of their pipelines.
    """
    fits: list[StackedFit] = []
    data: dict[Hashable, TrainingRows] = {}
    watched = {} if watched is None else watched
    for estimator, part in candidates:
        try:
            fit = StackedFit(clone(estimator), part)
            _begin(fit, Part(*parts[part]), data, watched)
        except NotImplementedError as reason:
            fit = StackedFit(estimator, part, why_not=str(reason) or _UNKNOWN)
        except Exception as error:  # the ordinary fit of the estimator raises it again
            fit = StackedFit(estimator, part, why_not=f"{type(error).__name__}: {error}")
        fits.append(fit)
    return fits, data


def _begin(
    fit: StackedFit,
    part: Part,
    data: dict[Hashable, TrainingRows],
    watched: dict[Hashable, Any],
) -> None:
    X, y, params = part
    if isinstance(fit.estimator, Pipeline) and type(fit.estimator) is not Pipeline:
        raise NotImplementedError(f"{type(fit.estimator).__name__} may fit its steps in another way than a Pipeline")
    classifier = fit.classifier
    if not hasattr(classifier, "train_net"):
        raise NotImplementedError(f"{type(classifier).__name__} is not a classifier of this library")
    if not declares(type(classifier).train_net, "stackable"):
        raise NotImplementedError(f"{type(classifier).__name__} has its own training loop")
    if not declares(type(classifier).fit, "stackable"):
        raise NotImplementedError(f"{type(classifier).__name__} has its own fit")
    of_steps, own = _by_step(fit.estimator, params) if params else ({}, {})
    if own.keys() - {"sample_weight", "soft_labels"}:
        raise NotImplementedError("fit has parameters of its own")
    if isinstance(fit.estimator, Pipeline) and len(fit.estimator) > 1:
        if fit.estimator.memory is not None:
            raise NotImplementedError("a pipeline with a memory fits its own steps")
        first = fit.estimator[:-1]
        X = first.fit_transform(X, y, **of_steps)
        fit.estimator.steps[:-1] = first.steps
    rows, codes, fit.classes, weights = classifier._check_fit(X, y, **own)
    fit.rows = _content(rows, codes)
    data.setdefault(fit.rows, (rows, codes))
    classifier._teach(rows, codes, fit.classes, watched)
    values = (weights, classifier._targets(codes))
    key = (fit.rows, *(None if v is None else digest(v.tobytes()) for v in values), classifier._watch_key(len(rows)))
    if key not in watched:
        watched[key] = classifier._watch(rows, codes, len(fit.classes), weights)
    nets = classifier._start(rows, codes, len(fit.classes), watched[key], weights)
    fit.key = tuple(stack_key(net) for net in nets)
    hash(fit.key)  # raises here, so that the error belongs to this fit only
    fit.members = [StackMember(net, fit.rows) for net in nets]


def _by_step(estimator: Any, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters of a Pipeline's ``fit`` for its first steps, and those for its last step."""
    if not isinstance(estimator, Pipeline):
        return {}, dict(params)
    last = estimator.steps[-1][0]
    if not get_config()["enable_metadata_routing"]:
        prefix = f"{last}__"
        own = {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}
        return {name: value for name, value in params.items() if not name.startswith(prefix)}, own
    own = dict(process_routing(estimator, "fit", **params)[last].fit)
    if len(estimator) == 1:
        return {}, own
    names = get_routing_for_object(estimator[:-1]).consumes("fit_transform", params)
    return {name: params[name] for name in names}, own


def _content(rows: np.ndarray, codes: np.ndarray) -> Hashable:
    """Return a key that only equal data sets share, computed from their content."""
    return (rows.shape, rows.dtype.str, digest(rows.tobytes(), codes.tobytes()).hex())


def train_fits(
    fits: Sequence[StackedFit],
    data: dict[Hashable, TrainingRows],
    *,
    share: float = 1.0,
    n_jobs: int | None = None,
    stack_size: int | None = None,
) -> list[StackedFit]:
    """Train the fits that can be stacked up to a `share` of their epochs, starting from their current state.

    Returns
    -------
    list of StackedFit
        Fits in the order of `fits`; those that cannot be stacked are unchanged.
    """
    groups: dict[Hashable, list[int]] = {}
    for number, fit in enumerate(fits):
        if fit.members and fit.error is None:
            groups.setdefault(fit.key, []).append(number)
    chunks = []
    for group in groups.values():
        first = fits[group[0]]
        size = stack_size or _stack_size(first, len(data[first.rows][0]))
        chunks += portions(group, size, n_jobs=n_jobs)
    tasks = []
    for chunk in chunks:
        rows = {member.rows: data[member.rows] for i in chunk for member in fits[i].members}
        # only the trainings, because other attributes of an estimator may not be picklable
        tasks.append(delayed(_train_chunk)([fits[i].members for i in chunk], rows, share))
    trained = list(fits)
    for chunk, (members, seconds) in zip(chunks, Parallel(n_jobs=n_jobs)(tasks)):
        for number, own in zip(chunk, members):
            trained[number] = replace(fits[number], members=own, seconds=fits[number].seconds + seconds)
    return trained


def portions(group: list[int], size: int | None = None, *, n_jobs: int | None = None) -> list[list[int]]:
    """Split the group into portions of equal size, none above `size`, and enough of them for all processes."""
    if not group:
        return []
    n_processes = effective_n_jobs(n_jobs)
    rounds = 1 if size is None else -(-len(group) // (size * n_processes))
    n_chunks = min(rounds * n_processes, len(group))
    return [chunk.tolist() for chunk in np.array_split(np.asarray(group), n_chunks)]


def _stack_size(fit: StackedFit, n_rows: int) -> int:
    net = fit.members[-1].net
    if not str(net.device).startswith("cuda"):
        return _CPU_STACK
    free, _ = torch.cuda.mem_get_info(torch.device(net.device))
    return max(1, int(_GPU_SHARE * free / _model_bytes(net, n_rows)))


def _model_bytes(net: ObjectiveNet, n_rows: int) -> int:
    """Return the approximate memory of one model of a stack during a training step, in bytes."""
    parameters = [p for p in net.module_.parameters() if p.ndim > 1]
    units = sum(sum(p.shape) for p in parameters)
    return 4 * (_KEPT * min(batch_size_of(net), n_rows) * units + 4 * sum(p.numel() for p in parameters))


@own_switches()
def _train_chunk(
    fits: list[list[StackMember]], data: dict[Hashable, TrainingRows], share: float
) -> tuple[list[list[StackMember]], float]:
    """Train the fits of a stack; return their trainings, and the time per fit in seconds."""
    start = time.perf_counter()
    copies = copy.deepcopy(fits)  # so that a second attempt starts from the same state
    try:
        _train(copies, data, share)
    except torch.OutOfMemoryError:
        if len(fits) == 1:
            raise
        del copies
        torch.cuda.empty_cache()
        half = len(fits) // 2
        copies = [fit for part in (fits[:half], fits[half:]) for fit in _train_chunk(part, data, share)[0]]
    return copies, (time.perf_counter() - start) / len(fits)


def _train(fits: list[list[StackMember]], data: dict[Hashable, TrainingRows], share: float) -> None:
    phases = list(zip(*fits))
    total = sum(phase[0].net.max_epochs for phase in phases)
    target = max(1, round(share * total))
    before = 0
    for number, phase in enumerate(phases):
        if number and all(len(member.net.history) == 0 for member in phase):
            for fit, member in zip(fits, phase):
                member.net.module_.load_state_dict(fit[number - 1].net.module_.state_dict())
        n_epochs = min(target - before, phase[0].net.max_epochs) - max(len(m.net.history) for m in phase)
        if n_epochs > 0:
            alive = [member for fit, member in zip(fits, phase) if all(m.error is None for m in fit)]
            train_together(alive, data, n_epochs)
        before += phase[0].net.max_epochs
        if before >= target:
            break
