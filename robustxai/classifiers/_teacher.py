"""Soft labels: given, or the out-of-fold probabilities of a teacher."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter
from skorch import NeuralNet
from typing_extensions import Self

from robustxai._arguments import Either, Has, Nothing, Rows, optional
from robustxai._fingerprint import content_key, digest
from robustxai._frames import as_pandas
from robustxai._validation import outside
from robustxai.classifiers._params import NetParamsMixin
from robustxai.exceptions import MismatchWarning
from robustxai.protocols import Seed, Teacher
from robustxai.training import draw_seed, seeded

__all__ = ["SOFT_LABELS", "TEACHER", "TeacherMixin", "Teaching"]

TEACHER = optional(
    Has(
        ("fit", "predict_proba"),
        words="an unfitted classifier with fit and predict_proba, such as HistGradientBoostingClassifier(),",
        advice="Probabilities of the classes go into fit(X, y, soft_labels=...).",
    )
)
SOFT_LABELS = Either(
    (Rows(), Has(("__array__",)), Nothing()), words="an array of shape (n_samples, n_classes), or None"
)
#: Number of parts of the rows, each of which is predicted by a teacher that was fitted on the others.
_FOLDS = 4
#: Largest difference of a row's sum from 1: probabilities that were written with three digits.
_TOLERANCE = 1e-3


class Teaching(NamedTuple):
    """Soft labels of the rows of a fit, and how good they are.

    Attributes
    ----------
    soft_labels : ndarray of shape (n, n_classes)
        Probabilities of the classes.
    auc : float
        Area under the ROC curve of the probabilities: of the second class for two classes, else the mean of
        one-against-rest.
    log_loss : float
        Mean of minus the logarithm of the probability of the label, in nats.
    """

    soft_labels: np.ndarray
    auc: float
    log_loss: float


class TeacherMixin(NetParamsMixin):
    """Make soft labels of the parameters `teacher` and `teacher_weight`, or of the soft labels that `fit` was given."""

    teacher: Teacher | None
    teacher_weight: float
    random_state: Seed
    #: Given soft labels of the rows of the running fit.
    _given: np.ndarray | None = None
    #: Weights of classes of the running fit, and weights of its rows without them; None if all are 1.
    _class_factors: np.ndarray | None = None
    _input_weight: np.ndarray | None = None
    _teaching: Teaching | None = None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of this estimator, those of skorch included; with `deep` those of `teacher` too.

        The parameters of `init` are left out.
        """
        params = super().get_params(deep)
        own = None if isinstance(self.teacher, type) else getattr(self.teacher, "get_params", None)
        if deep and own is not None:
            params |= {f"teacher__{name}": value for name, value in own(deep=True).items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters; an unknown name raises ValueError with the nearest valid one."""
        of_teacher = {name: value for name, value in params.items() if name.startswith("teacher__")}
        super().set_params(**{name: value for name, value in params.items() if name not in of_teacher})
        if of_teacher:
            set_params = getattr(self.teacher, "set_params", None)
            if set_params is None:
                raise ValueError(f"{next(iter(of_teacher))} needs a teacher with set_params, got {self.teacher!r}.")
            set_params(**{name.removeprefix("teacher__"): value for name, value in of_teacher.items()})
        return self

    def _teach(
        self, X: np.ndarray, codes: np.ndarray, classes: np.ndarray, known: dict[Hashable, Any] | None = None
    ) -> None:
        """Fit the teacher out of fold, or take the given soft labels, for the fit that begins.

        Parameters
        ----------
        X, codes : ndarray of shape (n_samples, *features) and (n_samples,)
            Inputs and class indices of the rows that count.
        classes : ndarray of shape (n_classes,)
            Labels.
        known : dict, optional
            Results of other classifiers on the same rows; a new result is added.
        """
        given, teacher, weights = self.__dict__.pop("_given", None), self.teacher, self._input_weight
        self._teaching = None
        if self.teacher_weight == 0:
            return
        if given is not None:
            self._teaching = _judged(given, codes, weights)
        elif teacher is not None:
            seed = draw_seed(self.random_state)
            key = None if known is None else ("teacher", seed, _content(teacher, X, codes, weights))
            self._teaching = None if known is None else known.get(key)
            if self._teaching is None:
                soft = _out_of_fold(teacher, X, codes, classes, weights, seed)
                self._teaching = _judged(soft, codes, weights)
            if known is not None:
                known[key] = self._teaching
        if self._teaching is not None:
            self._warn_of_teaching(self._teaching, codes, given is not None)

    def _warn_of_teaching(self, teaching: Teaching, codes: np.ndarray, given: bool) -> None:
        shares = np.bincount(codes, self._input_weight)
        shares = shares / shares.sum()
        constant = -float(shares @ np.log(shares))
        if teaching.log_loss < constant:
            return
        cure = (
            "Check that soft_labels has the rows of X in their order, and the columns in the order of the sorted labels"
            if given
            else "Take a teacher that is better calibrated, with more regularization, or none"
        )
        warnings.warn(
            f"The {'soft labels' if given else 'probabilities of the teacher'} say less about the labels than the "
            f"shares of the classes do: their log loss is {teaching.log_loss:.3f}, that of the shares {constant:.3f} "
            f"(AUC {teaching.auc:.3f}). {cure}.",
            MismatchWarning,
            stacklevel=outside(),
        )

    def _targets(self, codes: np.ndarray) -> np.ndarray | None:
        """Return the targets of the cross-entropy: a mean of soft labels and labels; None for the labels alone."""
        if self._teaching is None:
            return None
        soft = self._teaching.soft_labels
        if self._class_factors is not None:
            soft = soft * self._class_factors
            soft = soft / soft.sum(axis=1, keepdims=True)
        targets: np.ndarray = self.teacher_weight * soft
        targets[np.arange(len(codes)), codes] += 1 - self.teacher_weight
        return targets

    def _store_teaching(self) -> None:
        """Set the attributes of a fitted classifier that tell how good its teacher is."""
        teaching = self.__dict__.pop("_teaching", None)
        for name in ("_given", "_class_factors", "teacher_auc_", "teacher_log_loss_"):
            self.__dict__.pop(name, None)
        if teaching is not None:
            self.teacher_auc_, self.teacher_log_loss_ = teaching.auc, teaching.log_loss


def check_soft_labels(soft_labels: Any, n_rows: int, classes: np.ndarray, name: str = "soft_labels") -> np.ndarray:
    """Return probabilities of classes as a float64 array of shape (n_rows, n_classes) whose rows have the sum 1.

    Raises
    ------
    ValueError, TypeError
        Another shape, or rows that are not probabilities: negative, not finite, or with another sum than 1.
    """
    try:
        soft = np.asarray(as_pandas(soft_labels)).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers, one row per row of X: {error}.") from error
    if soft.ndim != 2:
        hint = " For two classes give np.column_stack([1 - p, p])." if len(classes) == 2 else ""
        raise ValueError(f"{name} must have one column per class, got shape {soft.shape}.{hint}")
    if len(soft) != n_rows:
        raise ValueError(f"{name} has {len(soft)} rows, but X has {n_rows}. Give one row per row of X.")
    if soft.shape[1] != len(classes):
        raise ValueError(
            f"{name} has {soft.shape[1]} columns, but y has {len(classes)} classes. Give one column for each of "
            f"{classes.tolist()}, in this order."
        )
    if not np.isfinite(soft).all():
        raise ValueError(f"{name} has NaN or infinity in row {int((~np.isfinite(soft)).any(axis=1).argmax())}.")
    if (soft < 0).any():
        raise ValueError(f"{name} has the negative value {soft.min():g}. Give probabilities.")
    sums = soft.sum(axis=1)
    wrong = np.abs(sums - 1) > _TOLERANCE
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{name} must have rows with the sum 1, but row {row} has {sums[row]:g}. Give probabilities.")
    return soft / sums[:, None]


def _judged(soft: np.ndarray, codes: np.ndarray, weights: np.ndarray | None) -> Teaching:
    """Return soft labels with their AUC and log loss."""
    columns = [1] if soft.shape[1] == 2 else range(soft.shape[1])
    areas = [roc_auc_score(codes == c, soft[:, c], sample_weight=weights) for c in columns]
    # an exact 0 comes from a few leaves or neighbors; a single one would make the loss infinite
    losses = -np.log(soft[np.arange(len(codes)), codes].clip(1e-6))
    return Teaching(soft, float(np.mean(areas)), float(np.average(losses, weights=weights)))


def _content(teacher: Teacher, X: np.ndarray, codes: np.ndarray, weights: np.ndarray | None) -> Hashable:
    """Return a key that is equal for equal teachers on equal rows."""
    arrays = (X, codes) if weights is None else (X, codes, weights)
    return (content_key(teacher), X.shape, digest(*(array.tobytes() for array in arrays)))


def _out_of_fold(
    teacher: Teacher, X: np.ndarray, codes: np.ndarray, classes: np.ndarray, weights: np.ndarray | None, seed: int
) -> np.ndarray:
    """Return the probabilities of each row by a teacher that was fitted without it, shape (n, n_classes)."""
    name = type(teacher).__name__
    counts = np.bincount(codes)
    if counts.min() < 2:
        raise ValueError(
            f"A teacher needs two rows of each class, because it predicts rows that it was not fitted on; the class "
            f"{classes.tolist()[int(counts.argmin())]!r} has one. Leave this row out, or give soft_labels."
        )
    takes = _weight_argument(teacher)
    if weights is not None and takes is None:
        warnings.warn(
            f"{name}, the teacher, takes no sample_weight: all rows count the same for it.",
            MismatchWarning,
            stacklevel=outside(),
        )
    rows = X if X.ndim == 2 or isinstance(teacher, (NetParamsMixin, NeuralNet)) else X.reshape(len(X), -1)
    soft = np.zeros((len(X), len(classes)))
    folds = StratifiedKFold(min(_FOLDS, counts.max()), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        parts = list(folds.split(rows, codes))
    for learned, held in parts:
        model = _copy(teacher, seed)
        options = {} if weights is None or takes is None else {takes: weights[learned]}
        with seeded(seed):
            try:
                model.fit(rows[learned], codes[learned], **options)
                found = np.asarray(model.predict_proba(rows[held]), dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{name} cannot be the teacher. It was given an array of the features, without names, and class "
                    f"indices from 0 to {len(classes) - 1}: {type(error).__name__}: {error}"
                ) from error
        columns = _columns(model, np.unique(codes[learned]), classes, found)
        soft[np.ix_(held, columns)] = found
    return check_soft_labels(soft, len(X), classes, f"predict_proba of {name}, the teacher,")


def _copy(teacher: Teacher, seed: int) -> Any:
    """Return an unfitted copy, whose open random states are `seed`."""
    model = clone(teacher, safe=False)
    if hasattr(model, "get_params") and hasattr(model, "set_params"):
        params = model.get_params(deep=True)
        seeds = {n: seed for n, value in params.items() if n.rpartition("__")[2] == "random_state" and value is None}
        if seeds:
            model.set_params(**seeds)
    return model


def _weight_argument(teacher: Any) -> str | None:
    """Return the name under which the teacher's ``fit`` takes weights of rows; None if it takes none."""
    if get_config()["enable_metadata_routing"] and hasattr(teacher, "get_metadata_routing"):
        names = get_routing_for_object(teacher).consumes("fit", ["sample_weight"])
        return "sample_weight" if names else None
    if isinstance(teacher, Pipeline):
        inner = _weight_argument(teacher.steps[-1][1])
        return None if inner is None else f"{teacher.steps[-1][0]}__{inner}"
    if has_fit_parameter(teacher, "sample_weight"):
        return "sample_weight"
    # a search passes the parameters of its fit on
    if hasattr(teacher, "estimator") and has_fit_parameter(teacher, "params"):
        return _weight_argument(teacher.estimator)
    return None


def _columns(model: Any, learned: np.ndarray, classes: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the class indices of the columns of a teacher's probabilities."""
    name, own = type(model).__name__, getattr(model, "classes_", None)
    known = None if own is None else [str(label) for label in own]
    every = np.arange(len(classes))
    if known is None or known == [str(code) for code in learned]:
        columns = learned
    elif known in ([str(code) for code in every], [str(label) for label in classes]):
        columns = every  # a frozen teacher, which was fitted on the labels before
    else:
        raise ValueError(f"{name}, the teacher, knows the classes {known}, and y has {classes.tolist()}.")
    if found.ndim != 2 or found.shape[1] != len(columns):
        raise ValueError(
            f"predict_proba of {name}, the teacher, must return one column for each of {len(columns)} classes, got "
            f"shape {found.shape}."
        )
    return columns
