"""Where the instability of explanations comes from: the input, retraining, the explainer's own draws, the baseline."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from robustxai._arguments import COUNT, INTEGER_SEED, Either, Nothing, Number, checked
from robustxai._frames import as_pandas, is_table
from robustxai._switches import own_switches
from robustxai.audit._audit import ANY_THREAT, chosen_rows
from robustxai.audit._document import Number as Cell
from robustxai.audit._document import Picture, Table
from robustxai.audit._figure import AuditFigure, intervals
from robustxai.audit._intervals import Interval, share_interval
from robustxai.audit._measures import quiet
from robustxai.audit._render import block_markdown
from robustxai.audit._target import Target, is_raw, with_explainer
from robustxai.columns import TableThreat
from robustxai.explainers import EXPLAINER
from robustxai.metrics import precision_at_k
from robustxai.perturbation import ThreatModel
from robustxai.protocols import Estimator, Explainer, ExplainerName, Ranking
from robustxai.ranking import RANKING

__all__ = ["StabilitySources", "crossed_interval", "stability_sources"]

_MEANINGS = {
    "input": "random admissible changes of the row that keep its decision",
    "seeds": "models trained on the same rows with other seeds",
    "bootstrap": "models trained on resampled rows with the same seed",
    "sampling": "other draws of an explainer that samples",
    "baseline": "rows of X as the baseline of the explanation",
}


@dataclass(frozen=True, eq=False, repr=False)
class StabilitySources:
    """How much of a top set each source of instability leaves.

    Attributes
    ----------
    frame : DataFrame
        One line per source: ``source``, ``precision_at_k`` (mean share of the top set that stays), ``low`` and ``high``
        (95 %), ``n_repeats``, ``n_rows``, ``meaning``. NaN where a source does not exist; ``meaning`` says why.
    values : dict of str to ndarray of shape (n_repeats, n_rows)
        P@k of every repeat and row.
    k : int
        Size of the top set, after clipping.
    """

    frame: pd.DataFrame
    values: Mapping[str, np.ndarray]
    k: int

    def __repr__(self) -> str:
        known = self.frame.dropna(subset=["precision_at_k"])
        parts = ", ".join(f"{line['source']} {line['precision_at_k']:.2f}" for _, line in known.iterrows())
        return f"StabilitySources(P@{self.k}: {parts})"

    def figure(self) -> AuditFigure:
        """Return the sources with their intervals as a figure."""
        entries = [
            ("", line["source"], line["precision_at_k"], line["low"], line["high"], "blue")
            for _, line in self.frame.iterrows()
        ]
        words = f"Mean P@{self.k} when one source varies and the others stay as they are, with 95 % intervals."
        return intervals("sources", "Where instability comes from", words, entries, f"P@{self.k}")

    def to_markdown(self) -> str:
        """Return the table and the description of the figure as Markdown."""
        return "\n\n".join([block_markdown(self.table()), block_markdown(Picture(self.figure()))]) + "\n"

    def table(self) -> Table:
        """Return the table of the report."""
        rows: list[list[Any]] = [
            [
                line["source"],
                Cell(line["precision_at_k"], _in_words(line)),
                Cell(float(line["n_repeats"]), str(line["n_repeats"])),
                line["meaning"],
            ]
            for _, line in self.frame.iterrows()
        ]
        names = ["source", f"P@{self.k}", "repeats", "what varies"]
        return Table("Sources of instability, with 95 % intervals", names, rows)

    def _repr_svg_(self) -> str:
        return self.figure().to_svg()


def _in_words(line: Mapping[Any, Any]) -> str:
    if math.isnan(line["precision_at_k"]):
        return "n/a"
    return f"{line['precision_at_k']:.2f} ({line['low']:.2f} to {line['high']:.2f})"


@checked(
    k=COUNT,
    threat=ANY_THREAT,
    explainer=Either((EXPLAINER, Nothing()), words="a name, a callable, or None"),
    ranking=RANKING,
    n_rows=COUNT,
    n_fits=Number(0, integer=True),
    n_draws=COUNT,
    random_state=INTEGER_SEED,
)
def stability_sources(
    estimator: Estimator,
    X: Any,
    y: Any,
    *,
    k: int = 4,
    threat: ThreatModel | TableThreat | None = None,
    explainer: ExplainerName | Explainer | Callable[[np.ndarray], np.ndarray] | None = None,
    ranking: Ranking = "magnitude",
    n_rows: int = 100,
    n_fits: int = 5,
    n_draws: int = 20,
    random_state: int = 0,
) -> StabilitySources:
    r"""Separate the sources of instability of explanations: one varies, the others stay as they are.

    *Input*: random admissible changes of the rows. *Retraining*: models trained with other seeds, and on bootstrap
    samples, compared with one trained on the rows themselves. *Sampling*: other draws of an explainer that samples
    (``SmoothGrad``, black boxes). *Baseline*: rows of X in the place of the baseline (integrated gradients,
    contributions). P@k of repeat i and row j is :math:`p_{ij}`, and the variance of its mean over a repeats and b rows,

    .. math:: \widehat{\mathrm{Var}}(\bar p) = \frac{s_A^2}{a} + \frac{s_B^2}{b}

    with :math:`s_A^2` the variance of the means of the repeats and :math:`s_B^2` that of the rows: both are drawn at
    random, and the interaction counts twice, so that the interval is rather too wide. The degrees of freedom are those
    of Welch and Satterthwaite.

    Parameters
    ----------
    estimator : fitted classifier or Pipeline
        As in :func:`audit`. For retraining its unfitted copy is trained on X and y without the rows that are judged.
    X : DataFrame or array of shape (n, n_columns)
        Rows: some are judged, the others train.
    y : array-like of shape (n,)
        Labels.
    k : int, default=4
        Size of the top set.
    threat : TableThreat or ThreatModel, optional
        As in :func:`audit`.
    explainer : explainer, name or callable, optional
        As in :func:`audit`.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Ranked scores.
    n_rows : int, default=100
        Judged rows; at most a third of X.
    n_fits : int, default=5
        Models trained for each kind of retraining, and one to compare with; 0 leaves retraining out.
    n_draws : int, default=20
        Random changes, draws and baselines.
    random_state : int, default=0
        Seed.

    Returns
    -------
    StabilitySources

    Raises
    ------
    TypeError, ValueError, NotFittedError
        As :func:`audit`; labels and rows that do not fit together.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from robustxai import SoftplusClassifier
    >>> from robustxai.audit import stability_sources
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SoftplusClassifier(explainer="integrated_gradients", max_epochs=10).fit(X, y)
    >>> found = stability_sources(clf, X, y, k=2, n_rows=20, n_fits=2, n_draws=5)
    >>> found.frame["source"].tolist()
    ['input', 'seeds', 'bootstrap', 'sampling', 'baseline']
    """
    estimator = with_explainer(estimator, explainer)
    X = as_pandas(X) if is_table(X) else np.asarray(X)
    labels = np.asarray(y)
    if labels.shape != (len(X),):
        raise ValueError(f"y has the shape {labels.shape}, but X has {len(X)} rows. Give one label per row.")
    if len(X) < 6:
        raise ValueError(f"X has {len(X)} rows: give at least 6, of which a third is judged and the others train.")
    if threat is None:
        threat = TableThreat.from_frame(X) if is_raw(estimator, X) else ThreatModel()
    places, _ = chosen_rows(X, threat, min(n_rows, len(X) // 3), random_state)
    train = np.setdiff1d(np.arange(len(X)), places)
    sources = _Sources(estimator, X, labels, places, train, threat, explainer, k, ranking, random_state)
    with own_switches(), quiet():
        target = sources.target(estimator)
        values: dict[str, np.ndarray] = {"input": _input(target, n_draws, random_state)}
        missing: dict[str, str] = {}
        if n_fits and not target.is_black_box:
            values |= sources.retrained(n_fits)
        else:
            why = "a black box is not trained here" if target.is_black_box else "n_fits=0"
            missing |= dict.fromkeys(("seeds", "bootstrap"), why)
        for name, repeats, why in (
            ("sampling", _other_draws(target, n_draws, random_state), "the explainer does not sample"),
            ("baseline", _other_baselines(target, n_draws, random_state), "the explainer has no baseline"),
        ):
            if repeats is None:
                missing[name] = why
            else:
                values[name] = repeats
    lines = []
    for name, meaning in _MEANINGS.items():
        mean, low, high = crossed_interval(values[name], target.k) if name in values else (math.nan,) * 3
        line = {"source": name, "precision_at_k": mean, "low": low, "high": high}
        n_repeats = len(values[name]) if name in values else 0
        said = f"nothing: {missing[name]}" if name in missing else meaning
        lines.append({**line, "n_repeats": n_repeats, "n_rows": len(target), "meaning": said})
    return StabilitySources(pd.DataFrame(lines), values, target.k)


def crossed_interval(values: np.ndarray, k: int, level: float = 0.95) -> Interval:
    """Return the mean of crossed repeats and rows with its interval; where nothing varies, that of one repeat.

    Parameters
    ----------
    values : ndarray of shape (n_repeats, n_rows)
        NaN does not count.
    k : int
        Denominator of the values.
    level : float, default=0.95
        Confidence level.
    """
    if np.isnan(values).all():
        return math.nan, math.nan, math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a repeat or a row without a value
        means = [part[~np.isnan(part)] for part in (np.nanmean(values, axis=1), np.nanmean(values, axis=0))]
    mean = float(np.nanmean(values))
    parts = [float(part.var(ddof=1)) / len(part) if len(part) > 1 else 0.0 for part in means]
    variance = sum(parts)
    if variance <= 1e-12:
        _, low, high = share_interval(means[1], k, level)
        return mean, min(low, mean), max(high, mean)
    freedom = variance**2 / sum(part**2 / (len(one) - 1) for part, one in zip(parts, means) if part)
    half = float(t.ppf((1 + level) / 2, freedom)) * math.sqrt(variance)
    return mean, max(0.0, mean - half), min(1.0, mean + half)


def _precision(target: Target, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return P@k row by row, NaN where an explanation is not finite."""
    found = np.full(len(own), np.nan)
    known = np.isfinite(own).all(axis=1) & np.isfinite(other).all(axis=1)
    found[known] = precision_at_k(own[known], other[known], target.k, ranking=target.ranking)
    return found


