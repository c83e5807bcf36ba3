"""A training until the attacked P@k of held-out rows reaches a target: the controller of a weight, and the landing."""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import Dataset, Subset

from robustxai._arguments import COUNT, Function, Instance, Number, Rows, Text, checked
from robustxai._random import RandomStreams
from robustxai.engine import batch_size_of
from robustxai.penalties import CertifiedGap, boundary_search, displaced
from robustxai.perturbation import ThreatModel
from robustxai.protocols import Explainer, Ranking
from robustxai.ranking import RANKING, top_k_mask
from robustxai.training._net import ObjectiveNet

__all__ = [
    "CertifiedController",
    "HeldOutRows",
    "PrecisionController",
    "TargetController",
    "held_out_for_target",
    "train_to_target",
]

#: One row in so many is held out, at most `_MEASURED` to be measured at the end and `_CONTROLLED` for the controller.
_ONE_IN, _MEASURED, _CONTROLLED = 5, 1000, 256
#: Distance of the controller's target above the one that is asked for: P@k of other rows, under stronger attacks, is
#: lower than what the controller sees.
_ABOVE = 0.02
#: First weight and range of the weights.
_FIRST, _LEAST, _MOST = 0.1, 1e-3, 30.0
#: Change of the logarithm of the weight per measurement, and its passing part, for an error of 1.
_GAIN, _PASSING = 0.4, 0.5
#: Landing: most rounds, least steps of each, share of the full learning rate, largest relative rise of the loss.
_ROUNDS, _STEPS, _RATE, _RISE = 3, 250, 0.4, 0.01
#: Random directions of the stronger attack.
_DIRECTIONS = 30


class HeldOutRows(NamedTuple):
    """Indices of the rows that a training to a target learns from, is controlled by, and is measured on."""

    learned: np.ndarray
    controlled: np.ndarray
    measured: np.ndarray


