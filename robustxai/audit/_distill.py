"""A network that says what another model says, with explanations that are trained to stay."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from robustxai._arguments import (
    COUNT,
    FLAG,
    INTEGER_SEED,
    Choice,
    Either,
    Function,
    Has,
    Nothing,
    Number,
    checked,
    optional,
)
from robustxai._frames import as_pandas, is_table
from robustxai._models import unwrap
from robustxai._switches import own_switches
from robustxai.attacks import BlackBox
from robustxai.audit._audit import ANY_THREAT, as_features, chosen_rows, explained_by, probabilities_of
from robustxai.audit._document import Block, Callout, Table
from robustxai.audit._document import Number as Cell
from robustxai.audit._intervals import Interval, area_interval, share_interval
from robustxai.audit._measures import Effort, measure, quiet
from robustxai.audit._render import block_markdown, notebook
from robustxai.audit._rivals import LAMBDA_HESSIAN, line_of
from robustxai.audit._target import N_POINTS, Target
from robustxai.audit._words import about_doubts
from robustxai.classifiers import R2ETClassifier
from robustxai.columns import TableThreat, column_map
from robustxai.datasets import make_preprocessor
from robustxai.explainers import ColumnContributions, TreeShap
from robustxai.perturbation import ThreatModel
from robustxai.protocols import AttackPreset, Estimator, FittedClassifier, Ranking, Teacher
from robustxai.ranking import RANKING

__all__ = ["Distillation", "distill"]

#: Parts of the training rows, each of which is predicted by a teacher that was fitted on the others.
_FOLDS = 4
#: Least probability in a logarithm.
_LEAST = 1e-12
_HEADINGS = {
    "roc_auc": "AUC",
    "random": "P@k, random changes",
    "papers": "P@k, papers' attack",
    "strongest": "P@k, strongest",
    "certified": "P@k, proven",
    "corrected": "P@k, chance-corrected",
}


@dataclass(frozen=True, eq=False, repr=False)
class Distillation:
    """What :func:`distill` trained and measured.

    Attributes
    ----------
    student : fitted classifier or Pipeline
        Trained on the rows that were not held out.
    teacher : fitted classifier or Pipeline
        What it is compared with: the given model, or its copy that was fitted on the student's training rows.
    fidelity : DataFrame
        How close the student is to the teacher on the held-out rows: ``measure``, ``value``, ``low`` and ``high``
        (95 %), ``meaning``.
    frame : DataFrame
        A line for the teacher and one for the student, on the same held-out rows: ``model``, ``explanation``,
        ``n_rows`` (whose explanations were attacked), ``roc_auc`` (of all held-out rows), ``random``, ``papers``,
        ``strongest`` and ``certified`` (mean P@k, as in :class:`AuditResult`), ``between_rows``, ``corrected``, and
        ``_low`` and ``_high`` of ``roc_auc`` and ``strongest``. P@k is NaN for a teacher without an explanation.
    notes : list of str
        What a reader must know, in plain words.
    held_out : ndarray of int
        Places in X of the held-out rows.
    k : int
        Size of the top set, after clipping.
    """

    student: Estimator
    teacher: Teacher | FittedClassifier
    fidelity: pd.DataFrame
    frame: pd.DataFrame
    notes: list[str]
    held_out: np.ndarray
    k: int

    def __repr__(self) -> str:
        teacher, student = self.frame["roc_auc"]
        same = self.fidelity["value"].iloc[0]
        stable = self.frame["strongest"].iloc[1]
        return (
            f"Distillation(agreement {same:.3f}, AUC {student:.3f} beside {teacher:.3f}, P@{self.k} attacked "
            f"{stable:.3f}, {len(self.notes)} notes)"
        )

    def to_markdown(self) -> str:
        """Return the notes and both tables as Markdown."""
        return "\n\n".join(block_markdown(block) for block in self._blocks()) + "\n"

    def _repr_html_(self) -> str:
        return notebook(repr(self), self._blocks())

    def _blocks(self) -> list[Block]:
        same = [[line["measure"], _number(line, "value"), line["meaning"]] for _, line in self.fidelity.iterrows()]
        beside = [
            [line["model"], line["explanation"], *(_number(line, name) for name in _HEADINGS)]
            for _, line in self.frame.iterrows()
        ]
        names = [heading.replace("@k", f"@{self.k}") for heading in _HEADINGS.values()]
        return [
            *(Callout("note", text) for text in self.notes),
            Table("How close the student is to the teacher on held-out rows", ["measure", "value", "meaning"], same),
            Table("Teacher and student on the same held-out rows", ["model", "explanation", *names], beside),
        ]


def _number(line: pd.Series, name: str) -> Cell:
    value = float(line[name])
    if math.isnan(value):
        return Cell(value, "n/a")
    ends = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
    low, high = (float(line.get(end, math.nan)) for end in ends)
    return Cell(value, f"{value:.3f}" if math.isnan(low) else f"{value:.3f} ({low:.3f} to {high:.3f})")


@checked(
    teacher=Has(("predict_proba",), words="a classifier with predict_proba, fitted or not"),
    student=optional(Has(("fit", "get_params"), words="an unfitted classifier of the library, or a Pipeline with one")),
    k=COUNT,
    threat=ANY_THREAT,
    explainer=Either((Function(), Nothing()), words="a function that explains the teacher, or None"),
    ranking=RANKING,
    refit=FLAG,
    test_size=Number(0, 1, above=True, below=True),
    n_rows=COUNT,
    preset=Choice(get_args(AttackPreset)),
    certify=FLAG,
    random_state=INTEGER_SEED,
)
def distill(
    teacher: Teacher | FittedClassifier,
    X: Any,
    y: Any,
    *,
    student: Estimator | None = None,
    k: int = 4,
    threat: ThreatModel | TableThreat | None = None,
    explainer: Callable[[np.ndarray], np.ndarray] | None = None,
    ranking: Ranking = "magnitude",
    refit: bool = False,
    test_size: float = 0.25,
    n_rows: int = 100,
    preset: AttackPreset = "fast",
    certify: bool = True,
    random_state: int = 0,
) -> Distillation:
    r"""Train a network on what another model says, and set the two side by side on held-out rows.

    The targets of the student's cross-entropy are :math:`(1 - w)\,y + w\,p`, with p the probabilities of the teacher
    and w the student's `teacher_weight` (0.8 by default). Its penalties are those of its class: an R2ET student learns
    the teacher's decisions, and explanations whose order stays.

    Parameters
    ----------
    teacher : classifier or Pipeline of any library, fitted or not
        One that is fitted is asked as it is. Copies of one that is not are fitted out of fold, so that no soft label
        knows its own label, and another on all training rows, with which the student is compared.
    X : DataFrame or array of shape (n, n_columns)
        Rows as the teacher takes them.
    y : array-like of shape (n,)
        Labels.
    student : unfitted classifier or Pipeline, optional
        By default an :class:`~robustxai.R2ETClassifier` with `k` and `ranking`; under a TableThreat it is trained on
        the contributions of the columns, with ``lambda_hessian=3e-4``, because the default weight, chosen for
        gradients, costs contributions their accuracy. A Pipeline makes its own features of X.
        A classifier gets those of :func:`~robustxai.datasets.make_preprocessor` under a TableThreat, because the
        defaults of the library were chosen for features in [0, 1], and else those of the teacher, its last step aside.
    k : int, default=4
        Number of reasons. Four are customary in notices of adverse action.
    threat : TableThreat or ThreatModel, optional
        How rows may change. By default ``TableThreat.from_frame(X)`` for a DataFrame, whose columns are then ranked,
        and ``ThreatModel()`` for an array.
    explainer : callable, optional
        Explanation of a teacher that has none: its features to attributions of the predicted class. Boosted trees of
        scikit-learn have Shapley values by :class:`~robustxai.explainers.TreeShap`; classifiers of the library, linear
        models and ``MLPClassifier`` explain themselves.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Ranked scores.
    refit : bool, default=False
        Treat a fitted teacher like one that is not. A model knows the labels of the rows that it was fitted on too
        well, so that this is better where X are those rows and the student need not imitate this very model.
    test_size : float, default=0.25
        Share of the rows that is held out, stratified.
    n_rows : int, default=100
        Held-out rows whose explanations are attacked.
    preset : {"fast", "standard", "strong"}, default="fast"
        Budget of the ensemble of attacks, as in :func:`audit`.
    certify : bool, default=True
        Whether to prove.
    random_state : int, default=0
        Seed of the split, the student and the attacks.

    Returns
    -------
    Distillation

    Raises
    ------
    TypeError, ValueError
        Rows and labels that do not fit together, a teacher of other classes, a student that takes no soft labels.

    References
    ----------
    Hinton, Vinyals and Dean, *Distilling the knowledge in a neural network*, 2015, at temperature 1.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from robustxai import R2ETClassifier
    >>> from robustxai.audit import distill
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = MinMaxScaler().fit_transform(X)
    >>> trees = HistGradientBoostingClassifier(max_iter=20)
    >>> found = distill(trees, X, y, student=R2ETClassifier(k=4, max_epochs=20), n_rows=2, certify=False)
    >>> bool(found.fidelity["value"][0] > 0.9)  # share of held-out rows with the same label
    True
    >>> found.student.explain(X[:2]).shape
    (2, 30)
    """
    X = as_pandas(X) if is_table(X) else np.asarray(X)
    if np.ndim(X) != 2:
        raise ValueError(f"distill is about tables, with one row per sample; X has the shape {np.shape(X)}.")
    labels = np.asarray(y)
    if labels.shape != (len(X),):
        raise ValueError(f"y has the shape {labels.shape}, but X has {len(X)} rows. Give one label per row.")
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2 or counts.min() < 4:
        raise ValueError("distill needs four rows of each of two classes or more, for training and for comparison.")
    if threat is None:
        threat = TableThreat.from_frame(X) if isinstance(X, pd.DataFrame) else ThreatModel()
    train, test = (
        np.sort(part)
        for part in train_test_split(np.arange(len(X)), test_size=test_size, stratify=labels, random_state=random_state)
    )
    rows, others = _rows(X, train), _rows(X, test)
    asked = not refit and _is_fitted(teacher)
    notes = []
    if asked:
        given: Any = teacher
        soft = _answers(given, rows, classes)
        notes.append(
            "The teacher was fitted before. If it was fitted on rows of X, its AUC is too high, and its probabilities "
            "of these rows are too sure; refit=True fits copies out of fold."
        )
    else:
        soft = _out_of_fold(teacher, rows, labels[train], classes, random_state)
        given = _fitted(teacher, rows, labels[train])
    learned = _taught(student, given, rows, labels[train], soft, threat, k, ranking, random_state)
    taught, said = _answers(given, others, classes), _answers(learned, others, classes)
    effort = Effort(preset, 20, certify, random_state)
    with own_switches():
        places, _ = chosen_rows(others, threat, min(n_rows, len(test)), random_state)
        judged = _rows(others, places)
        lines, top = [], k
        for name, model, proba in (("teacher", given, taught), ("student", learned, said)):
            line, doubts, size = _measured(
                model, judged, threat, explainer if name == "teacher" else None, k, ranking, effort, proba,
                labels[test], classes,
            )  # fmt: skip
            lines.append({"model": name, **line})
            notes += [f"Of the {name}: {doubt}" for doubt in doubts]
            top = size or top
    frame = pd.DataFrame(lines)
    return Distillation(learned, given, _fidelity(taught, said, classes), frame, notes, test, top)


def _rows(X: Any, places: np.ndarray) -> Any:
    return X.iloc[places] if isinstance(X, pd.DataFrame) else X[places]


def _is_fitted(model: Any) -> bool:
    if not hasattr(model, "fit"):
        return True
    try:
        check_is_fitted(model)
    except (NotFittedError, TypeError):  # TypeError: a class
        return False
    return True


def _fitted(teacher: Any, X: Any, y: np.ndarray) -> Any:
    model = clone(teacher, safe=False)
    model.fit(X, y)
    return model


def _answers(model: Any, X: Any, classes: np.ndarray) -> np.ndarray:
    """Return probabilities of rows, with columns in the order of `classes`."""
    found = np.asarray(probabilities_of(model, X), dtype=np.float64)
    known = np.asarray(getattr(model, "classes_", classes))
    if sorted(known.tolist(), key=str) != sorted(classes.tolist(), key=str) or found.shape != (len(X), len(classes)):
        raise ValueError(
            f"The teacher {type(model).__name__} knows the classes {known.tolist()} and returned probabilities of the "
            f"shape {found.shape}; y has the classes {classes.tolist()}. Give the labels that it was fitted with."
        )
    return found[:, [known.tolist().index(label) for label in classes.tolist()]]


def _out_of_fold(teacher: Any, X: Any, y: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
    """Return the probabilities of each row by a teacher that was fitted without it."""
    soft = np.zeros((len(y), len(classes)))
    n_folds = min(_FOLDS, int(np.unique(y, return_counts=True)[1].min()))
    for learned, held in StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(np.zeros(len(y)), y):
        soft[held] = _answers(_fitted(teacher, _rows(X, learned), y[learned]), _rows(X, held), classes)
    return soft


def _taught(
    student: Any,
    teacher: Any,
    X: Any,
    y: np.ndarray,
    soft: np.ndarray,
    threat: ThreatModel | TableThreat,
    k: int,
    ranking: Ranking,
    seed: int,
) -> Any:
    """Return the fitted student."""
    last = student[-1] if isinstance(student, Pipeline) else student
    if last is not None and not has_fit_parameter(last, "soft_labels"):
        raise TypeError(
            f"The student learns from soft labels, and the fit of {type(last).__name__} takes none. Give a classifier "
            "of the library, or a Pipeline that ends in one."
        )
    if isinstance(student, Pipeline):
        return clone(student).fit(X, y, **{f"{student.steps[-1][0]}__soft_labels": soft})
    if isinstance(threat, TableThreat):
        preprocessor = make_preprocessor(X).fit(X)
        if student is None:
            columns = column_map(preprocessor)
            names = [str(name) for name in columns.columns]
            explainer = ColumnContributions(n_points=N_POINTS, groups=list(columns.groups), names=names)
            student = R2ETClassifier(
                k, lambda_hessian=LAMBDA_HESSIAN, ranking=ranking, explainer=explainer, random_state=seed
            )
        pipeline = make_pipeline(preprocessor, clone(student))
        return pipeline.fit(X, y, **{f"{pipeline.steps[-1][0]}__soft_labels": soft})
    model = R2ETClassifier(k, ranking=ranking, random_state=seed) if student is None else clone(student)
    _, before = unwrap(teacher, needs=("predict_proba",), what="distill")
    if not before:
        return model.fit(X, y, soft_labels=soft)
    # the fitted steps of the teacher: one radius then means the same for both
    for steps in before:
        X = steps.transform(X)
    model.fit(X.toarray() if hasattr(X, "toarray") else X, y, soft_labels=soft)
    return make_pipeline(*(step for steps in before for _, step in steps.steps), model)


def _explaining(model: Any, explainer: Any) -> Any:
    """Return a model with its explanation, or a sentence that says why it has none."""
    inner, before = unwrap(model, needs=("predict_proba",), what="distill")
    if hasattr(inner, "explain"):
        return model
    if explainer is None and isinstance(inner, HistGradientBoostingClassifier):
        try:
            explainer = TreeShap(inner)
        except ValueError as error:
            return f"It has no explanation to compare with. {error}"
    if explainer is None:
        return (
            f"{type(inner).__name__} has no explanation to compare with. explainer=function sets one beside the "
            "student's."
        )
    return make_pipeline(*before, BlackBox(inner, explainer)) if before else BlackBox(inner, explainer)


def _measured(
    model: Any,
    rows: Any,
    threat: ThreatModel | TableThreat,
    explainer: Any,
    k: int,
    ranking: Ranking,
    effort: Effort,
    proba: np.ndarray,
    truth: np.ndarray,
    classes: np.ndarray,
) -> tuple[dict[str, Any], list[str], int | None]:
    """Return the line of a model, what is to be said of it, and the size of its top set."""
    area = area_interval(proba, truth, classes)
    line: dict[str, Any] = {"explanation": "none", "n_rows": 0}
    line |= dict(zip(("roc_auc", "roc_auc_low", "roc_auc_high"), area))
    view = _explaining(model, explainer)
    if isinstance(view, str):
        return line, [view], None
    with quiet() as said:
        try:
            seen, inner = as_features(view, rows, threat)
            target = Target.of(inner, seen, threat, None, k, ranking)
        except (TypeError, ValueError) as error:
            return line, [f"Its explanations could not be compared. {error}"], None
        found = measure(target, 1.0, effort)
    doubts = about_doubts([*said, *found.doubts])
    if target.is_black_box and effort.preset == "fast":
        doubts.append(
            "It has no gradients, and was looked at by random changes alone: compare the P@k of random changes. "
            'preset="standard" attacks it without gradients.'
        )
    more = line_of([found], target.k, ranking, proba, truth, classes)
    return {**line, **more, "explanation": explained_by(target)}, doubts, target.k


def _fidelity(taught: np.ndarray, said: np.ndarray, classes: np.ndarray) -> pd.DataFrame:
    same = taught.argmax(axis=1) == said.argmax(axis=1)
    labels = classes[taught.argmax(axis=1)].astype(str), classes[said.argmax(axis=1)].astype(str)
    kappa = 1.0 if same.all() else float(cohen_kappa_score(*labels))
    distance = np.abs(taught - said).sum(axis=1) / 2
    divergence = (taught * np.log(taught.clip(_LEAST) / said.clip(_LEAST))).sum(axis=1)
    nothing = (math.nan, math.nan)
    lines: list[tuple[str, Interval, str]] = [
        ("agreement", share_interval(same.astype(float)), "share of rows with the same label"),
        ("kappa", (kappa, *nothing), "agreement on a scale on which chance scores 0 (Cohen)"),
        (
            "difference of probabilities",
            share_interval(distance, 10),
            "mean of half the sum over classes of |p - q|; of two classes |p - q| of one",
        ),
        ("KL divergence", _mean(divergence), "mean of sum p log(p / q), teacher p and student q, in nats"),
    ]
    return pd.DataFrame(
        [(name, *interval, meaning) for name, interval, meaning in lines],
        columns=["measure", "value", "low", "high", "meaning"],
    )


def _mean(values: np.ndarray) -> Interval:
    half = 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    mean = float(values.mean())
    return mean, max(mean - half, 0.0), mean + half
