"""Proven P@k of the rows of a raw table, over all changes that a threat model of the table admits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from robustxai._models import GRADIENTS, unwrap
from robustxai.bounds import check_reading, read_network
from robustxai.certificates._boxes import METHODS_OF_BOXES, RowBoxes, prove_pairs
from robustxai.certificates._pairs import proven_overlap
from robustxai.certificates._problem import SMOOTHED_WAY
from robustxai.columns import TableRows, TableThreat, check_table, map_of
from robustxai.protocols import BoundMethod, Estimator, Ranking
from robustxai.ranking import clip_k, count_units, unit_scores

__all__ = ["prove_table"]


def prove_table(
    estimator: Estimator, X: Any, k: int, threat: TableThreat, ranking: Ranking, method: BoundMethod
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return the members that provably stay, the proven pairs of every row, k after clipping and the number of units.

    Parameters and errors as of :func:`robustxai.certificates.certify_top_k`.
    """
    model, _ = unwrap(
        estimator, needs=("explain", "encode_target", *GRADIENTS), what="The certificate", way=SMOOTHED_WAY
    )
    frame = check_table(X, threat)
    rows = TableRows(threat, frame, map_of(estimator, threat))
    names = getattr(model, "feature_names_in_", None)
    seen: Any = rows.x if names is None else pd.DataFrame(rows.x, columns=names)
    attribution = np.asarray(model.explain(seen), dtype=np.float64)
    scores = unit_scores(torch.from_numpy(attribution), ranking).numpy()
    k, n_units = clip_k(k, scores.shape[1]), count_units(attribution.shape[1:])
    network = read_network(model.module_, rows.x.shape[1:])
    check_reading(network, model.module_, torch.from_numpy(rows.x), 0.1, torch.ones(rows.x.shape[1]).double())
    boxes = RowBoxes.of(rows, np.arange(len(frame)))
    order = np.argsort(-scores, axis=1, kind="stable")
    proven = prove_pairs(
        network,
        model.explainer_,
        boxes,
        model.encode_target(seen).cpu().numpy(),
        attribution,
        order,
        k,
        ranking,
        methods=METHODS_OF_BOXES if method == "best" else (method,),
    )[:, :, k:]
    kept = proven_overlap(torch.from_numpy(proven)).numpy()
    return kept, proven.sum(axis=(1, 2)), k, n_units
