"""Conversion of the models of scikit-learn that attacks, certificates, metrics and reasons are given."""

from __future__ import annotations

import copy
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from robustxai._switches import own_switches
from robustxai.conversion._converted import ConvertedClassifier
from robustxai.conversion._exact import exact_network
from robustxai.conversion._networks import is_known, weights_of

__all__ = ["converted"]

#: Model -> its weights when it was converted, and the result. A caller resolves the same model many times.
_entries: WeakKeyDictionary[Any, tuple[list[np.ndarray], ConvertedClassifier]] = WeakKeyDictionary()


def converted(model: Any) -> ConvertedClassifier | None:
    """Return a fitted model of scikit-learn as a network; None for a model of another kind.

    The same object is returned until the model changes, so that what is made of its network is kept.

    Raises
    ------
    TypeError, ValueError
        As :func:`~robustxai.conversion.as_explainable`.
    """
    if not is_known(model):
        return None
    weights = weights_of(model)
    entry = _entries.get(model)
    if entry is None or not _equal(entry[0], weights):
        with own_switches():
            network = exact_network(model)
            alone = copy.copy(model)  # the entry must not keep its own key alive
            result = ConvertedClassifier(alone)._hold(alone, network, np.asarray(model.classes_))
        entry = [np.array(part) for part in weights], result
        _entries[model] = entry
    return entry[1]


def _equal(before: list[np.ndarray], now: list[np.ndarray]) -> bool:
    return len(before) == len(now) and all(np.array_equal(a, b) for a, b in zip(before, now))
