"""What is audited: a model on rows, and the one way in which rows are changed, predicted and explained."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from sklearn.pipeline import Pipeline, make_pipeline

from robustxai._frames import as_pandas, is_table
from robustxai._models import named_rows, unwrap
from robustxai._table_summary import typical_row
from robustxai.attacks import BlackBox
from robustxai.audit._black_box import ColumnBlackBox
from robustxai.columns import ColumnMap, Points, TableRows, TableThreat, column_map, map_of
from robustxai.explainers import ColumnContributions
from robustxai.perturbation import ThreatModel
from robustxai.protocols import ContributionMethod, Estimator, Ranking
from robustxai.ranking import clip_k
from robustxai.reasons import ExplainedTable

__all__ = ["N_POINTS", "Target", "is_raw", "with_explainer"]

#: Points of the midpoint rule of the contributions that are audited by default: half of those of `reasons`, whose
#: proofs take twice as long.
N_POINTS = 8
_NEEDS = ("predict", "predict_proba", "classes_", "explain", "encode_target", "module_", "device_", "explainer_")


def with_explainer(estimator: Any, explainer: Any) -> Any:
    """Return a model that explains itself.

    A fitted classifier of another library with a callable is a black box, and so is one of this library with an
    explainer that has no derivative.
    """
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not has_derivative(explainer):
        model, before = unwrap(estimator, needs=("explain", "explainer_"), what="audit")
        told = BlackBox(model, _Told(model, explainer))
        return make_pipeline(*before, told) if before else told
    if hasattr(last, "explain") or not callable(explainer) or not hasattr(last, "predict_proba"):
        return estimator
    box = BlackBox(last, explainer)
    return make_pipeline(*estimator[:-1], box) if isinstance(estimator, Pipeline) and len(estimator) > 1 else box


def has_derivative(explainer: Any) -> bool:
    """Return whether an explainer can be differentiated, as far as it says."""
    return bool(getattr(explainer, "has_derivative", True))


class _Told:
    """An explainer without a derivative as a function of rows."""

    def __init__(self, model: Any, explainer: Any) -> None:
        self.model = model
        self.explainer = explainer
        self.__name__ = str(getattr(explainer, "name", type(explainer).__name__))

    def __call__(self, X: Any) -> Any:
        return self.model.explain(X, explainer=self.explainer)


def is_raw(estimator: Estimator, X: Any) -> bool:
    """Return whether X is a raw table from which a pipeline makes features, column by column."""
    _, before = unwrap(estimator, needs=("explain",), what="audit")
    if not before or not is_table(X):
        return False
    try:
        column_map(estimator)
    except ValueError:  # a step that mixes columns
        return False
    return True


@dataclass(frozen=True, eq=False)
class Target:
    """A model on some rows.

    Attributes
    ----------
    estimator : fitted classifier or Pipeline
        What attacks and certificates take.
    model : fitted classifier
        Which sees features.
    rows : DataFrame or ndarray of shape (n, n_columns)
        As `estimator` takes them.
    frame : DataFrame of shape (n, n_columns)
        The same for people, with names.
    x : ndarray of shape (n, n_features)
        Their features.
    units : tuple
        Names of what is ranked.
    threat : ThreatModel or TableThreat
        How the rows may change.
    k : int
        Size of the top set, after clipping.
    ranking : {"magnitude", "signed"}
    columns : ColumnMap or None
        From raw rows to features; None for features.
    """

    estimator: Any
    model: Any
    rows: Any
    frame: pd.DataFrame
    x: np.ndarray
    units: tuple[Hashable, ...]
    threat: ThreatModel | TableThreat
    k: int
    ranking: Ranking
    columns: ColumnMap | None

    @classmethod
    def of(
        cls, estimator: Any, X: Any, threat: ThreatModel | TableThreat, explainer: Any, k: int, ranking: Ranking
    ) -> Target:
        """Make one of a fitted model and rows as it takes them."""
        made = _of_table if isinstance(threat, TableThreat) else _of_features
        return made(estimator, X, threat, explainer, k, ranking)

    def of_rows(self, places: np.ndarray) -> Target:
        """Return the same model on some of the rows."""
        rows = self.rows.iloc[places] if isinstance(self.rows, pd.DataFrame) else self.rows[places]
        return replace(self, rows=rows, frame=self.frame.iloc[places], x=self.x[places])

    def __len__(self) -> int:
        return len(self.x)

    @property
    def is_black_box(self) -> bool:
        """Whether the model has no gradients."""
        return not getattr(self.model, "has_gradient", True)

    def scaled(self, share: float) -> ThreatModel | TableThreat:
        """Return the threat model with a share of its budgets or of its radius."""
        if isinstance(self.threat, TableThreat):
            return self.threat.scaled(share)
        return replace(self.threat, epsilon=share * self.threat.epsilon)

    def seen(self, x: np.ndarray) -> Any:
        """Return features as the model takes them."""
        names = getattr(self.model, "feature_names_in_", None)
        return x if names is None else pd.DataFrame(x, columns=names)

    def predicted(self, x: np.ndarray) -> np.ndarray:
        """Return the places of the predicted classes of features, shape (n,)."""
        return np.asarray(self.model.encode_target(self.seen(x)).cpu().numpy())

    def explained(self, x: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return attributions of the classes with these places, shape (n, n_units)."""
        labels = np.asarray(self.model.classes_)[codes]
        return np.asarray(self.model.explain(self.seen(x), labels), dtype=np.float64)

    def scores(self, attribution: np.ndarray) -> np.ndarray:
        """Return what is ranked of attributions."""
        return np.abs(attribution) if self.ranking == "magnitude" else attribution

    def features(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the features of rows for people, shape (n, n_features)."""
        if self.columns is not None:
            return self.columns.transform(frame)
        return frame.to_numpy(dtype=self.x.dtype)

    def draws(self, share: float, n_draws: int, seed: int) -> tuple[np.ndarray, Callable[[np.ndarray], pd.DataFrame]]:
        """Draw admissible changes of every row.

        Numbers are uniform inside their budgets, and every choice of switches has the same probability; features are
        uniform in the ball, projected to its box.

        Returns
        -------
        x : ndarray of shape (n_draws, n, n_features)
            Features of the changed rows.
        rows_of : callable
            For the number of a draw for each row, shape (n,), the changed rows for people.
        """
        if self.columns is None:
            return self._draws_of_features(share, n_draws, seed)
        threat = self.scaled(share)
        assert isinstance(threat, TableThreat)
        generator = np.random.default_rng(seed)
        rows = TableRows(threat, self.frame.reset_index(drop=True), self.columns, x=self.x)
        every = np.arange(len(self))
        starts = np.cumsum(rows.n_choices) - rows.n_choices
        codes = rows.boxes(every).start.codes
        drawn = []
        for _ in range(n_draws):
            choice = starts + (generator.random(len(self)) * rows.n_choices).astype(int)
            share_of = generator.random(rows.low.shape)
            drawn.append(rows.settled(Points(every, rows.low + share_of * (rows.high - rows.low), codes[choice])))
        x = np.stack([rows.features(points) for points in drawn])

        def rows_of(number: np.ndarray) -> pd.DataFrame:
            amounts, levels = (
                np.stack([getattr(p, name) for p in drawn])[number, every] for name in ("amounts", "codes")
            )
            return rows.table(Points(every, amounts, levels)).set_axis(self.frame.index)

        return x, rows_of

    def _draws_of_features(
        self, share: float, n_draws: int, seed: int
    ) -> tuple[np.ndarray, Callable[[np.ndarray], pd.DataFrame]]:
        threat = self.scaled(share)
        assert isinstance(threat, ThreatModel)
        space = threat.bind(self.x)
        generator = torch.Generator().manual_seed(seed)
        center = torch.from_numpy(self.x.astype(np.float32))
        drawn = []
        for _ in range(n_draws):
            delta = space.project(space.random_points(center, generator), center)
            drawn.append(self.x + delta.numpy().astype(self.x.dtype))
        x = np.stack(drawn)

        def rows_of(number: np.ndarray) -> pd.DataFrame:
            return pd.DataFrame(x[number, np.arange(len(self))], index=self.frame.index, columns=self.frame.columns)

        return x, rows_of


def _of_table(
    estimator: Any, X: Any, threat: ThreatModel | TableThreat, explainer: Any, k: int, ranking: Ranking
) -> Target:
    assert isinstance(threat, TableThreat)
    model, before = unwrap(estimator, needs=_NEEDS, what="audit")
    if not getattr(model, "has_gradient", True):
        columns = map_of(estimator, threat)
        frame = as_pandas(X)
        if callable(explainer) and has_derivative(explainer):
            model = BlackBox(model.estimator, explainer)  # type: ignore[attr-defined]
        units: Sequence[Hashable] = columns.columns
        if [group.tolist() for group in columns.groups] != [[j] for j in range(len(columns.records))]:
            model = ColumnBlackBox(model, [group.tolist() for group in columns.groups])  # type: ignore[arg-type]
        view = make_pipeline(*before, model) if before else model
        x = columns.transform(frame)
    else:
        table = ExplainedTable.of(estimator, X, "audit", threat)
        columns, frame, x = table.columns, table.frame, table.x
        chosen = _column_explainer(table, explainer)
        view = estimator if chosen is None else table.explained_by(chosen)
        model, _ = unwrap(view, needs=_NEEDS, what="audit")
        units = columns.columns
        if len(model.explain(_named(model, x[:1]))[0]) != len(units):
            units = columns.feature_names
    return Target(view, model, frame, frame, x, tuple(units), threat, clip_k(k, len(units)), ranking, columns)


def _named(model: Any, x: np.ndarray) -> Any:
    names = getattr(model, "feature_names_in_", None)
    return x if names is None else pd.DataFrame(x, columns=names)


def _column_explainer(table: ExplainedTable, explainer: Any) -> Any:
    """Return the explainer of an audit of a raw table, or None for that of the model."""
    own = getattr(table.model.explainer_, "groups", None)
    if explainer is None and own is not None and len(own) == len(table.columns.columns):
        return None
    if explainer is None or explainer in get_args(ContributionMethod):
        method: ContributionMethod = "integrated_gradients" if explainer is None else explainer
        return table.explainer(method, "log_odds", N_POINTS, _baseline(table))
    if isinstance(explainer, ColumnContributions) and explainer.groups is None:
        groups = [group.tolist() for group in table.columns.groups]
        return replace(explainer, groups=groups, names=[str(name) for name in table.columns.columns])
    return explainer


def _baseline(table: ExplainedTable) -> np.ndarray:
    """Return the typical row of the training data, or of the audited rows where the model has not kept one."""
    if getattr(table.model, "table_summary_", None) is None:
        return typical_row(table.x, table.columns.groups)
    return table.baseline(None)


def _of_features(
    estimator: Any, X: Any, threat: ThreatModel | TableThreat, explainer: Any, k: int, ranking: Ranking
) -> Target:
    assert isinstance(threat, ThreatModel)
    model, before = unwrap(estimator, needs=_NEEDS, what="audit")
    rows = named_rows(X, before)
    if np.ndim(rows) != 2:
        raise ValueError(f"audit is about tables, with one row per sample; X has the shape {np.shape(rows)}.")
    if explainer is not None and has_derivative(explainer):
        if isinstance(model, BlackBox):
            model = BlackBox(model.estimator, explainer)
        else:
            model = copy.copy(model)
            model.set_params(explainer=explainer)  # type: ignore[attr-defined]
    names = list(rows.columns) if isinstance(rows, pd.DataFrame) else [f"x{j}" for j in range(np.shape(rows)[1])]
    if isinstance(rows, pd.DataFrame) and getattr(model, "feature_names_in_", None) is None:
        given = rows.index
        rows = rows.to_numpy(dtype=np.float64)
    else:
        given = rows.index if isinstance(rows, pd.DataFrame) else pd.RangeIndex(len(rows))
    x = np.asarray(rows, dtype=np.float64)
    frame = pd.DataFrame(x, index=given, columns=names)
    resolved = threat.resolve(x, names)
    n_units = model.explain(rows[:1])
    shape = np.shape(n_units)[1]
    units: Sequence[Hashable] = names
    if shape != len(names):
        units = getattr(n_units, "columns", [f"column {j}" for j in range(shape)])
    return Target(model, model, rows, frame, x, tuple(units), resolved, clip_k(k, shape), ranking, None)
