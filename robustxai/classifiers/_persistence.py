"""Clones, pickles, and changes of a fitted classifier."""

from __future__ import annotations

from typing import Any

import torch
from skorch import NeuralNet
from torch import nn
from typing_extensions import Self

from robustxai._portable import available, pack, unpack
from robustxai._switches import trainable
from robustxai.classifiers._device import resolve_device
from robustxai.classifiers._params import NetParamsMixin
from robustxai.explainers import resolve_explainer
from robustxai.protocols import Estimator
from robustxai.training import ObjectiveNet

__all__ = ["PersistenceMixin"]


class PersistenceMixin(NetParamsMixin):
    """Keep a fitted network usable when the classifier is cloned, pickled, or moved to another device."""

    init: Estimator | NeuralNet | nn.Module | None
    net_: ObjectiveNet
    device_: torch.device

    def set_params(self, **params: Any) -> Self:
        """Set parameters; an unknown name raises ValueError with the nearest valid one.

        In a fitted classifier, `explainer` and `device` take effect at once: it then explains in the new way, and its
        network is moved. All other parameters concern the training and take effect in the next `fit`.

        Raises
        ------
        ValueError, TypeError
            An explainer or a device of a fitted classifier that does not exist; nothing is set then.
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
        """Move the fitted network to another device."""
        self.net_.module_.to(device)
        self.net_.criterion_.to(device)
        self.net_.device = str(device)
        for name in ("iterator_train__device", "iterator_valid__device"):
            if hasattr(self.net_, name):
                setattr(self.net_, name, device)
        self.device_ = device

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    def __sklearn_clone__(self) -> Self:
        copied = super().__sklearn_clone__()  # type: ignore[misc]
        copied.init = self.init  # scikit-learn clones it too, and a clone has no weights to start from
        return copied

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        device = state.get("device_", torch.device("cpu"))
        return {**pack(state), "net_": state["net_"]} if device.type != "cpu" else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(unpack(state))  # type: ignore[misc]
        if "net_" in state:  # copied or unpickled, in the caller's inference mode perhaps
            trainable(self.net_.module_)
            if not available(self.device_):
                self._move(torch.device(self.net_.device))  # which is where skorch has put it
