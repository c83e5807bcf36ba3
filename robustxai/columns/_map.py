"""Which features a raw column became, read off a fitted pipeline."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import TransformerMixin, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from robustxai._arguments import Either, Nothing, Rows, checked
from robustxai._compat import BaseSearchCV
from robustxai._frames import is_table
from robustxai._short_repr import short
from robustxai.columns._feature import Feature
from robustxai.columns._frame import raw_frame
from robustxai.columns._inverse import raw_values
from robustxai.columns._kept import kept_features
from robustxai.columns._names import features_by_name
from robustxai.columns._walk import walk
from robustxai.protocols import Estimator

__all__ = ["ColumnMap", "column_map"]

#: Rows of a sample with which a map is checked.
_N_CHECKED = 20
#: Relative error of a feature in float32.
_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class ColumnMap:
    """Features of a transformed table by the raw columns that they depend on; :func:`column_map` makes one.

    Parameters
    ----------
    records : tuple of Feature
        What is known of each feature, in the order of the features.
    frame_columns : tuple of hashable
        Names of all columns of the raw table, in its order.
    transformers : tuple
        Fitted transformers from the raw table to the features.
    named : bool, default=True
        Whether the transformers were fitted on a table with names.
    originals : dict, optional
        For each place of a raw column, the text of its values and the values.

    Attributes
    ----------
    columns : tuple of hashable
        Names of the raw columns that have features, in the order of the table.
    unused : tuple of hashable
        Names of those that have none.
    groups : tuple of ndarray
        For each of `columns` the indices of its features, ascending. They are disjoint, and together all features.
    feature_names : tuple of str
        Names of the features.
    """

    records: tuple[Feature, ...]
    frame_columns: tuple[Any, ...]
    transformers: tuple[Any, ...] | None = ()
    named: bool = True
    originals: dict[int, dict[str, Any]] = field(default_factory=dict)

    @cached_property
    def _places(self) -> list[int]:
        return sorted({feature.column for feature in self.records})

    @property
    def columns(self) -> tuple[Any, ...]:
        """Names of the raw columns that have features, in the order of the table."""
        return tuple(self.frame_columns[place] for place in self._places)

    @property
    def unused(self) -> tuple[Any, ...]:
        """Names of the raw columns that no feature depends on."""
        used = set(self._places)
        return tuple(name for place, name in enumerate(self.frame_columns) if place not in used)

    @cached_property
    def groups(self) -> tuple[np.ndarray, ...]:
        """For each of `columns` the indices of its features."""
        of = np.array([feature.column for feature in self.records])
        return tuple(np.flatnonzero(of == place) for place in self._places)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(feature.name for feature in self.records)

    @property
    def features(self) -> pd.DataFrame:
        """The table of :meth:`to_frame`."""
        return self.to_frame()

    def to_frame(self) -> pd.DataFrame:
        """Return one row per feature.

        Returns
        -------
        DataFrame
            ``feature``, ``column``, ``kind`` ("numeric", "category", "missing", "bin"), ``category`` (of a one-hot
            feature; a tuple of the infrequent ones; the interval of a bin), ``unit`` (amount of the raw column that one
            unit of the feature is; NaN where there is no such number) and ``reason`` (why there is none).
        """
        categories = np.empty(len(self.records), dtype=object)
        categories[:] = [feature.category for feature in self.records]
        return pd.DataFrame(
            {
                "feature": list(self.feature_names),
                "column": [self.frame_columns[feature.column] for feature in self.records],
                "kind": [feature.kind for feature in self.records],
                "category": pd.Series(categories, dtype=object),
                "unit": np.array([f.unit for f in self.records], dtype=float),
                "reason": [feature.why_no_unit for feature in self.records],
            }
        )

    def __repr__(self) -> str:
        return f"ColumnMap({len(self.columns)} columns, {len(self.records)} features)"

    def transform(self, X: Any) -> np.ndarray:
        """Return the features of raw rows, float64 of shape (n, n_features).

        Parameters
        ----------
        X : table of shape (n, n_columns)
            With the columns `frame_columns`.

        Raises
        ------
        ValueError
            Columns that are missing, too many, or in another order; a map that was made of names alone.
        """
        if self.transformers is None:
            raise ValueError(
                "This map was made of names alone and transforms nothing. Make it of the fitted pipeline: "
                "column_map(pipeline)."
            )
        frame = raw_frame(X, self.frame_columns)
        rows: Any = frame if self.named else frame.to_numpy()
        for transformer in self.transformers:
            rows = transformer.transform(rows)
        rows = rows.toarray() if hasattr(rows, "toarray") else rows
        return np.asarray(rows, dtype=float)

    def inverse(self, x: Any, like: Any = None) -> pd.DataFrame:
        """Return raw rows that have given features: ``transform(inverse(x))`` is x, up to rounding.

        A relaxed category, whose features are no longer 0 and 1, is the one with the largest share (of the category
        without a feature: what is left to 1). A feature at the limit to which a scaler clips it means the amount at
        that limit. Where a mark of gaps is above its half, the value is a gap. A gap without a mark is the amount that
        fills it.

        Parameters
        ----------
        x : array-like or table of shape (n, n_features) or (n_features,)
            Features.
        like : table of shape (n, n_columns) or (1, n_columns), optional
            Raw rows from which the `unused` columns are taken; these are left out without it.

        Returns
        -------
        DataFrame of shape (n, n_columns)

        Raises
        ------
        ValueError
            A column whose features do not tell its value (a quantile transform, bins), or contradict each other.
        """
        array = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x, dtype=float)
        array = array[None] if array.ndim == 1 else array
        if array.ndim != 2 or array.shape[1] != len(self.records):
            raise ValueError(f"x must have the {len(self.records)} features of the map, got shape {array.shape}.")
        data = {}
        for place, name, group in zip(self._places, self.columns, self.groups):
            features = [self.records[j] for j in group]
            values = raw_values(name, features, array[:, group], self.originals.get(place, {}))
            data[name] = pd.Series(values).infer_objects()
        if like is None:
            return pd.DataFrame(data, columns=list(self.columns))
        base = raw_frame(like, self.frame_columns, what="like")
        if len(base) not in (1, len(array)):
            raise ValueError(f"like has {len(base)} rows and x has {len(array)}; give one row, or one for each of x.")
        base = base.iloc[np.zeros(len(array), dtype=int)] if len(base) == 1 else base
        for name in self.unused:
            data[name] = base[name].reset_index(drop=True)
        return pd.DataFrame(data, columns=list(self.frame_columns))

    def check(self, X: Any) -> None:
        """Check the map at raw rows: changing one column changes its own features only, and by its unit.

        Parameters
        ----------
        X : table of shape (n, n_columns)
            At least two rows, of which some are used.

        Raises
        ------
        ValueError
            A feature that changes with another column, or by another unit.
        """
        frame = raw_frame(X, self.frame_columns)
        frame = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, min(len(frame), _N_CHECKED)).astype(int))]
        frame = frame.reset_index(drop=True)
        n_rows = len(frame)
        parts = [frame]
        for name in self.frame_columns:
            moved = frame.copy()
            moved[name] = frame[name].iloc[np.roll(np.arange(n_rows), 1)].set_axis(frame.index)
            parts.append(moved)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = self.transform(pd.concat(parts, ignore_index=True))
        if made.shape[1] != len(self.records):
            raise ValueError(f"The pipeline makes {made.shape[1]} features, and the map has {len(self.records)}.")
        made = made.reshape(len(parts), n_rows, -1)
        for place, name in enumerate(self.frame_columns):
            changed = ~np.isclose(made[place + 1], made[0], rtol=_ROUNDING, atol=1e-6, equal_nan=True)
            for j in np.flatnonzero(changed.any(axis=0)):
                if self.records[j].column != place:
                    raise ValueError(
                        f"The feature {self.records[j].name!r}, which belongs to the column "
                        f"{self.frame_columns[self.records[j].column]!r} by its step, changes with {name!r}. A step of "
                        "the pipeline mixes columns: leave it out, or apply it to each column by itself."
                    )
            self._check_units(place, frame[name], made[[0, place + 1]])

    def _check_units(self, place: int, column: pd.Series, made: np.ndarray) -> None:
        for j, feature in enumerate(self.records):
            if feature.column != place or feature.unit is None or not pd.api.types.is_numeric_dtype(column):
                continue
            raw = column.to_numpy(dtype=float, na_value=np.nan)
            before, after = made[0, :, j], made[1, :, j]
            slack = _ROUNDING * (1.0 + np.abs(before) + np.abs(after))
            inside = [(v > feature.low + slack) & (v < feature.high - slack) for v in (before, after)]
            wrong = np.abs(feature.scale * (np.roll(raw, 1) - raw) - (after - before)) > slack
            if (wrong & inside[0] & inside[1]).any():
                raise ValueError(
                    f"The feature {feature.name!r} does not change by {feature.scale:g} per unit of the column "
                    f"{self.frame_columns[place]!r}. A step computes something else than its class says; leave it out."
                )


_NAMES = Either((Rows(), Nothing()), words="a sequence of names or None")
_SAMPLE = Either((Rows(2), Nothing()), words="a table of raw rows or None")


@checked(feature_names=_NAMES, X=_SAMPLE)
def column_map(
    estimator: Estimator | TransformerMixin | Sequence[str] | None,
    feature_names: Sequence[str] | None = None,
    X: Any = None,
) -> ColumnMap:
    """Find out which raw column every feature of a fitted pipeline depends on.

    The fitted steps are followed one by one; nothing is guessed from names but where a step tells nothing else. What
    is known: Pipeline, ColumnTransformer and FeatureUnion, nested; selections; the scalers, encoders, imputers and
    discretizers of scikit-learn that work column by column; ``make_preprocessor``; FunctionTransformer with a function
    of NumPy; every transformer that sees one raw column only. A transformer that is not known is taken to keep its
    columns apart where its ``get_feature_names_out`` returns the names of its columns, and is tried at random numbers.

    Parameters
    ----------
    estimator : fitted Pipeline, transformer, classifier, search or FrozenEstimator; or sequence of str
        The last step of a Pipeline may be a classifier. A classifier alone sees the raw columns. A sequence gives the
        names of features whose transformer is not at hand.
    feature_names : sequence of str, optional
        Names of the raw columns, in their order: of a transformer that was fitted on an array (x0, x1, ... by default),
        or those that features given by name may come from. With ``estimator=None``, the names of the features.
    X : table, optional
        Raw rows for :meth:`ColumnMap.check`, and for what the text of a category was in the table.

    Returns
    -------
    ColumnMap

    Raises
    ------
    NotFittedError
        A step that is not fitted.
    ValueError
        A step that mixes columns (PCA, polynomial features), by its name; names that may mean several columns; rows at
        which the map does not hold.
    TypeError
        Something that is no estimator.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.compose import make_column_transformer
    >>> from sklearn.preprocessing import OneHotEncoder, StandardScaler
    >>> X = pd.DataFrame({"home": ["own", "rent", "own"], "age": [20, 40, 60]})
    >>> transformer = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["home"])).fit(X)
    >>> columns = column_map(transformer)
    >>> columns.columns, columns.groups
    (('home', 'age'), (array([1, 2]), array([0])))
    >>> columns.to_frame()[["feature", "column", "kind", "category", "unit"]].round(2)
                       feature column      kind category   unit
    0      standardscaler__age    age   numeric     None  16.33
    1  onehotencoder__home_own   home  category      own    NaN
    2 onehotencoder__home_rent   home  category     rent    NaN
    """
    if estimator is None or isinstance(estimator, (list, tuple, np.ndarray, pd.Index)):
        names = feature_names if estimator is None else estimator
        raw = None if estimator is None else feature_names
        if names is None or not len(names) or not all(isinstance(name, str) for name in names):
            raise TypeError(
                "column_map needs a fitted pipeline or the names of the features as a sequence of str, got "
                f"{'None' if estimator is None else f'a {type(estimator).__name__}'}."
            )
        return ColumnMap(*features_by_name([str(name) for name in names], raw), transformers=None)
    transformers, first = _transformers(estimator)
    labels = getattr(first, "feature_names_in_", None)
    named = labels is not None
    if labels is None:
        n_columns = getattr(first, "n_features_in_", None if feature_names is None else len(feature_names))
        if n_columns is None:
            raise ValueError(
                f"{type(first).__name__} does not tell how many columns it was fitted on. Give their names as "
                "feature_names, or fit it on a DataFrame."
            )
        labels = [f"x{place}" for place in range(n_columns)] if feature_names is None else feature_names
        if len(labels) != n_columns:
            raise ValueError(f"feature_names has {len(labels)} names for the {n_columns} columns of the fit.")
    elif feature_names is not None and list(feature_names) != list(labels):
        raise ValueError(
            f"feature_names differs from the columns of the fit, {list(labels)[:6]}. Leave it out: they are known."
        )

    def followed() -> list[Feature]:
        features = [Feature(name=str(name), column=place) for place, name in enumerate(labels)]
        for step, transformer in transformers:
            features = walk(step, transformer, features)
        return features

    features = kept_features(transformers, labels, followed)
    made = ColumnMap(tuple(features), tuple(labels), tuple(t for _, t in transformers), named)
    if X is not None:
        frame = raw_frame(X, made.frame_columns)
        texts = {place: _texts(frame[name]) for place, name in enumerate(frame) if _has_text(features, place)}
        made = replace(made, originals=texts)
        made.check(frame)
    return made


def _has_text(features: Sequence[Feature], place: int) -> bool:
    return any(feature.text for feature in features if feature.column == place)


def _texts(column: pd.Series) -> dict[str, Any]:
    found = {str(value): value for value in column.dropna().unique()}
    if column.isna().any():
        found.setdefault("missing", np.nan)
    return found


def _transformers(estimator: Any) -> tuple[list[tuple[str, Any]], Any]:
    """Return the named transformers from raw rows to features, and what knows the raw columns."""
    what = "column_map needs a fitted pipeline or the names of the features as a sequence of str"
    kinds = ("transform", "predict", "steps")
    if isinstance(estimator, type) or is_table(estimator) or not any(hasattr(estimator, kind) for kind in kinds):
        raise TypeError(f"{what}, got {short(estimator)}.")
    estimator = _opened(estimator)
    if isinstance(estimator, Pipeline):
        found: list[tuple[str, Any]] = []
        for name, step in estimator.steps:
            if step is None or (isinstance(step, str) and step == "passthrough"):
                continue
            if step is estimator.steps[-1][1] and _is_model(step):
                inside, model = _transformers(step)
                found += inside
                return found, _knows_columns(found[0][1] if found else model)
            found.append((name, step))
        return found, _knows_columns(found[0][1]) if found else estimator
    found = [] if _is_model(estimator) else [(type(estimator).__name__.lower(), estimator)]
    return found, _knows_columns(estimator)


def _opened(estimator: Any) -> Any:
    """Return the estimator inside of searches and frozen estimators."""
    while True:
        if isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif isinstance(estimator, BaseSearchCV):
            if not hasattr(estimator, "best_estimator_"):
                raise NotFittedError(
                    f"The {type(estimator).__name__} has no best_estimator_: call its fit(X, y) with refit=True first."
                )
            estimator = estimator.best_estimator_
        else:
            return estimator


def _is_model(estimator: Any) -> bool:
    """Return whether an estimator predicts, and so ends the way of the features."""
    if isinstance(estimator, (FrozenEstimator, BaseSearchCV)):
        return _is_model(getattr(estimator, "best_estimator_", estimator.estimator))
    if isinstance(estimator, Pipeline):
        return bool(estimator.steps) and _is_model(estimator.steps[-1][1])
    try:
        return bool(is_classifier(estimator) or is_regressor(estimator)) or not hasattr(estimator, "transform")
    except AttributeError:  # a user's transformer without tags
        return not hasattr(estimator, "transform")


def _knows_columns(estimator: Any) -> Any:
    """Return the estimator, or the first one inside, with `n_features_in_`; raise for one that is not fitted."""
    while not hasattr(estimator, "n_features_in_") and isinstance(estimator, (Pipeline, FrozenEstimator)):
        estimator = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator.steps[0][1]
    stateless = isinstance(estimator, FunctionTransformer)
    ours = type(estimator).__module__.startswith(("sklearn.", "robustxai."))
    if ours and not stateless and not hasattr(estimator, "n_features_in_"):
        raise NotFittedError(
            f"The pipeline is not fitted yet ({type(estimator).__name__} has seen no data): call its fit(X, y) first."
        )
    return estimator