def _input(target: Target, n_draws: int, seed: int) -> np.ndarray:
    codes = target.predicted(target.x)
    own = target.explained(target.x, codes)
    x, _ = target.draws(1.0, n_draws, seed)
    values = np.full(x.shape[:2], np.nan)
    for number, points in enumerate(x):
        kept = np.flatnonzero(target.predicted(points) == codes)
        if len(kept):
            values[number, kept] = _precision(target, own[kept], target.explained(points[kept], codes[kept]))
    return values


def _by(target: Target, explainers: Iterator[Any]) -> np.ndarray:
    """Return P@k between the explanation of the target and those of other explainers."""
    codes = target.predicted(target.x)
    own = target.explained(target.x, codes)
    seen, labels = target.seen(target.x), np.asarray(target.model.classes_)[codes]
    return np.stack(
        [_precision(target, own, np.asarray(target.model.explain(seen, labels, explainer=one))) for one in explainers]
    )


def _other_draws(target: Target, n_draws: int, seed: int) -> np.ndarray | None:
    codes = target.predicted(target.x)
    if target.is_black_box:
        own = target.explained(target.x, codes)
        values = np.stack([_precision(target, own, target.explained(target.x, codes)) for _ in range(n_draws)])
        return values if (values < 1).any() else None
    explainer = target.model.explainer_
    if not _has(explainer, "random_state"):
        return None
    first = int(explainer.random_state or 0) + 1
    return _by(target, (replace(explainer, random_state=(first + seed + n) % 2**32) for n in range(n_draws)))


