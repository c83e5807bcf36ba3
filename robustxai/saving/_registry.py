"""Classes that a file may name: those of the library and of torch that only compute."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import nn

import robustxai.classifiers
import robustxai.nets
from robustxai._table_summary import TableSummary
from robustxai.classifiers import BaseExplainableClassifier
from robustxai.conversion import ConvertedClassifier, LogProbabilities, TwoLogits
from robustxai.exceptions import UntrustedTypeError
from robustxai.explainers import (
    AutoGradient,
    CenteredGradient,
    ColumnContributions,
    Gradient,
    GradientTimesInput,
    IntegratedGradients,
    RelativeImportance,
    SmoothGrad,
    SwitchEffects,
)
from robustxai.perturbation import ThreatModel

__all__ = ["LAYERS", "Names", "name_of"]

#: Layers of torch that compute a fixed function of their input and weights.
LAYERS: tuple[type[nn.Module], ...] = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm),
    *(nn.GroupNorm, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Softplus, nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.LogSigmoid, nn.Softmax, nn.LogSoftmax, nn.MaxPool1d),
    *(nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveMaxPool1d),
    *(nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Sequential),
)
_OPTIMIZERS = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop, torch.optim.NAdam)
_LOSSES = (nn.CrossEntropyLoss, nn.NLLLoss)


@cache
def _known() -> dict[str, Any]:
    """Return the classes by name; names are public ones, which outlast a move inside of the library."""
    found: dict[str, Any] = {}
    for kind in (*LAYERS, *_LOSSES):
        found[f"torch.nn.{kind.__name__}"] = kind
    for kind in _OPTIMIZERS:
        found[f"torch.optim.{kind.__name__}"] = kind
    for folder, base in ((robustxai.classifiers, BaseExplainableClassifier), (robustxai.nets, nn.Module)):
        for name in folder.__all__:
            kind = getattr(folder, name)
            if isinstance(kind, type) and issubclass(kind, base):
                found[f"{folder.__name__}.{name}"] = kind
    # not those of captum, which look methods up by name
    for kind in (
        *(AutoGradient, CenteredGradient, ColumnContributions, Gradient, GradientTimesInput, IntegratedGradients),
        *(RelativeImportance, SmoothGrad, SwitchEffects),
    ):
        found[f"robustxai.explainers.{kind.__name__}"] = kind
    for kind in (ConvertedClassifier, LogProbabilities, TwoLogits):
        found[f"robustxai.conversion.{kind.__name__}"] = kind
    found["robustxai.perturbation.ThreatModel"] = ThreatModel
    found["robustxai.TableSummary"] = TableSummary
    return found


def name_of(thing: Any) -> str:
    """Return the name of a class or a function in a file; that of a user's own is its module and name."""
    known = next((name for name, kind in _known().items() if kind is thing), None)
    return known or f"{thing.__module__}.{thing.__qualname__}"


class Names:
    """Classes by name: the known ones, and those that the caller of `load` trusts."""

    def __init__(self, trusted: Iterable[Any] = ()) -> None:
        self.trusted = {f"{thing.__module__}.{thing.__qualname__}": thing for thing in trusted}

    def trusts(self, name: str) -> bool:
        """Return whether a name is that of a class or function of the caller."""
        return name not in _known() and name in self.trusted

    def find(self, name: Any) -> Any:
        """Return the class, or the trusted function, of a name.

        Raises
        ------
        UntrustedTypeError
            Another name.
        """
        if not isinstance(name, str):
            raise ValueError("a name is no text")
        found = _known().get(name) or self.trusted.get(name)
        if found is None:
            raise UntrustedTypeError([name])
        return found
