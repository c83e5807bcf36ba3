"""The methods and attributes of a classifier that a subclass may override."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from robustxai._arguments import check_arguments
from robustxai.classifiers._params import CALLBACKS, MODULE, NetParamsMixin
from robustxai.engine import stackable
from robustxai.penalties import ExplainedBatch
from robustxai.perturbation import ThreatModel
from robustxai.training import ObjectiveNet, TensorBatches, Term

__all__ = ["DefenseHooks"]


class DefenseHooks(NetParamsMixin):
    """Everything that is safe to override in a defense; docs/extending.md lists it."""

    #: Skorch net that trains; a subclass of :class:`robustxai.training.ObjectiveNet` may use several GPUs, for example.
    net_class: ClassVar[type[ObjectiveNet]] = ObjectiveNet

    #: Default classes of skorch's parameters; "auto" chooses the network by the shape of X.
    net_defaults: ClassVar[dict[str, Any]] = {
        "module": "auto",
        "optimizer": torch.optim.Adam,
        "criterion": nn.CrossEntropyLoss,
        "iterator_train": TensorBatches,
        "iterator_valid": TensorBatches,
    }

    #: False for a training without epochs, such as a solver's: ``max_epochs="auto"`` then tries none on held-out rows.
    has_epochs: ClassVar[bool] = True

    def terms(self, n_units: int) -> list[Term]:
        """Return the weighted penalties of this defense; none by default.

        Parameters
        ----------
        n_units : int
            Number of ranked units of an input: features, or pixels whose channels are summed.
        """
        return []

    def adversary(self) -> Callable[[ExplainedBatch], Tensor] | None:
        """Return a function from an explained batch to the points where the cross-entropy is taken.

        None, the default, takes it at the inputs themselves.
        """
        return None

    def module_params(self) -> dict[str, Any]:
        """Return arguments for the network, as far as its constructor takes them; ``module__...`` overrides them."""
        return {"activation": "relu"}

    def optimizer_params(self) -> dict[str, Any]:
        """Return arguments for the optimizer; ``optimizer__...`` overrides them."""
        return {}

    def training_threat(self) -> ThreatModel | None:
        """Return the threat model under which this defense trains; None if it has none.

        `fit` warns of a ball that is tiny or huge beside the spread of the features, and hands the threat model,
        without names, to `terms` and `adversary` as ``resolved_threat()``.
        """
        return None

    def resolved_threat(self) -> ThreatModel:
        """Return `training_threat` without names: arrays and masks for the features of the training data."""
        threat = getattr(self, "_threat", None) or self.training_threat()
        assert threat is not None
        return threat

    def check_params(self) -> None:
        """Check the parameters when `fit` begins; an override calls ``super().check_params()``."""
        check_arguments(self)
        params = self._net_params()
        for name, constraint in (("module", MODULE), ("callbacks", CALLBACKS)):
            if name in params:
                constraint.check(name, params[name], type(self).__name__)

    def check_data(self, X: np.ndarray) -> None:
        """Raise ValueError if the defense cannot train on X, which is validated and of shape (n_samples, *features)."""

    @stackable
    def train_net(self, net: ObjectiveNet, X: np.ndarray, codes: np.ndarray) -> None:
        """Train an initialized net in place.

        Parameters
        ----------
        net : ObjectiveNet
            With `terms` and `adversary`, or without both in the epochs of `warm_up_epochs`. ``net.sample_weight_`` are
            the weights of the rows in the objective, of shape (n_samples,), or None; ``net.soft_labels_`` the targets
            of the cross-entropy, of shape (n_samples, n_classes), or None for the labels. `fit_loop` reads both.
        X : ndarray of float32 of shape (n_samples, *features)
            Inputs.
        codes : ndarray of int64 of shape (n_samples,)
            Class indices.
        """
        # not net.partial_fit, which swallows KeyboardInterrupt and would return a half-trained model as fitted
        net.notify("on_train_begin", X=X, y=codes)
        net.fit_loop(X, codes, epochs=net.max_epochs - len(net.history))  # a checkpoint may have brought some back
        net.notify("on_train_end", X=X, y=codes)