def _other_baselines(target: Target, n_draws: int, seed: int) -> np.ndarray | None:
    explainer: Any = getattr(target.model, "explainer_", None)
    if target.is_black_box or not _has(explainer, "baseline"):
        return None
    rows = np.random.default_rng(seed).choice(len(target), n_draws, replace=len(target) < n_draws)
    return _by(target, (replace(explainer, baseline=target.x[row].astype(np.float64)) for row in rows))


def _has(explainer: Any, name: str) -> bool:
    return dataclasses.is_dataclass(explainer) and name in {field.name for field in dataclasses.fields(explainer)}


@dataclass(frozen=True, eq=False)
class _Sources:
    """What is trained again, on what, and which rows judge."""

    estimator: Any
    X: Any
    labels: np.ndarray
    places: np.ndarray
    train: np.ndarray
    threat: ThreatModel | TableThreat
    explainer: Any
    k: int
    ranking: Ranking
    random_state: int

    def target(self, model: Any) -> Target:
        """Return a fitted model on the judged rows."""
        return Target.of(model, self._rows(self.places), self.threat, self.explainer, self.k, self.ranking)

    def _rows(self, places: np.ndarray) -> Any:
        return self.X.iloc[places] if isinstance(self.X, pd.DataFrame) else self.X[places]

    def retrained(self, n_fits: int) -> dict[str, np.ndarray]:
        """Return P@k between models: of other seeds, and of resampled rows."""
        reference = self.target(self._fitted(self.train, self.random_state))
        codes = reference.predicted(reference.x)
        own = reference.explained(reference.x, codes)
        generator = np.random.default_rng(self.random_state)
        found: dict[str, list[np.ndarray]] = {"seeds": [], "bootstrap": []}
        for number in range(1, n_fits + 1):
            for name in found:
                rows = self.train if name == "seeds" else self._resampled(generator)
                seed = (self.random_state + number) % 2**32 if name == "seeds" else self.random_state
                other = self.target(self._fitted(rows, seed))
                found[name].append(_precision(reference, own, other.explained(other.x, codes)))
        return {name: np.stack(values) for name, values in found.items()}

    def _resampled(self, generator: np.random.Generator) -> np.ndarray:
        """Return a bootstrap sample of the training rows, class by class, so that every class stays."""
        parts = [self.train[self.labels[self.train] == label] for label in np.unique(self.labels[self.train])]
        return np.concatenate([generator.choice(part, len(part)) for part in parts])

    def _fitted(self, rows: np.ndarray, seed: int) -> Any:
        model = self.estimator
        while hasattr(model, "best_estimator_") or isinstance(model, FrozenEstimator):
            model = model.best_estimator_ if hasattr(model, "best_estimator_") else model.estimator
        made = clone(model)
        last = made[-1] if isinstance(made, Pipeline) else made
        if "random_state" in last.get_params(deep=False):
            last.set_params(random_state=seed)
        return made.fit(self._rows(rows), self.labels[rows])
