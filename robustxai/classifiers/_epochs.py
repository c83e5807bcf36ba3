"""Number of epochs and weight decay: ``max_epochs="auto"``, and warnings of networks that overfit."""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable
from functools import partial

import numpy as np
import torch
from torch import nn

from robustxai._fingerprint import content_key
from robustxai.classifiers._device import resolve_device
from robustxai.classifiers._net import AUTO_STEPS, NetMixin
from robustxai.exceptions import OverfittingWarning
from robustxai.training import HeldOut, ObjectiveNet, Schedule, watch_held_out

__all__ = ["EpochsMixin"]

#: Range of the rows of a table for which ``max_epochs="auto"`` holds some out: fewer rows are not informative, and
#: networks do not overfit more.
_WATCHED_ROWS = (50, 50_000)
#: With fewer rows the defense itself is trained for the choice; with more a plain network, which all candidates of a
#: search have in common.
_OWN_ROWS = 500
#: Candidates, the shortest training first: share of all epochs, least number of steps, weight decay times the number of
#: rows, and the largest weight decay. A larger one makes smooth networks constant if there are few rows.
_SCHEDULES = (
    (1 / 8, 200, 10.0, 0.015),
    (1 / 4, 400, 10.0, 0.015),
    (1 / 4, 400, 3.0, 0.005),
    (1.0, AUTO_STEPS, 0.0, 0.0),
)
#: A network overfits if its held-out loss is this many times its training loss, this much larger (in nats), and has
#: risen by this much from its lowest value. A few rows that are hard for every network do not make it rise.
_FAR_TIMES, _FAR_ABOVE, _RISEN = 2.0, 0.1, 0.05


class EpochsMixin(NetMixin):
    """Choose the number of epochs on held-out rows, and compare held-out losses with training losses."""

    def _watch(
        self, X: np.ndarray, codes: np.ndarray, n_classes: int, weights: np.ndarray | None = None
    ) -> HeldOut | None:
        """Train the candidates of ``max_epochs="auto"`` on a part of the rows and evaluate them on the others.

        Returns None if nothing is held out: the number of epochs is given, a user watches or continues a training, X is
        not a table, or there are too few or too many rows.

        Parameters
        ----------
        X, codes : ndarray of shape (n_samples, n_features) and (n_samples,)
            Inputs and class indices.
        n_classes : int
            Number of classes.
        weights : ndarray of shape (n_samples,), optional
            Weights of the rows in the objective.
        """
        if self._watch_key(len(X)) is None or X.ndim != 2 or not _WATCHED_ROWS[0] <= len(X) <= _WATCHED_ROWS[1]:
            return None
        make_net = partial(self._make_net, X, n_classes, resolve_device(self.device), verbose=0)
        if not self._watches_itself(len(X)):
            make_net = partial(make_net, terms=[], adversary=None)
        return watch_held_out(make_net, X, codes, self._schedules(len(X)), weights, self._targets(codes))

    def _schedules(self, n_rows: int) -> list[Schedule]:
        """Return the candidates, the shortest first."""
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
        """Return True if the defense's own training is evaluated: with few rows it tolerates less decay."""
        return n_rows < _OWN_ROWS and not self._phases(1)[0]

    def _watch_key(self, n_rows: int) -> Hashable:
        """Return a key that is equal for estimators with the same held-out losses on the same rows.

        None if nothing is held out.
        """
        params = self._net_params()
        if not self.has_epochs or self.max_epochs != "auto" or self.init is not None:
            return None
        if self.net_class is not ObjectiveNet or {"train_split", "callbacks", "compile"} & params.keys():
            return None
        if isinstance(params.get("module"), nn.Module):  # it may have weights that are to be kept, as `init` has
            return None
        own = (self.device, self.lr, self.batch_size, self.mixed_precision, self.internal_batch_size)
        asked = [params, self.module_params(), self.optimizer_params()]
        if self._watches_itself(n_rows):
            asked.append(self.get_params(deep=False) | {"random_state": None, "type": type(self).__name__})
        if not type(self).__module__.startswith("robustxai."):  # a user's class may make another net
            asked.append({"type": type(self)})
        return content_key(type(self).net_defaults["module"], own, *(sorted(names.items()) for names in asked))

    def _weight_decay_is_given(self) -> bool:
        """Return True if the user, the defense or another optimizer than Adam decides on the weight decay."""
        params = self._net_params()
        adam = params.get("optimizer", self.net_defaults["optimizer"]) is torch.optim.Adam
        names = {"optimizer__weight_decay", "optimizer__param_groups"}
        return not adam or bool(names & params.keys()) or "weight_decay" in self.optimizer_params()

    def _compare_losses(self, net: ObjectiveNet) -> None:
        """Write held-out losses into the history, and warn if they are far above the training losses."""
        watched = getattr(net, "held_out_", None)
        if watched is not None:
            for epoch, training, held_out in zip(net.history, watched.training, watched.held_out):
                epoch.update(held_out_train_loss=training, held_out_loss=held_out)
            losses = list(zip(watched.training, watched.held_out))
        else:
            names = ("cross_entropy", "valid_loss")
            losses = [(epoch[names[0]], epoch[names[1]]) for epoch in net.history if {*names} <= {*epoch}]
        if not losses:
            return
        best = min(range(len(losses)), key=lambda epoch: losses[epoch][1])
        best_is_loaded = any(getattr(callback, "load_best", False) for _, callback in net.callbacks_)
        training, held_out = losses[best if best_is_loaded else -1]
        far = held_out > _FAR_TIMES * training and held_out > training + _FAR_ABOVE
        if far and held_out > losses[best][1] + _RISEN:
            weight_decay = float(net.optimizer_.param_groups[0].get("weight_decay", 0.0))
            warnings.warn(
                f"{type(self).__name__} overfits: its cross-entropy is {training:.3f} on training rows and "
                f"{held_out:.3f} on held-out rows (lowest in epoch {best + 1} of {len(losses)}: "
                f"{losses[best][1]:.3f}), so its probabilities are too confident. Use fewer epochs "
                f"(max_epochs={best + 1}), more weight decay (optimizer__weight_decay="
                f"{max(2 * weight_decay, 0.01):g}), or more rows.",
                OverfittingWarning,
                stacklevel=3,
            )
        elif watched is not None and watched.too_few_rows:
            warnings.warn(
                f"{type(self).__name__} has too few rows: on held-out rows the shortest training that it tries is the "
                f"best, or none is better than a constant (cross-entropy {held_out:.3f} after "
                f"{watched.schedule.max_epochs} epochs). Compare with LinearClassifier, which may be as good here, use "
                "more rows, or set max_epochs and optimizer__weight_decay.",
                OverfittingWarning,
                stacklevel=3,
            )
