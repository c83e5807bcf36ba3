"""The request of a scorer for weights of rows, in scikit-learn's metadata routing."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.utils.metadata_routing import MetadataRequest
from typing_extensions import Self

from robustxai._arguments import Either, Flag, Nothing, Text, checked
from robustxai._compat import AcceptsWeights

__all__ = ["ScoreRequest", "weighted_mean"]

_REQUEST = Either((Flag(), Text(), Nothing()), words="True, False, None or the name under which the weights are passed")


class ScoreRequest(AcceptsWeights):
    """Base of the scorers: they take `sample_weight`, and say by `set_score_request` whether they want it routed."""

    _sample_weight_request: bool | str | None = None

    @checked(sample_weight=_REQUEST)
    def set_score_request(self, *, sample_weight: bool | str | None = None) -> Self:
        """Return a copy that requests weights of rows where scikit-learn's metadata routing is enabled.

        Parameters
        ----------
        sample_weight : bool, str or None, default=None
            True: use the weights that are passed. False: ignore them. None: raise an error if they are passed. A name:
            use what is passed under this name.
        """
        requesting = copy.copy(self)
        object.__setattr__(requesting, "_sample_weight_request", sample_weight)  # scorers are frozen
        return requesting

    def get_metadata_routing(self) -> MetadataRequest:
        """Return the request, for scikit-learn."""
        request = MetadataRequest(owner=type(self).__name__)
        request.score.add_request(param="sample_weight", alias=self._sample_weight_request)
        return request


def weighted_mean(values: Any, sample_weight: np.ndarray | None) -> float:
    """Return the mean of one value per row; nan where the rows have no weight."""
    if sample_weight is None:
        return float(np.mean(values))
    return float(np.average(values, weights=sample_weight)) if sample_weight.any() else float("nan")