@checked(codes=Rows())
def held_out_for_target(codes: np.ndarray) -> HeldOutRows:
    """Split rows: a fifth of each class is held out, at most 1,256 rows in all.

    A fifth of the held-out rows, at most 256, control the training. The others are measured: no choice has seen their
    explanations.
    """
    draws = np.random.RandomState(1).permutation(len(codes))
    order = np.lexsort((draws, codes))
    out = order[_ONE_IN // 2 :: _ONE_IN]
    out = out[np.argsort(draws[out], kind="stable")][: _MEASURED + _CONTROLLED]
    n_controlled = min(_CONTROLLED, max(len(out) // 5, 1))
    learned = np.setdiff1d(np.arange(len(codes)), out)
    return HeldOutRows(learned, np.sort(out[:n_controlled]), np.sort(out[n_controlled:]))


class TargetController(Callback):
    """Raise the weight of a term while some measure of some rows is below its goal, and lower it above.

    A subclass defines `measure`; :class:`PrecisionController` has the equation.

    Parameters
    ----------
    X : array of shape (n_rows, *features)
        Rows that the training does not learn from.
    goal : float
        Below 1.
    explainer : Explainer
        Explanation that is ranked.
    term : str
        Name of the term whose weight is controlled.
    n_updates : int
        Number of measurements, evenly spread over the steps of the training.
    """

    #: The callback does not read the record of the batch in the history, which costs small networks time.
    ignores_batch_record = True

    def __init__(self, X: np.ndarray, goal: float, explainer: Explainer, term: str, n_updates: int) -> None:
        self.X = X
        self.goal = goal
        self.explainer = explainer
        self.term = term
        self.n_updates = n_updates

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Start with the first weight."""
        self._log_weight = math.log(_FIRST)
        self._step = 0
        self.active = True
        self.precision_ = math.nan
        self._set(net, _FIRST)

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Dataset[Any] | None = None, **kwargs: Any) -> None:
        """Compute the number of steps between two measurements."""
        n_steps = net.max_epochs * -(-len(dataset_train) // batch_size_of(net))  # type: ignore[arg-type]
        self._every = -(-n_steps // self.n_updates)

    def on_batch_begin(self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any) -> None:
        """Measure, and set the weight."""
        if not training or not self.active:
            return
        if self._step % self._every == 0:
            self.precision_ = self.measure(net)
            error = min(max((self.goal - self.precision_) / (1 - self.goal), -1.0), 1.0)
            least, most = math.log(_LEAST), math.log(_MOST)
            self._log_weight = min(max(self._log_weight + _GAIN * error, least), most)
            self._set(net, math.exp(self._log_weight + _PASSING * error))
        self._step += 1

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Record the last measurement and the weight."""
        net.history.record("attacked_precision", self.precision_)
        net.history.record("gap_weight", self.weight_)

    def _set(self, net: NeuralNet, weight: float) -> None:
        self.weight_ = weight
        net.reweigh(self.term, weight)

    def raise_weight(self, net: NeuralNet) -> None:
        """Double the weight, for the landing."""
        self._set(net, 2 * max(self.weight_, _LEAST))

    def measure(self, net: NeuralNet, *, strong: bool = False) -> float:
        """Return the measure of the rows, at its full strength with `strong`."""
        raise NotImplementedError


class PrecisionController(TargetController):
    r"""Raise the weight of a term while the attacked P@k of some rows is below its goal, and lower it above.

    .. math:: e = \mathrm{clip}\Bigl(\frac{\tau - P}{1 - \tau}, -1, 1\Bigr), \qquad
        \log l \leftarrow \log l + 0.4\, e, \qquad \lambda = l\, e^{e / 2}

    with P the mean over the rows of the lowest P@k that two short attacks find, and :math:`\lambda` the weight. l
    ascends the dual of "minimize the loss subject to P = tau"; the factor damps the swings of l. In the history,
    ``attacked_precision`` is the last P of an epoch and ``gap_weight`` the weight at its end.

    Parameters
    ----------
    X : array of shape (n_rows, *features)
        Rows that the training does not learn from.
    k : int
        Size of the top set.
    goal : float
        :math:`\tau`, below 1.
    threat : ThreatModel
        Perturbations, without names.
    explainer : Explainer
        Explanation that is ranked.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Scores that are ranked.
    term : str, default="gap"
        Name of the term whose weight is controlled.
    n_updates : int, default=30
        Number of measurements, evenly spread over the steps of the training.
    max_iter : int, default=6
        Steps of the attacks.

    Attributes
    ----------
    precision_ : float
        Last P.
    weight_ : float
        Last :math:`\lambda`.
    """

    @checked(
        X=Rows(),
        k=COUNT,
        goal=Number(0, 1, below=True),
        threat=Instance(ThreatModel),
        explainer=Function(),
        ranking=RANKING,
        term=Text(),
        n_updates=COUNT,
        max_iter=COUNT,
    )
    def __init__(
        self,
        X: np.ndarray,
        *,
        k: int,
        goal: float,
        threat: ThreatModel,
        explainer: Explainer,
        ranking: Ranking = "magnitude",
        term: str = "gap",
        n_updates: int = 30,
        max_iter: int = 6,
    ) -> None:
        super().__init__(X, goal, explainer, term, n_updates)
        self.k = k
        self.threat = threat
        self.ranking = ranking
        self.max_iter = max_iter

    def measure(self, net: NeuralNet, *, strong: bool = False) -> float:
        """Return the mean over the rows of the lowest P@k that some attacks find.

        Two short attacks, from x along three pairs and from a random direction along one; with `strong` four longer
        ones and random directions. The random numbers are the same at every call.
        """
        module = net.module_
        training = module.training
        module.eval()
        try:
            generator = RandomStreams(0).of(net.device)
            x = torch.as_tensor(self.X, dtype=torch.float32, device=net.device)
            with torch.no_grad():
                target = module(x).argmax(dim=-1)
            search = boundary_search(module, self.explainer, x, target, self.ranking)
            clean = search.scores(x)
            k = min(self.k, max(clean.shape[-1] - 1, 1))
            top = top_k_mask(clean, k)
            space = self.threat.bind(np.empty((0, *x.shape[1:]), np.float32), device=x.device)
            starts = [None, *(space.random_points(x, generator) for _ in range(3 if strong else 1))]
            lowest = torch.ones(len(x), device=x.device)
            most = min(3, k, clean.shape[-1] - k)
            for number, start in enumerate(starts):
                away = None if start is None else 0.7 * space.epsilon * space.ascent(start)
                delta = displaced(
                    module,
                    self.explainer,
                    x,
                    target,
                    top,
                    space,
                    ranking=self.ranking,
                    n_pairs=most if number % 2 == 0 else 1,
                    max_iter=15 if strong else self.max_iter,
                    start=away,
                )
                lowest = torch.minimum(lowest, _kept(search.scores(x + delta), top))
            for _ in range(_DIRECTIONS if strong else 0):
                points = x + space.project(space.epsilon * space.ascent(space.random_points(x, generator)), x)
                same = search.classes(points) == target
                lowest = torch.where(same, torch.minimum(lowest, _kept(search.scores(points), top)), lowest)
            return float(lowest.double().mean())
        finally:
            module.train(training)


def _kept(scores: Tensor, top: Tensor) -> Tensor:
    """Return the share of each set `top` that is in the top set of as many by `scores`."""
    there = top_k_mask(scores, int(top[0].sum()))
    return (there & top).sum(dim=-1) / top.sum(dim=-1)


class CertifiedController(TargetController):
    """Raise the weight of a bound while the certified P@k of some rows is below its goal, and lower it above.

    The bound is measured at the radius at which it is trained at that moment: at the full one it would prove nothing
    in the first part of the training, and the weight would rise without end.

    Parameters
    ----------
    X, goal, explainer, n_updates
        As in :class:`PrecisionController`.
    gap : CertifiedGap
        What is trained, with k, threat model, ranking and growth of the radius.
    """

    @checked(X=Rows(), gap=Instance(CertifiedGap), goal=Number(0, 1, below=True), explainer=Function(), n_updates=COUNT)
    def __init__(
        self, X: np.ndarray, *, gap: CertifiedGap, goal: float, explainer: Explainer, n_updates: int = 30
    ) -> None:
        super().__init__(X, goal, explainer, "certified", n_updates)
        self.gap = gap

    def measure(self, net: NeuralNet, *, strong: bool = False) -> float:
        """Return the mean certified P@k of the rows; with `strong` at the full radius."""
        module = net.module_
        training = module.training
        module.eval()
        try:
            x = torch.as_tensor(self.X, dtype=torch.float32, device=net.device)
            with torch.no_grad():
                target = module(x).argmax(dim=-1)
            epsilon = self.gap.epsilon_at(1.0 if strong else net.progress_)
            return float(self.gap.proven(module, self.explainer, x, target, epsilon).double().mean())
        finally:
            module.train(training)


@checked(target=Number(0, 1, above=True, below=True))
def goal_of(target: float) -> float:
    """Return the P@k that the controller aims at, a little above `target`."""
    return min(target + _ABOVE, (1 + target) / 2)


def train_to_target(
    net: ObjectiveNet, X: np.ndarray, codes: np.ndarray, rows: HeldOutRows, controller: TargetController | None
) -> None:
    """Train an initialized net without its held-out rows, controlled, and land it at the controller's goal.

    Landing: while a strong attack on the controller's rows keeps less than the goal, at most three times, the weight is
    doubled and the training goes on for 250 steps, but at most as long as before, at 0.4 of the full learning rate. It
    ends where the loss of the held-out rows rises by more than 1 %; the net gets the weights of the highest P@k within
    that limit.

    Parameters
    ----------
    net : ObjectiveNet
        With the term that `controller` weighs.
    X, codes : ndarray of shape (n_samples, *features) and (n_samples,)
        All rows, held-out ones included.
    rows : HeldOutRows
        Rows that are held out.
    controller : TargetController, optional
        None for the warm-up, which is not controlled.
    """
    held = np.concatenate([rows.controlled, rows.measured])
    net.train_split = lambda dataset, y: (Subset(dataset, rows.learned.tolist()), Subset(dataset, held.tolist()))
    own = net.callbacks_
    try:
        if controller is not None:
            net.callbacks_ = [*own, ("target_precision", controller)]
        net.notify("on_train_begin", X=X, y=codes)
        net.fit_loop(X, codes, epochs=net.max_epochs)
        if controller is not None:
            _land(net, X, codes, controller, -(-len(rows.learned) // batch_size_of(net)))
        net.notify("on_train_end", X=X, y=codes)
    finally:
        net.callbacks_ = own
        net.train_split = None


def _land(net: ObjectiveNet, X: np.ndarray, codes: np.ndarray, controller: TargetController, n_batches: int) -> None:
    controller.active = False
    precision = controller.measure(net, strong=True)
    net.history.record("attacked_precision", precision)
    limit = (1 + _RISE) * net.history[-1, "valid_loss"]
    best, weights = precision, copy.deepcopy(net.module_.state_dict())
    # the schedule has come to its end
    net.callbacks_ = [(name, callback) for name, callback in net.callbacks_ if name != "lr_schedule"]
    for group in net.optimizer_.param_groups:
        group["lr"] = _RATE * group.get("initial_lr", group["lr"])
    n_epochs = max(2, min(-(-_STEPS // n_batches), net.max_epochs))
    for _ in range(_ROUNDS):
        if precision >= controller.goal:
            break
        controller.raise_weight(net)
        net.fit_loop(X, codes, epochs=n_epochs)
        precision = controller.measure(net, strong=True)
        net.history.record("attacked_precision", precision)
        if net.history[-1, "valid_loss"] > limit:
            break
        if precision > best:
            best, weights = precision, copy.deepcopy(net.module_.state_dict())
    net.module_.load_state_dict(weights)
    controller.precision_ = best
    net.max_epochs = len(net.history)
