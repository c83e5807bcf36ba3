"""Features after one fitted transformer: what scikit-learn's transformers do to single columns, one function each."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.utils.validation import check_is_fitted

from robustxai.columns._feature import Feature, Kind, is_gap, plain
from robustxai.datasets import GapMarks, as_float32, as_text

__all__ = ["follow", "names_out", "refuse"]

#: Numbers of the blocks of features that an encoder makes of one column.
_BLOCKS = itertools.count()
#: Functions that never fall.
_RISING = {
    *(np.log, np.log1p, np.log2, np.log10, np.sqrt, np.cbrt, np.exp, np.exp2, np.expm1, np.arctan, np.arcsinh),
    *(np.tanh, np.sinh, np.floor, np.ceil, np.trunc, np.rint, np.sign),
}
#: Transformers that mix columns under names that look as if they did not.
_MIXERS = (Normalizer, KNNImputer)
_MIXER_NAMES = ("IterativeImputer",)


def follow(step: str, transformer: Any, inputs: Sequence[Feature]) -> list[Feature]:
    """Return the features that a fitted transformer makes of others.

    Raises
    ------
    NotFittedError
        A transformer that is not fitted.
    ValueError
        A transformer that mixes columns, or of which this is not known; the sentence has the name of the step.
    """
    if type(transformer).__module__.startswith("sklearn."):
        _check_fitted(step, transformer)
    n_in = getattr(transformer, "n_features_in_", len(inputs))
    if n_in != len(inputs):
        refuse(step, transformer, f"was fitted on {n_in} columns and gets {len(inputs)}. Fit the whole pipeline again.")
    features: list[Feature] | None = None
    for kind, known in _KNOWN.items():
        if isinstance(transformer, kind) and type(transformer).transform is kind.transform:
            features = known(transformer, list(inputs))
            break
    if features is None:
        features = _unknown(step, transformer, list(inputs))
    names = names_out(transformer, inputs)
    if names is not None and len(names) == len(features):
        features = [replace(feature, name=name) for feature, name in zip(features, names)]
    return features


def refuse(step: str, transformer: Any, why: str) -> NoReturn:
    """Raise the sentence about a step."""
    raise ValueError(f"The step {step!r} ({type(transformer).__name__}) {why}")


def names_out(transformer: Any, inputs: Sequence[Feature]) -> list[str] | None:
    """Return the names of the features that a transformer makes, None where it does not tell."""
    given = getattr(transformer, "feature_names_in_", None)
    given = [feature.name for feature in inputs] if given is None else list(given)
    try:
        return [str(name) for name in transformer.get_feature_names_out(np.asarray(given, dtype=object))]
    except (AttributeError, TypeError, ValueError):
        return None


def _check_fitted(step: str, transformer: Any) -> None:
    try:
        check_is_fitted(transformer)
    except NotFittedError as error:
        raise NotFittedError(
            f"The step {step!r} ({type(transformer).__name__}) is not fitted yet: call fit(X, y) of the whole pipeline "
            "first."
        ) from error


# ---------------------------------------------------------------- scalers


def _each(inputs: list[Feature], scales: Any, shifts: Any) -> list[Feature]:
    n = len(inputs)
    pairs = zip(inputs, np.broadcast_to(scales, n), np.broadcast_to(shifts, n))
    return [feature.scaled(scale, shift) for feature, scale, shift in pairs]


def _standard(scaler: Any, inputs: list[Feature]) -> list[Feature]:
    scale = 1.0 if scaler.scale_ is None else 1.0 / scaler.scale_
    return _each(inputs, scale, -scaler.mean_ * scale if scaler.with_mean else 0.0)


def _min_max(scaler: Any, inputs: list[Feature]) -> list[Feature]:
    features = _each(inputs, scaler.scale_, scaler.min_)
    return [feature.clipped(*scaler.feature_range) for feature in features] if scaler.clip else features


def _max_abs(scaler: Any, inputs: list[Feature]) -> list[Feature]:
    features = _each(inputs, 1.0 / scaler.scale_, 0.0)
    return [feature.clipped(-1.0, 1.0) for feature in features] if getattr(scaler, "clip", False) else features


def _robust(scaler: Any, inputs: list[Feature]) -> list[Feature]:
    scale = 1.0 if scaler.scale_ is None else 1.0 / scaler.scale_
    return _each(inputs, scale, 0.0 if scaler.center_ is None else -scaler.center_ * scale)


def _curve(transformer: Any, inputs: list[Feature]) -> list[Feature]:
    return [feature.bent(f"{type(transformer).__name__} is not affine", rising=True) for feature in inputs]


def _spline(transformer: Any, inputs: list[Feature]) -> list[Feature]:
    each = transformer.n_features_out_ // max(len(inputs), 1)
    return [feature.bent("a spline is not affine") for feature in inputs for _ in range(each)]


# ---------------------------------------------------------------- gaps


def _mark(feature: Feature, missing_values: Any, name: str) -> Feature:
    special = () if is_gap(missing_values) else (plain(missing_values),)
    return Feature(
        name=name,
        column=feature.column,
        kind="missing",
        source="mark",
        direction=0,
        categories=special,
        block=next(_BLOCKS),
    )


def _imputer(imputer: Any, inputs: list[Feature]) -> list[Feature]:
    kept = [
        _filled(feature, value)
        for feature, value in zip(inputs, imputer.statistics_)
        if imputer.keep_empty_features or not is_gap(value)
    ]
    if not is_gap(imputer.missing_values):
        kept = [replace(f, hole=f.hole or f"{imputer.missing_values!r} is replaced", direction=0) for f in kept]
    marks = _marks(imputer.indicator_, inputs) if imputer.add_indicator else []
    return [*kept, *marks]


def _filled(feature: Feature, value: Any) -> Feature:
    if feature.source != "amount" or feature.reason or not isinstance(value, (int, float, np.number)):
        return feature
    return replace(feature, fill=feature.amount(float(value)))


def _marks(indicator: Any, inputs: list[Feature]) -> list[Feature]:
    return [
        _mark(inputs[place], indicator.missing_values, f"missingindicator_{inputs[place].name}")
        for place in indicator.features_
    ]


def _gap_marks(marks: Any, inputs: list[Feature]) -> list[Feature]:
    return [_mark(inputs[place], None, f"{inputs[place].name}_missing") for place in marks.places_]


# ---------------------------------------------------------------- encoders


def _groups_of(encoder: Any, place: int) -> list[tuple[Any, ...]]:
    """Return the categories of a column in the order of their features or codes, the rare ones together at the end."""
    categories = list(encoder.categories_[place])
    rare = getattr(encoder, "infrequent_categories_", None)
    rare = [] if rare is None or rare[place] is None else list(rare[place])
    if not rare:
        return [(one,) for one in categories]
    together = {_key(one) for one in rare}
    common = [(one,) for one in categories if _key(one) not in together]
    return [*common, tuple(rare)]


def _key(value: Any) -> Any:
    return None if is_gap(value) else value


def _raw_levels(feature: Feature, groups: list[tuple[Any, ...]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(raw for one in group for raw in feature.level_of(one)) for group in groups)


def _one_hot(encoder: Any, inputs: list[Feature]) -> list[Feature]:
    found = []
    for place, feature in enumerate(inputs):
        groups = _groups_of(encoder, place)
        drop = None if encoder.drop_idx_ is None else encoder.drop_idx_[place]
        dropped = None if drop is None else _key(encoder.categories_[place][drop])
        kept = [drop is None or dropped not in {_key(one) for one in group} for group in groups]
        if feature.source == "mark":
            found += [_of_mark(feature, group) for group, keep in zip(groups, kept) if keep]
            continue
        levels, block = _raw_levels(feature, groups), next(_BLOCKS)
        kind: Kind = "bin" if feature.kind == "bin" else "category"
        for group, level, keep in zip(groups, levels, kept):
            if keep:
                found.append(
                    Feature(
                        name=f"{feature.name}_{'infrequent' if len(group) > 1 else group[0]}",
                        column=feature.column,
                        kind=kind,
                        source="mark",
                        direction=0,
                        categories=level,
                        levels=levels,
                        block=block,
                        text=feature.text,
                        reason=feature.reason,
                    )
                )
    return found


def _of_mark(feature: Feature, group: tuple[Any, ...]) -> Feature:
    """Return the mark of one value of a mark: itself, or its opposite."""
    on = [math.isclose(float(one), feature.shift + feature.scale, abs_tol=1e-9) for one in group]
    off = [math.isclose(float(one), feature.shift, abs_tol=1e-9) for one in group]
    if any(on) == any(off):
        return feature.bent("it is constant")
    ends = (-math.inf, math.inf)
    return replace(feature, scale=1.0 if any(on) else -1.0, shift=0.0 if any(on) else 1.0, low=ends[0], high=ends[1])


def _ordinal(encoder: Any, inputs: list[Feature]) -> list[Feature]:
    found = []
    for place, feature in enumerate(inputs):
        if feature.source == "mark":
            found.append(feature.bent("OrdinalEncoder gives codes"))
            continue
        groups = _groups_of(encoder, place)
        regular = [group for group in groups if not is_gap(group[0])]
        codes: list[float] = [float(code) for code in range(len(regular))]
        gaps = [group for group in groups if is_gap(group[0])]
        codes += [float(encoder.encoded_missing_value)] * len(gaps)
        found.append(_coded(feature, _raw_levels(feature, [*regular, *gaps]), codes))
    return found


def _target(encoder: Any, inputs: list[Feature]) -> list[Feature]:
    each = len(encoder.encodings_) // max(len(inputs), 1)
    found = []
    for place, feature in enumerate(inputs):
        groups = [(one,) for one in encoder.categories_[place]]
        for codes in encoder.encodings_[place * each : (place + 1) * each]:
            found.append(
                feature.bent("TargetEncoder gives means of the target")
                if feature.source == "mark"
                else _coded(feature, _raw_levels(feature, groups), [float(code) for code in codes])
            )
    return found


def _coded(feature: Feature, levels: tuple[tuple[Any, ...], ...], codes: Sequence[float]) -> Feature:
    kind: Kind = "bin" if feature.kind == "bin" else "category"
    return Feature(
        name=feature.name,
        column=feature.column,
        kind=kind,
        source="code",
        direction=0,
        levels=levels,
        values=tuple(codes),
        block=next(_BLOCKS),
        text=feature.text,
        reason=feature.reason,
    )


def _bins(binner: Any, inputs: list[Feature]) -> list[Feature]:
    found = []
    one_hot = binner.encode != "ordinal"
    for feature, edges, n_bins in zip(inputs, binner.bin_edges_, binner.n_bins_):
        if feature.source != "amount" or feature.reason or feature.hole:
            why = feature.reason or feature.hole or "KBinsDiscretizer cuts what is no amount"
            rising = feature.bent(why, rising=True)
            found += [replace(feature.bent(why), kind="bin") for _ in range(n_bins)] if one_hot else [rising]
            continue
        ends = [-math.inf, *(feature.amount(edge) for edge in edges[1:-1]), math.inf]
        ends = ends if feature.scale > 0 else [-ends[0], *ends[1:-1], -ends[-1]]
        spans = [tuple(sorted(pair)) for pair in itertools.pairwise(ends)]
        levels, block = tuple((span,) for span in spans), next(_BLOCKS)
        if not one_hot:
            found.append(
                Feature(
                    name=feature.name,
                    column=feature.column,
                    kind="bin",
                    source="code",
                    levels=levels,
                    direction=feature.direction,
                    values=tuple(map(float, range(len(spans)))),
                    block=block,
                )
            )
            continue
        for number, span in enumerate(spans):
            found.append(
                Feature(
                    name=f"{feature.name}_{number:.1f}",
                    column=feature.column,
                    kind="bin",
                    source="mark",
                    direction=0,
                    categories=(span,),
                    levels=levels,
                    block=block,
                )
            )
    return found


def _threshold(binarizer: Any, inputs: list[Feature]) -> list[Feature]:
    found = []
    for feature in inputs:
        if feature.source == "mark" and not feature.reason:
            off, on = feature.shift, feature.shift + feature.scale
            over = [value > binarizer.threshold for value in (off, on)]
            free = replace(feature, low=-math.inf, high=math.inf)
            made = free.bent("it is constant")
            if over[0] != over[1]:
                made = replace(free, scale=1.0 if over[1] else -1.0, shift=0.0 if over[1] else 1.0)
        elif not feature.low <= binarizer.threshold < feature.high:
            made = feature.bent("it is constant")
        elif feature.source != "amount" or feature.reason or feature.hole:
            made = feature.bent("Binarizer compares with a threshold", rising=True)
        else:
            edge = feature.amount(binarizer.threshold)
            spans = [(edge, math.inf), (-math.inf, edge)][:: 1 if feature.scale > 0 else -1]
            made = Feature(
                name=feature.name,
                column=feature.column,
                kind="bin",
                source="mark",
                direction=feature.direction,
                categories=(spans[0],),
                levels=((spans[0],), (spans[1],)),
                block=next(_BLOCKS),
            )
        found.append(made)
    return found


# ---------------------------------------------------------------- everything else


def _function(transformer: Any, inputs: list[Feature]) -> list[Feature] | None:
    function = transformer.func
    if function is None or function is as_float32:
        return inputs
    if function is as_text:
        return [replace(feature, text=True) for feature in inputs]
    if isinstance(function, np.ufunc) and function.nin == function.nout == 1 and not transformer.kw_args:
        if function is np.negative:
            return [feature.scaled(-1.0, 0.0) for feature in inputs]
        if function is np.positive:
            return inputs
        why = f"{function.__name__} is not affine"
        return [feature.bent(why, rising=function in _RISING) for feature in inputs]
    return None


def _unknown(step: str, transformer: Any, inputs: list[Feature]) -> list[Feature]:
    """Return the features of a transformer that is known by the names of its features alone."""
    if isinstance(transformer, SelectorMixin):
        return [inputs[place] for place in transformer.get_support(indices=True)]
    names = names_out(transformer, inputs)
    why = f"nothing is known of {_called(transformer)}"
    if len({feature.column for feature in inputs}) == 1 and names is not None:
        if len(names) == len(inputs):
            return [feature.bent(why) for feature in inputs]
        base = inputs[0]
        return [Feature(name=name, column=base.column, direction=0, reason=why) for name in names]
    if isinstance(transformer, _MIXERS) or type(transformer).__name__ in _MIXER_NAMES:
        _mixes(step, transformer, "a feature depends on several columns")
    if names is None:
        if isinstance(transformer, FunctionTransformer):
            cure = 'Pass feature_names_out="one-to-one" if it changes every column by itself.'
        else:
            cure = (
                "Give it a get_feature_names_out that returns the names of its columns if it changes every column by "
                "itself."
            )
        refuse(step, transformer, f"does not tell which feature comes from which column. {cure}")
    known = {feature.name: feature for feature in inputs}
    given = getattr(transformer, "feature_names_in_", None)
    if given is not None:
        known = dict(zip(map(str, given), inputs))
    if len(set(names)) < len(names) or len(known) < len(inputs) or not set(names) <= set(known):
        new = next((name for name in names if name not in known), names[0] if names else "")
        if not type(transformer).__module__.startswith("sklearn."):
            refuse(
                step,
                transformer,
                f"mixes columns, or does not tell which feature comes from which column: none is called {new!r}. If it "
                "keeps them apart, let its get_feature_names_out return their names, else leave it out.",
            )
        _mixes(step, transformer, f"no column is called as its feature {new!r}")
    places = {name: place for place, name in enumerate(known)}
    _probe(step, transformer, inputs, [places[name] for name in names])
    return [known[name].bent(why) for name in names]


def _called(transformer: Any) -> str:
    function = getattr(transformer, "func", None)
    return getattr(function, "__name__", type(transformer).__name__)


def _mixes(step: str, transformer: Any, evidence: str) -> NoReturn:
    refuse(
        step,
        transformer,
        f"mixes columns ({evidence}), so that no feature belongs to one raw column. Leave it out, or apply it to each "
        "column by itself.",
    )


def _probe(step: str, transformer: Any, inputs: list[Feature], sources: list[int]) -> None:
    """Raise where a feature changes with another column than its own, at random numbers; text cannot be tried."""
    generator, n_rows, n_in = np.random.default_rng(0), 6, len(inputs)
    rows = np.abs(generator.normal(size=(n_rows, n_in))) + 0.5
    for place, feature in enumerate(inputs):
        if feature.source == "mark":
            rows[:, place] = generator.integers(2, size=n_rows)
    tried = np.tile(rows, (n_in + 1, 1, 1))
    for place in range(n_in):
        tried[place + 1, :, place] = np.roll(rows[:, place], 1)
    table: Any = tried.reshape(-1, n_in)
    if hasattr(transformer, "feature_names_in_"):
        table = pd.DataFrame(table, columns=list(transformer.feature_names_in_))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = transformer.transform(table)
        made = np.asarray(made.toarray() if hasattr(made, "toarray") else made, dtype=float)
        made = made.reshape(n_in + 1, n_rows, len(sources))
    except Exception:  # it wants something else than numbers
        return
    changed = ~np.isclose(made[1:], made[0], rtol=1e-9, atol=1e-12, equal_nan=True)
    for place, feature in enumerate(inputs):
        others = [j for j, source in enumerate(sources) if source != place and changed[place, :, j].any()]
        if others:
            _mixes(step, transformer, f"feature {inputs[sources[others[0]]].name!r} changes with {feature.name!r}")


_KNOWN: dict[type[Any], Callable[[Any, list[Feature]], list[Feature] | None]] = {
    StandardScaler: _standard,
    MinMaxScaler: _min_max,
    MaxAbsScaler: _max_abs,
    RobustScaler: _robust,
    QuantileTransformer: _curve,
    PowerTransformer: _curve,
    SplineTransformer: _spline,
    SimpleImputer: _imputer,
    MissingIndicator: _marks,
    GapMarks: _gap_marks,
    TargetEncoder: _target,
    OneHotEncoder: _one_hot,
    OrdinalEncoder: _ordinal,
    KBinsDiscretizer: _bins,
    Binarizer: _threshold,
    FunctionTransformer: _function,
}
