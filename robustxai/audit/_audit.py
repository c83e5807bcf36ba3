"""One call that audits the explanations of a model on the rows of a table."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from skorch import NeuralNet
from torch import nn

from robustxai._arguments import (
    COUNT,
    FLAG,
    INTEGER_SEED,
    Choice,
    Each,
    Either,
    Function,
    Instance,
    Nothing,
    Number,
    checked,
    optional,
)
from robustxai._frames import as_pandas, is_table
from robustxai._models import named_rows, unwrap
from robustxai._short_repr import short
from robustxai._switches import own_switches
from robustxai.audit._examples import Examples, member_masks, unit_table
from robustxai.audit._intervals import area_interval, share_interval
from robustxai.audit._measures import Effort, Measured, faithfulness, measure, quiet
from robustxai.audit._result import AuditResult
from robustxai.audit._rivals import line_of, plan, rivals
from robustxai.audit._subgroups import as_groups, compare_groups
from robustxai.audit._target import Target, is_raw, with_explainer
from robustxai.audit._words import about_doubts, about_figures, about_gaps, about_rivals
from robustxai.columns import TableThreat
from robustxai.conversion import as_explainable
from robustxai.explainers import EXPLAINER
from robustxai.metrics import between_rows_precision, chance_corrected_precision
from robustxai.perturbation import ThreatModel
from robustxai.protocols import AttackPreset, Estimator, Explainer, ExplainerName, Ranking
from robustxai.ranking import RANKING

__all__ = ["ANY_THREAT", "as_features", "audit", "chosen_rows", "explained_by", "probabilities_of"]

#: Constraint on `threat`.
ANY_THREAT = Either(
    (Instance(ThreatModel), Instance(TableThreat), Nothing()),
    words="a TableThreat, a ThreatModel, or None",
)
#: Rows that are audited by default, their work together (a row all of whose changes are tried is 1), and the rows that
#: are audited in any case.
_ROWS, _WORK, _LEAST = 500, 2500.0, 100
#: Changes that an attack tries one by one, the work of a row that has more, and that of a choice of its switches.
_TRIED, _SEARCHED, _PER_CHOICE = 2000, 15.0, 0.1
#: Largest number of rows whose probabilities are computed for AUC.
_MOST_LABELED = 20_000
_PAPERS = ("random", "papers", "strongest", "certified")


@checked(
    k=COUNT,
    threat=ANY_THREAT,
    explainer=Either((EXPLAINER, Nothing()), words="a name, a callable, or None"),
    ranking=RANKING,
    n_rows=optional(COUNT),
    shares=Either((Each(Number(0, 1)), Nothing()), words="a sequence of numbers from 0 to 1, or None"),
    n_compared=optional(Number(0, integer=True)),
    n_train=Number(20, integer=True),
    n_examples=COUNT,
    n_draws=COUNT,
    preset=Choice(get_args(AttackPreset)),
    certify=FLAG,
    random_state=INTEGER_SEED,
    progress=optional(Function()),
    sources=FLAG,
)
def audit(
    estimator: Estimator,
    X: Any,
    y: Any = None,
    *,
    k: int = 4,
    threat: ThreatModel | TableThreat | None = None,
    explainer: ExplainerName | Explainer | Callable[[np.ndarray], np.ndarray] | None = None,
    groups: Any = None,
    ranking: Ranking = "magnitude",
    n_rows: int | None = None,
    shares: Sequence[float] | None = None,
    n_compared: int | None = None,
    n_train: int = 5000,
    n_examples: int = 8,
    n_draws: int = 20,
    preset: AttackPreset = "fast",
    certify: bool = True,
    random_state: int = 0,
    progress: Callable[[float, str], Any] | None = None,
    sources: bool = False,
) -> AuditResult:
    """Audit the explanations of a fitted model: how stable, how faithful, for whom, and beside which simpler models.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline, BlackBox or search
        A classifier of the library, alone or in a Pipeline; a linear model or ``MLPClassifier`` of scikit-learn; a
        skorch net or a torch module that returns logits, as :func:`~robustxai.as_explainable` rebuilds them; or a
        :class:`~robustxai.attacks.BlackBox`, which any other fitted classifier with a callable `explainer` becomes.
    X : DataFrame or array of shape (n, n_columns)
        Rows as `estimator` takes them, best rows that it was not trained on. `n_rows` of them are audited; all serve
        for AUC and the comparison.
    y : array-like of shape (n,), optional
        Labels: for AUC, and for the comparison with other models, which are trained on X and y.
    k : int, default=4
        Number of reasons. Four are customary in notices of adverse action.
    threat : TableThreat or ThreatModel, optional
        How rows may change. With a TableThreat X is a raw table and its columns are ranked. By default
        ``TableThreat.from_frame(X)`` for a DataFrame and a Pipeline that does not mix its columns, and
        ``ThreatModel()`` for features otherwise.
    explainer : explainer, name or callable, optional
        What is audited. By default the model's own explanation; of a raw table, contributions of columns by integrated
        gradients with 8 points from the typical row of the training data (of the audited rows, for a model that has not
        kept one), unless the model explains columns. A callable (features to attributions of the
        predicted class) makes a black box of a model of another library.
    groups : column, sequence of columns, array, or mapping of name to array, optional
        Subgroups whose AUC and stability are compared. Numbers are cut into quarters.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Ranked scores.
    n_rows : int, optional
        Rows that are audited, drawn at random. By default 500; 100 to 160 of a raw table whose rows have more than
        2,000 admissible changes, which take some twenty times as long to search as to try where there are fewer.
    shares : sequence of float, optional
        Shares of the threat model at which P@k is also looked at, on `n_compared` rows: (0.5,) by default for a
        TableThreat, (0.25, 0.5) for a ThreatModel. 1 is always among them, and 0 (switches alone) where categories
        switch.
    n_compared : int, optional
        Audited rows for the smaller shares and the comparison: two fifths of `n_rows` by default; 0 leaves both out.
    n_train : int, default=5000
        Largest number of rows that train the compared models.
    n_examples : int, default=8
        Least stable rows and columns that are shown.
    n_draws : int, default=20
        Random admissible changes of each row.
    preset : {"fast", "standard", "strong"}, default="fast"
        Budget of the ensemble of attacks. With "fast" a black box is looked at by random admissible rows alone.
    certify : bool, default=True
        Whether to prove.
    random_state : int, default=0
        Seed.
    progress : callable, optional
        Called with the share of the work that is done and the name of the next step.
    sources : bool, default=False
        Whether :func:`stability_sources` is asked, too; it needs y, and trains the model eleven times again.

    Returns
    -------
    AuditResult

    Raises
    ------
    TypeError, ValueError, NotFittedError
        A model that does not explain itself, rows or labels that do not fit together, a threat model of another table.

    Notes
    -----
    The strongest P@k is an upper bound of the true one and the certified P@k a lower bound, row by row. Under a
    TableThreat all changes of a row are tried where it has at most 2,000, so that the attacks have the true value.

    Thickness is the share of the pairs (reason, other column) that keep their order at random admissible rows with the
    same decision: ``ranking_thickness`` without the path to the neighbor, which raw rows do not have.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.pipeline import make_pipeline
    >>> from robustxai import SoftplusClassifier
    >>> from robustxai.audit import audit
    >>> from robustxai.datasets import make_preprocessor
    >>> r = np.random.default_rng(0)
    >>> X = pd.DataFrame({"age": r.integers(18, 81, 200), "debt": r.integers(0, 9000, 200), "job": ["yes", "no"] * 100})
    >>> y = np.where(X["age"] * 100 - X["debt"] > 0, "paid", "defaulted")
    >>> pipe = make_pipeline(make_preprocessor(X), SoftplusClassifier(max_epochs=20)).fit(X, y)
    >>> found = audit(pipe, X, k=1, n_rows=20, n_compared=0)
    >>> found.frame["status"].isin(["proven", "attacked", "undecided"]).all()
    np.True_
    """
    start = time.perf_counter()
    X = as_pandas(X) if is_table(X) else np.asarray(X)
    if np.ndim(X) != 2:
        raise ValueError(f"audit is about tables, with one row per sample; X has the shape {np.shape(X)}.")
    if not len(X):
        raise ValueError("X has no rows. Give the rows whose explanations are audited.")
    labels = None if y is None else np.asarray(y)
    if labels is not None and labels.shape != (len(X),):
        raise ValueError(f"y has the shape {labels.shape}, but X has {len(X)} rows. Give one label per row.")
    estimator = with_explainer(_network(estimator, X, labels), explainer)
    if sources and labels is None:
        raise ValueError("sources=True trains the model again, which needs y. Give one label per row.")
    levels = as_groups(X, groups)
    if threat is None:
        threat = TableThreat.from_frame(X) if is_raw(estimator, X) else ThreatModel()
    X, before = as_features(estimator, X, threat)
    places, n_dropped = chosen_rows(X, threat, n_rows, random_state)
    if shares is None:
        shares = (0.5,) if isinstance(threat, TableThreat) else (0.25, 0.5)
    if n_compared is None:
        n_compared = -(-2 * len(places) // 5)
    effort = Effort(preset, n_draws, certify, random_state)
    with own_switches(), quiet() as said:
        rows = X.iloc[places] if isinstance(X, pd.DataFrame) else X[places]
        target = Target.of(before, rows, threat, explainer, k, ranking)
        codes = target.predicted(target.x)
        work = _Work(progress, len(places), min(n_compared, len(places)), len(shares) + 1, labels is not None)
        whole = measure(target, 1.0, effort)
        judged = np.arange(min(n_compared, len(places)))
        work.done(len(places), "smaller budgets")
        curves = _curves(target, whole, judged, shares, effort)
        work.done(len(judged) * len(curves), "examples")
        frame = _frame(target, whole, codes, None if labels is None else labels[places])
        units = unit_table(target, whole)
        examples, changed_rows = Examples(target, whole, codes).frame(units, n_examples)
        between = between_rows_precision(whole.attribution, target.k, ranking=ranking)
        scores, area = _scores(before, X, labels, random_state)
        classes = np.asarray(target.model.classes_)
        subgroups = compare_groups(levels, places, whole.strongest, target.k, scores, labels, classes)
        work.done(len(places) // 5, "other models")
        comparison, verdict, plan_words, more = _comparison(
            before, X, labels, target, threat, whole, places, judged, n_train, effort
        )
        parted = None
        if sources:
            from robustxai.audit._sources import stability_sources  # which chooses rows as this module does

            work.done(0, "sources of instability")
            parted = stability_sources(
                before, X, labels, k=k, threat=threat, explainer=explainer, ranking=ranking, random_state=random_state
            )
        work.finished()
    summary = _summary(frame, between, target.k, area)
    warnings = [
        *about_figures(frame, between, target.k, len(target.units), area, n_dropped, target.is_black_box),
        *about_gaps(subgroups),
        *more,
        *about_doubts([*said, *whole.doubts]),
    ]
    settings = {
        "model": _short(unwrap(before, needs=(), what="audit")[0]),
        "explanation": explained_by(target),
        "rows": f"{len(places):,} of {len(X):,}, drawn at random",
        "columns": f"{target.frame.shape[1]}, of which {len(target.units)} are ranked",
        "top set": f"the {target.k} columns of the largest {'magnitude' if ranking == 'magnitude' else 'value'}",
        "threat model": threat.in_words(),
        "threat rules": [rule.in_words() for rule in threat.rules] if isinstance(threat, TableThreat) else [],
        "attacks": _attacks(target, preset, n_draws),
        "proofs": "bounds over all admissible changes" if certify and not target.is_black_box else "none",
        "comparison": plan_words,
        "seed": str(random_state),
        "seconds": f"{time.perf_counter() - start:.0f}",
        "made": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }
    return AuditResult(
        frame, summary, warnings, curves, units, examples, changed_rows, subgroups, comparison, verdict, settings,
        target.k, ranking, parted,
    )  # fmt: skip


def _network(model: Any, X: Any, labels: np.ndarray | None) -> Any:
    """Return a skorch net, in a Pipeline too, or a torch module as a classifier that explains itself."""
    last = model[-1] if isinstance(model, Pipeline) else model
    if isinstance(last, NeuralNet):
        return as_explainable(model, X)
    if isinstance(last, nn.Module) and model is last:
        return as_explainable(model, X, classes=None if labels is None else np.unique(labels))
    return model


class _Work:
    """What is done of an audit, in rows that are attacked and proven."""

    #: A model that is trained for the comparison takes about as long as so many rows.
    _TRAINING = 20

    def __init__(
        self, progress: Callable[[float, str], Any] | None, n_rows: int, n_compared: int, n_shares: int, labeled: bool
    ) -> None:
        self.progress = progress
        others = 2 * (n_compared + self._TRAINING) if labeled and n_compared else 0
        self.total = n_rows + n_compared * n_shares + n_rows // 5 + others
        self.so_far = 0
        self.done(0, "attacks and proofs")

    def done(self, n_rows: int, following: str) -> None:
        self.so_far += n_rows
        if self.progress is not None:
            self.progress(min(self.so_far / self.total, 0.99), following)

    def finished(self) -> None:
        if self.progress is not None:
            self.progress(1.0, "done")


def as_features(estimator: Any, X: Any, threat: ThreatModel | TableThreat) -> tuple[Any, Any]:
    """Return X and the model on it: under a ThreatModel the features that the last step of a Pipeline sees."""
    if isinstance(threat, TableThreat):
        return X, estimator
    model, before = unwrap(estimator, needs=("predict_proba", "explain"), what="audit")
    return named_rows(X, before), model


def probabilities_of(model: Any, rows: Any) -> np.ndarray:
    """Return probabilities of rows of X, without names where a classifier was fitted without."""
    named = isinstance(model, Pipeline) or hasattr(model, "feature_names_in_")
    return np.asarray(model.predict_proba(rows if named else np.asarray(rows)))


def chosen_rows(
    X: Any, threat: ThreatModel | TableThreat, n_rows: int | None, random_state: int
) -> tuple[np.ndarray, int]:
    """Return the places of the audited rows, in their order, and how many were left out on the way."""
    order = np.random.default_rng(random_state).permutation(len(X))
    most = _ROWS if n_rows is None else n_rows
    if not isinstance(threat, TableThreat):
        return np.sort(order[:most]), 0
    if not isinstance(X, pd.DataFrame):
        raise TypeError("threat is a TableThreat, which speaks of the columns of a DataFrame; X is an array.")
    places: list[int] = []
    n_dropped, work = 0, 0.0
    for place in order:
        try:
            work += _work(threat, X.iloc[[place]])
        except ValueError as error:
            first = error
            n_dropped += 1
            continue
        places.append(int(place))
        if n_rows is None and len(places) >= _LEAST and work >= _WORK:
            break
        if len(places) == most:
            break
    if not places:
        raise ValueError(f"No row of X is admissible under the threat model. The first reason: {first}") from first
    return np.sort(np.array(places)), n_dropped


def _work(threat: TableThreat, row: pd.DataFrame) -> float:
    """Return how long a row takes: little where all of its changes are tried."""
    n_choices = n_changes = threat.count(row)
    for rule in threat.rules:
        value = row[rule.name].iloc[0]
        if rule.step and not pd.isna(value):
            low, high = rule.interval(value)
            n_changes *= int(high - low) + 1 if rule.integer else _TRIED + 1
    return 1.0 if n_changes <= _TRIED else _SEARCHED + _PER_CHOICE * n_choices


def _curves(
    target: Target, whole: Measured, judged: np.ndarray, shares: Sequence[float], effort: Effort
) -> pd.DataFrame:
    """Return mean P@k by share; what is found within a smaller share counts within every larger one."""
    part = target.of_rows(judged)
    asked = set(map(float, shares)) - {1.0} if len(judged) else set()
    threat = target.threat
    if asked and isinstance(threat, TableThreat) and threat.max_switches:
        asked.add(0.0)
    found = [(share, measure(part, share, effort)) for share in sorted(asked)]
    own = judged if len(judged) else np.arange(len(target))
    lines, lowest = [], {name: np.ones(len(own)) for name in _PAPERS[:3]}
    for share, one in [*found, (1.0, None)]:
        line: dict[str, Any] = {"share": share, "n_rows": len(own)}
        for name in _PAPERS:
            values = getattr(whole, name)[own] if one is None else getattr(one, name)
            if name != "certified":
                lowest[name] = values = np.minimum(lowest[name], values)
            line[name] = float(np.nanmean(values)) if np.isfinite(values).any() else math.nan
        lines.append(line)
    return pd.DataFrame(lines)


def _frame(target: Target, found: Measured, codes: np.ndarray, labels: np.ndarray | None) -> pd.DataFrame:
    own, other = member_masks(target, found)
    order = np.argsort(-target.scores(found.attribution), axis=1, kind="stable")[:, : target.k]
    other_order = np.argsort(-target.scores(found.attribution_adv), axis=1, kind="stable")[:, : target.k]
    comp, suff = faithfulness(target, codes)
    proba = np.asarray(target.model.predict_proba(target.seen(target.x)))
    index = target.frame.index
    frame = pd.DataFrame({"predicted": np.asarray(target.model.classes_)[codes]}, index=index)
    frame["probability"] = proba[np.arange(len(codes)), codes]
    if labels is not None:
        frame["y"] = labels
    frame["reasons"] = _names(target, order)
    for name in _PAPERS:
        frame[f"precision_{name}"] = getattr(found, name)
    proven = np.nan_to_num(found.certified) >= 1
    frame["status"] = np.where(found.strongest < 1, "attacked", np.where(proven, "proven", "undecided"))
    frame["left"] = _names(target, order, ~np.take_along_axis(other, order, axis=1))
    frame["entered"] = _names(target, other_order, ~np.take_along_axis(own, other_order, axis=1))
    frame["typical"], frame["thickness"] = found.typical, found.thickness
    frame["comprehensiveness"], frame["sufficiency"] = comp, suff
    frame["exhaustive"] = found.exhaustive
    # all admissible changes of a row with an exact value were tried: what is left is proven by that
    exact = found.exhaustive & (found.strongest >= 1)
    frame.loc[exact, "status"] = "proven"
    return frame


def _names(target: Target, order: np.ndarray, kept: np.ndarray | None = None) -> list[tuple[Any, ...]]:
    kept = np.ones(order.shape, dtype=bool) if kept is None else kept
    return [tuple(target.units[j] for j in row[flags]) for row, flags in zip(order, kept)]


def _scores(
    model: Any, X: Any, labels: np.ndarray | None, random_state: int
) -> tuple[np.ndarray | None, tuple[float, float, float]]:
    """Return probabilities, NaN where they were not computed, and the area under the ROC curve."""
    if labels is None:
        return None, (math.nan,) * 3
    classes = np.asarray(unwrap(model, needs=("classes_",), what="audit")[0].classes_)
    strangers = np.setdiff1d(np.unique(labels), classes)
    if len(strangers):
        raise ValueError(f"y has labels that the model was not fitted with: {strangers.tolist()}.")
    n = len(labels)
    if n > _MOST_LABELED:  # the rest has no score and does not count
        some = np.random.default_rng(random_state).choice(n, _MOST_LABELED, replace=False)
    else:
        some = np.arange(n)
    scores = np.full((n, len(classes)), np.nan)
    given = X.iloc[some] if isinstance(X, pd.DataFrame) else X[some]
    scores[some] = probabilities_of(model, given)
    return scores, area_interval(scores, labels, classes)


def _comparison(
    model: Any,
    X: Any,
    labels: np.ndarray | None,
    target: Target,
    threat: ThreatModel | TableThreat,
    whole: Measured,
    places: np.ndarray,
    judged: np.ndarray,
    n_train: int,
    effort: Effort,
) -> tuple[pd.DataFrame, str, str, list[str]]:
    if labels is None or not len(judged):
        why = "none: it needs y" if labels is None else "none: n_compared=0"
        return pd.DataFrame(), "", why, []
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or counts.min() < 4:
        return pd.DataFrame(), "", "none: a class has fewer than four rows", []
    how = plan(labels, places[judged], n_train, effort.random_state)
    data = X if isinstance(threat, TableThreat) else np.asarray(X, dtype=np.float64)
    lines = rivals(data, labels, target, target.threat, how, effort)
    part = _part(whole, judged)
    proba = probabilities_of(model, X.iloc[how.scored] if isinstance(X, pd.DataFrame) else X[how.scored])
    classes = np.asarray(target.model.classes_)
    name = "audited model"
    own = line_of([part], target.k, target.ranking, proba, labels[how.scored], classes)
    lines = {name: own, **lines}
    verdict, said = about_rivals(lines, name)
    words = (
        f"{how.words} They have the library's defaults and are explained and attacked like the audited model. Whether "
        "the audited model saw these rows in its own training is not known here; if it did, its figures flatter it."
    )
    table = pd.DataFrame([{"model": one, **line} for one, line in lines.items()])
    return table, verdict, words, said


def _part(found: Measured, places: np.ndarray) -> Measured:
    values = {
        name: value[places] if isinstance(value, np.ndarray) else value
        for name, value in vars(found).items()
        if name not in ("changed", "doubts")
    }
    return Measured(changed=found.changed.iloc[places], **values)


def _summary(
    frame: pd.DataFrame,
    between: float,
    k: int,
    area: tuple[float, float, float],
) -> pd.DataFrame:
    lines: list[tuple[str, float, float, float, str]] = []

    def add(name: str, interval: tuple[float, float, float], meaning: str) -> None:
        lines.append((name, *interval, meaning))

    meanings = {
        "random": ("P@k, random changes", "lowest share of the reasons that stay, over random admissible changes"),
        "papers": ("P@k, papers' attack", "the same under the attack of the R2ET and ATEX papers (ER)"),
        "strongest": (
            "P@k, strongest attack",
            "the same under all that was tried; the true figure is not higher",
        ),
        "certified": ("P@k, proven", "no admissible change can do worse; the true figure is not lower"),
    }
    for name, (measure_name, meaning) in meanings.items():
        add(measure_name, share_interval(frame[f"precision_{name}"].to_numpy(), k), meaning)
    for status, meaning in {
        "proven": "rows whose reasons no admissible change displaces",
        "attacked": "rows of which an admissible change displaces a reason",
        "undecided": "rows of which neither is known",
    }.items():
        add(f"rows {status}", share_interval((frame["status"] == status).to_numpy(dtype=float)), meaning)
    nothing = (math.nan, math.nan)
    add("P@k, typical", share_interval(frame["typical"].to_numpy(), k), "mean over random admissible changes")
    add("similarity of rows", (between, *nothing), "share of the reasons that two different rows have in common")
    strongest = share_interval(frame["precision_strongest"].to_numpy(), k)
    corrected = tuple(float(chance_corrected_precision(v, between)) for v in strongest)
    add(
        "P@k, chance-corrected",
        (corrected[0], corrected[1], corrected[2]),
        "strongest attack on a scale on which the reasons of another row score 0",
    )
    add("thickness", _mean(frame["thickness"]), "pairs of a reason and another column that keep their order")
    add("comprehensiveness", _mean(frame["comprehensiveness"]), "change of the probability without the first reasons")
    add("sufficiency", _mean(frame["sufficiency"]), "change with the first reasons only; lower is better")
    if not math.isnan(area[0]):
        add("ROC AUC", area, "on all labeled rows of X; too high if the model was trained on them")
    return pd.DataFrame(lines, columns=["measure", "value", "low", "high", "meaning"])


def _mean(values: pd.Series) -> tuple[float, float, float]:
    return share_interval(np.clip(values.to_numpy(dtype=float), 0, 1), 10)


def _short(model: Any) -> str:
    name = type(model).__name__
    inner = getattr(model, "estimator", None)
    return f"{name}({type(inner).__name__})" if inner is not None else short(model)


def explained_by(target: Target) -> str:
    """Return the explanation of a target in words."""
    if target.is_black_box:
        function = getattr(target.model, "explainer", None)
        name = getattr(function, "__name__", type(function).__name__)
        return f"{name}, as a black box"
    explainer = target.model.explainer_
    name = getattr(explainer, "__name__", type(explainer).__name__)
    method = getattr(explainer, "method", None)
    return f"{name} by {str(method).replace('_', ' ')}" if method else str(name)


def _attacks(target: Target, preset: AttackPreset, n_draws: int) -> str:
    random = f"{n_draws} random admissible changes of each row"
    if target.is_black_box:
        return random if preset == "fast" else f"{random}, attacks without gradients (preset {preset!r})"
    steps = Effort(preset, n_draws, True, 0).papers_steps(isinstance(target.threat, TableThreat))
    return f"{random}, the papers' ER attack ({steps} steps), and an ensemble (preset {preset!r})"
