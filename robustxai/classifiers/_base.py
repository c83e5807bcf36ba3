"""The base of all classifiers: fit, predict, explain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data
from skorch import NeuralNet
from skorch.history import History
from torch import nn
from typing_extensions import Self

from robustxai._all_or_nothing import all_or_nothing
from robustxai._arguments import (
    COUNT,
    FLAG,
    POSITIVE,
    SEED,
    SHARE,
    WEIGHTS,
    Constraint,
    Either,
    Exactly,
    Flag,
    Number,
    checked,
    optional,
)
from robustxai._doubts import warn_of_ball
from robustxai._frames import as_pandas, in_numbers
from robustxai._switches import own_switches
from robustxai._validation import check_sample_weight
from robustxai.classifiers._chunks import chunk_size
from robustxai.classifiers._device import DEVICE
from robustxai.classifiers._epochs import EpochsMixin
from robustxai.classifiers._explaining import ExplainingMixin, contiguous
from robustxai.classifiers._facts import FactsMixin
from robustxai.classifiers._net import load_weights, unwrapped
from robustxai.classifiers._persistence import PersistenceMixin
from robustxai.classifiers._teacher import SOFT_LABELS, TEACHER, check_soft_labels
from robustxai.classifiers._weights import CLASS_WEIGHT, class_factors, objective_weights
from robustxai.engine import stackable
from robustxai.exceptions import MismatchWarning
from robustxai.explainers import EXPLAINER, attribution_shape
from robustxai.protocols import Estimator, Explainer, ExplainerName, Seed, Teacher
from robustxai.ranking import count_units
from robustxai.training import ObjectiveNet, Schedule, small_net_threads

__all__ = ["BaseExplainableClassifier"]

#: Allowed values of `batch_size`, in words.
_ROWS = "an integer number of rows >= 1, or -1 for all"


class BaseExplainableClassifier(
    FactsMixin, PersistenceMixin, EpochsMixin, ExplainingMixin, ClassifierMixin, BaseEstimator
):
    r"""Base of the classifiers: a scikit-learn estimator that owns a skorch net.

    .. math:: \min_w \; \frac{\sum_i s_i c_{y_i} \bigl[ \mathrm{CE}(z(x_i), y_i) + \sum_t \lambda_t P_t(x_i) \bigr]}{
        \sum_i s_i c_{y_i}}

    with the weights :math:`s_i` of rows and :math:`c_y` of classes, all 1 by default, and the penalties :math:`P_t` of
    the defense. A weight multiplies all terms of its row, so that a row of weight 2 counts as two rows, of weight 0 as
    none. A step takes the mean over its batch of these terms, with weights that have mean 1 over all rows.

    With a teacher, the targets of the cross-entropy are :math:`(1 - w)\,y_i + w\,p_i`, with y_i the label as a
    distribution, w the `teacher_weight`, and :math:`p_i` the probabilities of row i by a teacher that was fitted
    without it (Hinton, Vinyals and Dean, *Distilling the knowledge in a neural network*, 2015, at temperature 1).

    A defense is a subclass that names its hyper-parameters in ``__init__`` and returns its penalties from `terms`;
    docs/extending.md lists everything that is safe to override.

    Parameters
    ----------
    explainer : str or Explainer, default="gradient"
        Attribution that penalties use in training and that `explain` returns: "gradient" (of the predicted class's
        probability), another name of :mod:`robustxai.explainers`, or an
        :class:`~robustxai.protocols.Explainer`.
    device : str, default="auto"
        "auto" (the GPU if there is one, else the CPU) or the name of a torch device. `device` and `explainer` may be
        changed by ``set_params`` after `fit` and take effect at once; all other parameters take effect in the next
        `fit`.
    random_state : int, RandomState or None, default=0
        Seed of initialization and batch order. The default is fixed, so that audits are repeatable.
    max_epochs : int or "auto", default="auto"
        Passes over the data. "auto" takes the number of epochs of 2,000 steps, at least 15 and at most 200. On tables
        of 50 to 50,000 rows it first checks for overfitting: a fifth of the rows, stratified, is held out, and the
        network is trained on the others (from 500 rows on by cross-entropy alone), first for an eighth of the epochs
        (at least 200 steps) with a weight decay of 10 / n_samples (at most 0.015), then for a quarter (400 steps) with
        that and with 3 / n_samples (at most 0.005), then for all epochs without weight decay, until a training
        overfits. The classifier is then trained **on all rows** by the longest of these schedules whose held-out loss
        is within 0.01 of the lowest; `schedule_` returns it. The choice does not depend on the seed. Nothing is held
        out if `max_epochs` is a number, or with `init`, ``train_split``, ``callbacks``, ``compile`` or a module
        instance. If a weight decay is given (``optimizer__weight_decay``, or that of a defense), only the epochs are
        chosen. docs/results/default-epochs.md has the evidence.
    lr : float, default=0.005
        Peak learning rate of Adam.
    batch_size : int, default=128
        Rows per step; -1 for all.
    warm_up_epochs : int, default=0
        Epochs of plain cross-entropy before the defense's own training begins, with a separate learning-rate schedule.
        Some penalties, for example that of :class:`R2ETClassifier` with ``gap="distance"``, prevent an untrained
        network from learning and cost a trained one little.
    init : fitted classifier, Pipeline or search, skorch net, nn.Module or None, default=None
        Start from these weights instead of random ones. The module must have the same parameters.
    class_weight : dict of label to weight, "balanced" or None, default=None
        Weights of the classes, which multiply `sample_weight`, as in scikit-learn. "balanced" gives all classes the
        same total weight. Classes that a dict does not name have weight 1. A balanced training moves predictions
        towards rare classes, and its probabilities are those of balanced classes.
    teacher : classifier or None, default=None
        Any classifier with ``fit`` and ``predict_proba`` whose probabilities the network is to learn; scikit-learn's
        ``HistGradientBoostingClassifier()`` for tables, TabPFN, XGBoost, LightGBM, CatBoost, a Pipeline or another
        classifier of this library. `fit` fits four copies of it, each on three quarters of the rows, and takes the
        probabilities of the others, so that no soft label knows its own label. A copy is fitted on the features as the
        network gets them, an array without names (with its axes after the first flattened, unless it is a skorch net
        or a classifier of this library), and on class indices. It gets `sample_weight` where its ``fit`` takes it, and
        the seed of this classifier where its ``random_state`` is None. Give repeated rows as weights: two equal rows in
        two parts tell each other's label. Rows that are held out inside of `fit` (``train_split``, the choice of
        `max_epochs`) were seen by the teachers of the other rows; compare models on other rows.
        ``teacher__...`` sets its parameters.
    teacher_weight : float, default=0.8
        Weight w of the soft labels in the targets, from 0 (labels alone; no teacher is fitted) to 1. Probabilities out
        of fold have less noise than labels, so that most of the weight is theirs; the rest keeps what the teacher
        misses.
    verbose : int, default=0
        1 prints one line per epoch with a column per term of the objective, 2 shows a progress bar.
    mixed_precision : bool, default=False
        Run the forward passes of training steps in bfloat16. Weights, predictions, explanations and attacks stay
        float32. This is faster for wide networks on GPUs and on CPUs with bfloat16 instructions, and slower for small
        ones. The input gradients of a training step then have about three digits, so that rounding is visible to
        penalties that compare gradients. float16 is not offered: it needs loss scaling, which does not apply to the
        input gradients inside a loss.
    internal_batch_size : int, optional
        Rows of a batch that are computed at once, all by default. If a batch with its second derivatives does not fit
        into memory, a smaller number gives the same training up to rounding, class weights and random draws of
        penalties included, in more time. A criterion that is neither a mean nor a sum over rows is refused with
        NotImplementedError. Batch normalization and dropout treat the parts as separate batches.
    **net_params
        Any skorch parameter by its skorch name: ``module``, ``module__hidden``, ``optimizer__weight_decay``,
        ``callbacks``, ``callbacks__lr_schedule=None``, ``train_split``, ``iterator_train``, ... ``module="auto"``, the
        default, chooses by the shape of X (:func:`robustxai.nets.choose_net`): MLP for tables, ConvNet for images,
        GraphNet for adjacency matrices, Siamese for pairs; "mlp", "additive" (a sum of functions of single columns),
        "conv", "resnet9", "graph" and "siamese" choose by name. The constructor of a module class gets those of
        ``n_features``, ``in_shape``, ``n_classes``, ``groups`` (features of every column of a table) and the parameters
        of the defense (``activation``, ``beta``) that it names. The methods ``check_inputs(X)`` and
        ``check_shape(shape)`` of a module, if present, refuse data with a ValueError before training and in use.
        ``compile=True`` (and ``compile__mode`` etc.) trains through ``torch.compile`` if no penalty needs second
        derivatives; the fitted module is not compiled.

    Attributes
    ----------
    net_ : ObjectiveNet
        The fitted skorch net.
    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns of `predict_proba`.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, only for DataFrame input
    feature_means_ : ndarray of shape (*features,)
        Mean of the training inputs, weighted by `sample_weight`; faithfulness metrics replace removed features by it.
    feature_scales_ : ndarray of shape (*features,)
        Standard deviation of the training inputs, weighted in the same way, with which radii are compared.
    feature_range_ : ndarray of shape (2, *features)
        Least and largest value of every feature in the training inputs.
    table_summary_ : TableSummary or None
        Typical row and one-hot groups of the training inputs of a table, which explainers of columns use.
    k_, ranking_ : int and str
        Size of the top set in training, after clipping, and the scores that were ranked; of defenses with these
        parameters.
    history_ : skorch History
        One row per epoch. If rows were held out to choose the epochs, ``held_out_train_loss`` and ``held_out_loss`` are
        the cross-entropies of that training; with a ``train_split`` there is ``valid_loss``.
        :class:`robustxai.exceptions.OverfittingWarning` is given if the held-out loss is more than twice the training
        loss and has risen, if the shortest training of "auto" is the best, and if none is better than a constant.
    teacher_auc_, teacher_log_loss_ : float, only with a teacher or soft labels
        Area under the ROC curve and log loss of the soft labels, out of fold, weighted by `sample_weight`; compare them
        with :func:`robustxai.metrics.roc_auc` of this classifier on rows outside of the training.
    schedule_ : Schedule
        ``max_epochs`` and ``weight_decay`` of the training.
    """

    _constraints: ClassVar[Mapping[str, Constraint]] = {
        "explainer": EXPLAINER,
        "device": DEVICE,
        "random_state": SEED,
        "max_epochs": Either((COUNT, Exactly("auto"))),
        "lr": POSITIVE,
        "batch_size": Either((Number(1, integer=True, words=_ROWS), Exactly(-1)), words=_ROWS),
        "warm_up_epochs": Number(0, integer=True),
        "class_weight": CLASS_WEIGHT,
        "teacher": TEACHER,
        "teacher_weight": SHARE,
        "verbose": Either((Number(0, integer=True), FLAG)),
        "mixed_precision": Flag(
            words="True (bfloat16) or False (float32)",
            advice="float16 is not offered, because the loss scaling that it needs does not reach the input gradients "
            "inside a loss.",
        ),
        "internal_batch_size": optional(COUNT),
    }

    def __init__(
        self,
        *,
        explainer: ExplainerName | Explainer = "gradient",
        device: str | torch.device = "auto",
        random_state: Seed = 0,
        max_epochs: int | Literal["auto"] = "auto",
        lr: float = 0.005,
        batch_size: int = 128,
        warm_up_epochs: int = 0,
        init: Estimator | NeuralNet | nn.Module | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        teacher: Teacher | None = None,
        teacher_weight: float = 0.8,
        verbose: int = 0,
        mixed_precision: bool = False,
        internal_batch_size: int | None = None,
        **net_params: Any,
    ) -> None:
        self.explainer = explainer
        self.device = device
        self.random_state = random_state
        self.max_epochs = max_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.warm_up_epochs = warm_up_epochs
        self.init = init
        self.class_weight = class_weight
        self.teacher = teacher
        self.teacher_weight = teacher_weight
        self.verbose = verbose
        self.mixed_precision = mixed_precision
        self.internal_batch_size = internal_batch_size
        self._store_net_params(net_params, TypeError)

    # ---------------------------------------------------------------- fit

    @checked(sample_weight=WEIGHTS, soft_labels=SOFT_LABELS)
    @stackable
    def fit(self, X: Any, y: Any, sample_weight: Any = None, soft_labels: Any = None) -> Self:
        """Train on X of shape (n_samples, *features) and labels y of shape (n_samples,).

        Parameters
        ----------
        X, y : array-likes
            Inputs and labels.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, by position; 1 by default. Only their ratios count. Rows of weight 0 are left out.
        soft_labels : array-like of shape (n_samples, n_classes), optional
            Probabilities of the classes, in the order of the sorted labels, in place of those of a `teacher`. They
            should not know the labels of their own rows. In a search they are a parameter of ``fit``, as
            `sample_weight` is.

        Raises
        ------
        ValueError
            X with NaN or infinity or of a shape that the network does not take, a single class, a parameter out of its
            range, weights that are negative, not finite or zero in all rows of a class, soft labels that are not
            probabilities, or a teacher that cannot be fitted on these features.
        NotImplementedError
            Weights or soft labels with a criterion or an iterator of batches that cannot take them.
        DivergedError
            The loss is no longer finite; the estimator is then as before this fit.
        """
        with all_or_nothing(self), own_switches():
            X, codes, classes, weights = self._check_fit(X, y, sample_weight, soft_labels)
            self._teach(X, codes, classes)
            watched = self._watch(X, codes, len(classes), weights)
            nets = self._start(X, codes, len(classes), watched, weights)
            with small_net_threads(nets[-1].module_):
                for number, net in enumerate(nets):
                    if number:
                        load_weights(net.module_, nets[number - 1].module_)
                    self.train_net(net, X, codes)
            return self._finish(nets[-1], X, classes)

    # Five parts (_check_fit, _teach, _watch, _start, _finish), so that a search can train many estimators together.

    def _check_fit(
        self, X: Any, y: Any, sample_weight: Any = None, soft_labels: Any = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Check parameters and data; return X as the net takes it, class indices, the classes, and weights of rows."""
        self.check_params()
        X = as_pandas(X)
        with in_numbers(X):
            X, y = validate_data(self, X, y, dtype=np.float32, allow_nd=True)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least two classes; "
                f"y holds one class only: {classes.tolist()[0]!r}."
            )
        if soft_labels is not None:
            if self.teacher is not None:
                raise ValueError("teacher and soft_labels both give soft labels. Give one of them.")
            self._given = check_soft_labels(soft_labels, len(X), classes)
        X, codes, weights = self._weigh(X, codes, classes, sample_weight)
        self.check_data(X)
        threat, names = self.training_threat(), getattr(self, "feature_names_in_", None)
        if threat is not None:
            self._threat = threat.resolve(X, names)
            unit, spread = threat.units(X, names), X.std(axis=0, dtype=np.float64)
            warn_of_ball(
                "epsilon",
                threat.epsilon,
                spread,
                norm=threat.norm,
                unit=unit,
                names=names,
                cure="another epsilon",
                category=MismatchWarning,
            )
        return contiguous(X), codes.astype(np.int64), classes, weights

    def _weigh(
        self, X: np.ndarray, codes: np.ndarray, classes: np.ndarray, sample_weight: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return the rows that count and their weights in the objective, None if all are 1."""
        sample_weight = check_sample_weight(sample_weight, len(X))
        if self.class_weight is not None and self._net_params().get("criterion__weight") is not None:
            raise ValueError("class_weight and criterion__weight both give weights to the classes. Give one of them.")
        weights = objective_weights(codes, classes, sample_weight, self.class_weight)
        counted = slice(None) if weights is None else weights > 0
        # means of the inputs are those of the rows, whatever an error in a class costs
        equal = sample_weight is None or np.ptp(sample_weight[counted]) == 0
        self._input_weight = None if equal else sample_weight[counted]
        self._class_factors = class_factors(codes, classes, sample_weight, self.class_weight)
        if self._given is not None:
            self._given = self._given[counted]
        return X[counted], codes[counted], None if weights is None else weights[counted]

    def _finish(self, net: ObjectiveNet, X: np.ndarray, classes: np.ndarray) -> Self:
        """Store a trained net and the properties of the training data."""
        device = torch.device(net.device)
        module = unwrapped(net.module_)
        if module is not net.module_:  # the plain one can be explained, certified and pickled
            net.module_ = module
        net.module_.eval()
        with torch.no_grad():  # the losses of the epochs were computed before the last step
            rows = torch.tensor(X[: chunk_size(X)], device=device)
            net.check_finite({"logits": net.module_(rows).sum().item()})
        net.sample_weight_ = net.soft_labels_ = None
        self._store_teaching()
        self.net_, self.classes_, self.device_ = net, classes, device
        weights = self.__dict__.pop("_input_weight", None)
        self._remember(X, weights)
        n_units = count_units(attribution_shape(self.explainer_, X.shape[1:]))
        for name in ("k", "ranking"):
            if name in self._get_param_names():
                value = getattr(self, name)
                setattr(self, f"{name}_", min(int(value), max(n_units - 1, 1)) if name == "k" else value)
        self._compare_losses(net)
        return self

    # ---------------------------------------------------------------- use

    @property
    def module_(self) -> nn.Module:
        """Fitted torch module: inputs of shape (n, *features) to logits of shape (n, n_classes).

        This attribute sets it to evaluation mode at every access: dropout is off, and batch normalization uses its
        running statistics. To call it in training mode, keep a reference and call its ``train``.
        """
        module = self.net_.module_
        if any(part.training for part in module.modules()):
            module.eval()
        return module

    @property
    def schedule_(self) -> Schedule:
        """Number of epochs and weight decay of the training."""
        return Schedule(self.net_.max_epochs, float(self.net_.optimizer_.param_groups[0].get("weight_decay", 0.0)))

    @property
    def history_(self) -> History:
        """Training history, one entry per epoch."""
        return self.net_.history
