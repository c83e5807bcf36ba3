"""A fitted pipeline on rows of a raw table: its classifier, its column map, and its baseline row."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

from robustxai._frames import is_table
from robustxai._models import GRADIENTS, unwrap
from robustxai.columns import ColumnMap, TableThreat, column_map, map_of, raw_frame
from robustxai.explainers import ColumnContributions
from robustxai.protocols import ContributionMethod, ContributionSide, Estimator, ExplainableClassifier, Output

__all__ = ["ExplainedTable"]

_NEEDS = ("explain", "encode_target", "predict_proba", *GRADIENTS)


@dataclass(frozen=True, eq=False)
class ExplainedTable:
    """Rows of a raw table, and the classifier that decides about them.

    Attributes
    ----------
    model : fitted classifier
        The last step of the pipeline.
    before : list of fitted transformers
        The other steps.
    columns : ColumnMap
        From raw rows to features.
    frame : DataFrame of shape (n, n_columns)
        Raw rows.
    x : ndarray of shape (n, n_features)
        Their features.
    """

    model: ExplainableClassifier
    before: list[Any]
    columns: ColumnMap
    frame: pd.DataFrame
    x: np.ndarray

    @classmethod
    def of(cls, pipeline: Estimator, X: Any, what: str, threat: TableThreat | None = None) -> ExplainedTable:
        """Check a pipeline and raw rows, and that a threat model is of their table.

        Raises
        ------
        TypeError, ValueError, NotFittedError
            A model that is not fitted or does not explain itself, a step that mixes columns, rows that are no table,
            columns that are missing, too many or in another order.
        """
        model, before = unwrap(pipeline, needs=_NEEDS, what=what)
        if not is_table(X):
            raise TypeError(
                f"{what} speaks of columns, and needs a DataFrame of raw rows as the pipeline takes them; got "
                f"{type(X).__name__}. Pass pd.DataFrame(X, columns=...), and fit the pipeline on such a table."
            )
        columns = column_map(pipeline) if threat is None else map_of(pipeline, threat)
        frame = raw_frame(X, columns.frame_columns)
        if isinstance(X, pd.DataFrame):
            frame = frame.set_axis(X.index, axis=0)
        return cls(model, before, columns, frame, columns.transform(frame) if len(frame) else np.empty((0, 0)))

    def baseline(self, baseline: Any) -> np.ndarray:
        """Return the features of the baseline.

        Parameters
        ----------
        baseline : None, table, Series or dict
            None for the typical row of the training data; one raw row; or a table of raw rows, of whose features the
            mean is taken.
        """
        if baseline is None:
            summary = getattr(self.model, "table_summary_", None)
            if summary is None:
                raise ValueError(
                    f"{type(self.model).__name__} has kept no typical row of its training data. Pass baseline=, a raw "
                    "row or a table of raw rows, of which the mean is taken."
                )
            return np.asarray(summary.baseline)
        if isinstance(baseline, dict):
            baseline = pd.DataFrame([baseline])
        elif isinstance(baseline, pd.Series):
            baseline = baseline.to_frame().T.infer_objects()
        if not is_table(baseline) or not len(baseline):
            raise TypeError(
                "baseline must be a raw row (a dict, a Series or a table of one row), a table of raw rows, or None for "
                f"the medians and modes of the training data; got {type(baseline).__name__}."
            )
        frame = raw_frame(baseline, self.columns.frame_columns, what="baseline")
        own = {name: self.frame[name].dtype for name in frame}
        for name, dtype in own.items():
            if pd.api.types.is_object_dtype(frame[name]) and not pd.api.types.is_object_dtype(dtype):
                frame[name] = frame[name].astype(dtype)
        return np.asarray(self.columns.transform(frame).mean(axis=0))

    def explainer(
        self,
        method: ContributionMethod,
        output: Output,
        n_points: int,
        baseline: np.ndarray,
        side: ContributionSide = "for",
    ) -> ColumnContributions:
        """Return the explainer of the raw columns."""
        groups = [group.tolist() for group in self.columns.groups]
        names = [str(name) for name in self.columns.columns]
        return ColumnContributions(method, output, n_points, baseline, groups, names, side)

    def explained_by(self, explainer: ColumnContributions) -> Estimator:
        """Return the pipeline with a classifier that is explained in this way; the weights are shared."""
        model = copy.copy(self.model)
        model.set_params(explainer=explainer)  # type: ignore[attr-defined]
        return make_pipeline(*self.before, model) if self.before else model
