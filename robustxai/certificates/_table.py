"""Proven P@k of the rows of a raw table, over all changes that a threat model of the table admits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from robustxai._models import GRADIENTS, unwrap
from robustxai.bounds import check_reading, proven_overlap, read_network
from robustxai.certificates._boxes import METHODS_OF_BOXES, Question, RowBoxes, prove_pairs
from robustxai.certificates._problem import SMOOTHED_WAY
from robustxai.columns import TableRows, TableThreat, check_table, map_of
from robustxai.protocols import BoundMethod, Estimator, Ranking
from robustxai.ranking import clip_k, count_units, unit_scores

__all__ = ["TableProblem"]

#: Halvings of the budgets until the share of a row is known: rows ask for at most 2**7 different shares together.
_HALVINGS = 7


class TableProblem:
    """The question which pairs of units of raw rows keep their order at every row that a threat model admits.

    Parameters and errors as of :func:`robustxai.certificates.certify_top_k`.

    Attributes
    ----------
    k : int
        After clipping.
    n_units : int
        Number of ranked units.
    """

    def __init__(
        self, estimator: Estimator, X: Any, k: int, threat: TableThreat, ranking: Ranking, method: BoundMethod
    ) -> None:
        model, _ = unwrap(
            estimator, needs=("explain", "encode_target", *GRADIENTS), what="The certificate", way=SMOOTHED_WAY
        )
        frame = check_table(X, threat)
        self._rows = TableRows(threat, frame, map_of(estimator, threat))
        x = self._rows.x
        names = getattr(model, "feature_names_in_", None)
        seen: Any = x if names is None else pd.DataFrame(x, columns=names)
        self._attribution = np.asarray(model.explain(seen), dtype=np.float64)
        scores = unit_scores(torch.from_numpy(self._attribution), ranking).numpy()
        self.k, self.n_units = clip_k(k, scores.shape[1]), count_units(self._attribution.shape[1:])
        self._network = read_network(model.module_, x.shape[1:])
        check_reading(self._network, model.module_, torch.from_numpy(x), 0.1, torch.ones(x.shape[1]).double())
        self._order = np.argsort(-scores, axis=1, kind="stable")
        self._target = model.encode_target(seen).cpu().numpy()
        self._explainer, self._ranking = model.explainer_, ranking
        self._methods = METHODS_OF_BOXES if method == "best" else (method,)

    def __len__(self) -> int:
        return len(self._order)

    def prove(self, places: np.ndarray, share: float = 1.0) -> np.ndarray:
        """Prove which members of the top set of some rows stay above which others, within a share of the budgets.

        Parameters
        ----------
        places : ndarray of int of shape (m,)
            The rows, in ascending order.
        share : float, default=1.0
            Of all budgets. As many categories may switch as with the whole budgets.

        Returns
        -------
        ndarray of bool of shape (m, k, n_units - k)
        """
        rows = self._rows if share == 1 else self._rows.within(share)
        return prove_pairs(
            self._network,
            self._explainer,
            RowBoxes.of(rows, places),
            self._target[places],
            self._attribution[places],
            self._order[places],
            self.k,
            self._ranking,
            methods=self._methods,
        )[:, :, self.k :]

    def overlap(self) -> tuple[np.ndarray, np.ndarray]:
        """Return how many members of each row's top set provably stay in it, and how many pairs keep their order.

        A changed row lies in one box, so that the members that stay are counted in every box by itself. The pairs are
        those that keep their order in all boxes, of which there may be fewer.
        """
        members = np.full(len(self), self.k)
        proven = np.ones((len(self), self.k, self.n_units - self.k), dtype=bool)
        for row, found in self._question(np.arange(len(self))).proofs(RowBoxes.of(self._rows, np.arange(len(self)))):
            pairs = np.ascontiguousarray(found[:, :, self.k :])
            np.minimum.at(members, row, proven_overlap(torch.from_numpy(pairs)).numpy())
            np.logical_and.at(proven, row, pairs)
        return members, proven.sum(axis=(1, 2))

    def _question(self, places: np.ndarray) -> Question:
        target, attribution, order = self._target[places], self._attribution[places], self._order[places]
        return Question(
            self._network, self._explainer, target, attribution, order, self.k, self._ranking, True, self._methods
        )

    def shares(self, largest: float, max_iter: int) -> np.ndarray:
        """Return the largest shares of the budgets found within which the top set provably stays, shape (n,).

        They are multiples of ``largest / 2**7``, or of ``largest / 2**max_iter`` where that is coarser: rows that ask
        for the same share are proven together.

        Parameters
        ----------
        largest : float
            The most that is asked for.
        max_iter : int
            Most steps.
        """
        good, bad = np.zeros(len(self)), np.full(len(self), 2.0 * largest)
        # what the switches alone displace holds within no share
        bad[~self.prove(np.arange(len(self)), 0.0).all(axis=(1, 2))] = 0.0
        for _ in range(min(max_iter, _HALVINGS + 1)):
            asked = (good + bad) / 2
            going = (bad > 0) & (good < largest)
            for share in np.unique(asked[going]):
                places = np.flatnonzero(going & (asked == share))
                stays = self.prove(places, float(share)).all(axis=(1, 2))
                good[places[stays]], bad[places[~stays]] = share, share
        return good
