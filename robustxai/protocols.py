"""Contracts between the parts of the library, as types.

Protocols are structural: a class fulfills one by having its attributes, without inheriting from it. ``isinstance``
checks that the attributes are present, not their signatures.

========================= ============================================================================================
``Explainer``             differentiable attribution of one class
``FittedClassifier``      labels and probabilities
``Teacher``               classifier that can be fitted and has probabilities
``ExplainingClassifier``  the same, and explanations of single inputs
``ExplainableClassifier`` the same, and a torch module whose attribution can be differentiated
``Estimator``             an explaining classifier, or a Pipeline, search or ``FrozenEstimator`` around one
``Attack``                transformer of inputs to perturbed inputs that reports what it found
``AttackOutcome``         report of an attack, one value per row
``Metric``                comparison of two attributions, one value per row
``Penalty``               regularizer of an explained batch, one value per sample
========================= ============================================================================================

Arguments with a fixed set of choices are annotated by the ``Literal`` aliases below the protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import BaseCrossValidator
from sklearn.pipeline import Pipeline
from torch import Tensor, nn
from typing_extensions import Self

if TYPE_CHECKING:
    from robustxai.engine import ExplainedBatch
    from robustxai.perturbation import ThreatModel

__all__ = [
    "AbideSite",
    "AbideWeights",
    "ActivationName",
    "AdultColumns",
    "AdversaryGap",
    "AdversaryName",
    "AscentObjective",
    "Attack",
    "AttackOutcome",
    "AttackPreset",
    "AttributionSimilarity",
    "BoundMethod",
    "CaptumMethod",
    "CaptumOutput",
    "ContributionMethod",
    "ContributionOutput",
    "ContributionSide",
    "DistillationVariant",
    "Distribution",
    "EncoderName",
    "Estimator",
    "EvaluatedPart",
    "ExperimentSize",
    "ExplainableClassifier",
    "Explainer",
    "ExplainerName",
    "ExplainingClassifier",
    "FARObjective",
    "FirstWeights",
    "FittedClassifier",
    "FittedSearch",
    "GapForm",
    "GapPairs",
    "GapReduction",
    "GraphFeatures",
    "HessianForm",
    "HessianNorm",
    "HistogramKind",
    "IGObjective",
    "IGRObjective",
    "KeptIterate",
    "MapObjective",
    "MeasuredExplainer",
    "Metric",
    "MetricHessianNorm",
    "Norm",
    "NormName",
    "NumberOfPairs",
    "Output",
    "PairedTest",
    "PaperHessian",
    "PaperVariant",
    "Penalty",
    "PoolName",
    "Preprocessing",
    "QuantusMetric",
    "RankBlocks",
    "Ranking",
    "RankingGapForm",
    "ReasonDirection",
    "Reduction",
    "SSRMethod",
    "Score",
    "Scoring",
    "Seed",
    "SmoothedForm",
    "Splits",
    "Subset",
    "Teacher",
    "ThicknessBoundForm",
    "ThicknessKind",
    "TrainingExplainer",
    "Weighting",
]

# ---------------------------------------------------------------- explainers


@runtime_checkable
class Explainer(Protocol):
    """Differentiable attribution of one class.

    An explainer may have more attributes, which the library uses where they are present:

    * ``scaled``, a method with the arguments of ``__call__`` that returns a
      :class:`~robustxai.explainers.ScaledAttribution`: direction and log-scale separately, so that the attribution of
      a confident row does not underflow;
    * ``up_to_scale``, an explainer whose attribution equals this one up to a positive factor per sample;
    * ``attribution_shape(feature_shape)``, the shape of one attribution where it is not that of an input: one entry per
      column of a table, say. Whatever ranks the attribution then ranks these entries;
    * ``filled(summary)``, an explainer with what the training data of a classifier tell: its typical row, the features
      of each column, and their means (``baseline``, ``groups``, ``names`` and ``means`` of `summary`). An explainer
      that declares ``fills_without_table = True`` gets None where the training data are no table.
    """

    def __call__(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Compute the attribution of class `target` at `x`.

        Parameters
        ----------
        module : nn.Module
            Inputs to logits.
        x : Tensor of shape (*batch, *features)
            Inputs that require grad.
        target : Tensor of int of shape (*batch,)
            Index of the explained class of each sample.
        logits : Tensor of shape (*batch, n_classes), optional
            ``module(x)`` with its graph, so that one forward pass serves the loss and the explanation.
        create_graph : bool, default=False
            Return an attribution that can be differentiated.

        Returns
        -------
        Tensor of the shape of `x`, or of shape (*batch, *attribution_shape)
        """
        ...


# ---------------------------------------------------------------- estimators


@runtime_checkable
class FittedClassifier(Protocol):
    """A fitted classifier of any library.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns of `predict_proba`.
    """

    @property
    def classes_(self) -> np.ndarray:
        """Labels, in the order of the columns of `predict_proba`."""
        ...

    def predict(self, X: Any) -> np.ndarray:
        """Return labels, shape (n_samples,)."""
        ...

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities, shape (n_samples, n_classes)."""
        ...


@runtime_checkable
class Teacher(Protocol):
    """A classifier of any library that can be fitted and returns probabilities.

    Copies of it are fitted: by scikit-learn's ``clone`` if it has ``get_params``, else by ``copy.deepcopy``.
    """

    def fit(self, X: Any, y: Any) -> Any:
        """Learn from rows and class indices; may take ``sample_weight``."""
        ...

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities, shape (n_samples, n_classes)."""
        ...


@runtime_checkable
class ExplainingClassifier(FittedClassifier, Protocol):
    """A fitted classifier that explains its predictions, point by point.

    Metrics that read probabilities and explanations need no more.
    """

    def explain(self, X: Any, y: Any = None) -> Any:
        """Return the attribution of the predicted class, or of the labels `y`.

        Parameters
        ----------
        X : array-like or table of shape (n_samples, *features)
            Inputs.
        y : array-like of shape (n_samples,) or a single label, optional
            Labels of the explained classes; the predicted ones by default.

        Returns
        -------
        ndarray or DataFrame of the shape of X
        """
        ...


@runtime_checkable
class ExplainableClassifier(ExplainingClassifier, Protocol):
    """A fitted classifier whose attribution is a differentiable function of a torch module.

    The contract of the estimators of :mod:`robustxai`. Attacks, certificates and the metrics that differentiate an
    attribution need all of it. A class attribute ``has_gradient = False`` declares that the module has no derivative,
    as that of :class:`~robustxai.attacks.BlackBox`; the methods that need one then raise a TypeError.

    Attributes
    ----------
    module_ : nn.Module
        Inputs to logits, in evaluation mode.
    device_ : torch.device
        Device of `module_`.
    explainer_ : Explainer
        Attribution that `explain` returns.
    """

    @property
    def module_(self) -> nn.Module:
        """Inputs to logits, in evaluation mode."""
        ...

    @property
    def device_(self) -> torch.device:
        """Device of `module_`."""
        ...

    @property
    def explainer_(self) -> Explainer:
        """Attribution that `explain` returns."""
        ...

    def encode_target(self, X: Any, y: Any = None) -> Tensor:
        """Return the class indices of the labels `y` (predicted ones by default), shape (n_samples,), on `device_`."""
        ...


@runtime_checkable
class FittedSearch(FittedClassifier, Protocol):
    """A fitted search for a classifier over hyper-parameters, such as ``GridSearchCV`` or ``BatchedSearchCV``."""

    @property
    def best_estimator_(self) -> Any:
        """The refitted estimator, which the library uses in place of the search."""
        ...


#: A fitted classifier that explains itself, or a Pipeline, search or FrozenEstimator around one, nested in any order.
Estimator: TypeAlias = ExplainingClassifier | Pipeline | FittedSearch | FrozenEstimator

# ---------------------------------------------------------------- attacks


@runtime_checkable
class AttackOutcome(Protocol):
    """Report of an attack, row by row: the part of :class:`~robustxai.attacks.AttackResult` that scores read.

    Attributes
    ----------
    X_adv : array or DataFrame
        Perturbed inputs.
    attribution, attribution_adv : array or DataFrame
        Explanations of the class predicted at X, at X and at `X_adv`.
    precision_at_k : ndarray of shape (n_samples,)
        Overlap of the two top-k sets, as a share of k.
    """

    @property
    def X_adv(self) -> Any:
        """Perturbed inputs."""
        ...

    @property
    def attribution(self) -> Any:
        """Explanation at X of the class predicted there."""
        ...

    @property
    def attribution_adv(self) -> Any:
        """Explanation at `X_adv` of the same class."""
        ...

    @property
    def precision_at_k(self) -> np.ndarray:
        """Overlap of the two top-k sets, as a share of k, shape (n_samples,)."""
        ...


@runtime_checkable
class Attack(Protocol):
    """A scikit-learn transformer that maps inputs to perturbed inputs within a threat model.

    ``get_params`` names all parameters, ``estimator`` among them, so that ``clone`` and ``set_params(estimator=...)``
    retarget the attack. :class:`~robustxai.attacks.BaseAttack` implements all of it but the next perturbation.

    Attributes
    ----------
    k : int
        Size of the top set.
    ranking : {"magnitude", "signed"}
        Scores that are ranked.
    threat : ThreatModel or None
        Perturbations that the attacker may make.
    batch_size : int or None
        Rows that are searched at once.
    """

    @property
    def k(self) -> int:
        """Size of the top set."""
        ...

    @property
    def ranking(self) -> Ranking:
        """Scores that are ranked."""
        ...

    def resolved_threat(self) -> ThreatModel:
        """Return the perturbations that the attacker may make."""
        ...

    @property
    def batch_size(self) -> int | None:
        """Rows that are searched at once."""
        ...

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check parameters and inputs; nothing is learned."""
        ...

    def transform(self, X: Any) -> Any:
        """Return the perturbed inputs, shape (n_samples, *features)."""
        ...

    def run(self, X: Any, y: Any = None) -> AttackOutcome:
        """Attack X and report what was found."""
        ...

    def get_params(self, deep: bool = True) -> Mapping[str, Any]:
        """Return the parameters by name, as in scikit-learn."""
        ...

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, as in scikit-learn."""
        ...


# ---------------------------------------------------------------- metrics and penalties


class Metric(Protocol):
    """A comparison of two attributions of the same samples."""

    def __call__(self, attribution: Any, attribution_adv: Any, /) -> np.ndarray:
        """Compare the attributions.

        Parameters
        ----------
        attribution, attribution_adv : array-like, tensor or table of shape (n_samples, *features)
            Two explanations of the same samples.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        ...


@runtime_checkable
class Penalty(Protocol):
    """A regularizer, to be minimized. Weights are applied to its mean, outside.

    Any callable of this form is trained by autograd. A subclass of :class:`~robustxai.penalties.BasePenalty` declares
    more, and trains faster.
    """

    def __call__(self, batch: ExplainedBatch, /) -> Tensor:
        """Compute one value per sample.

        Parameters
        ----------
        batch : ExplainedBatch
            Inputs, logits and attributions of a training step.

        Returns
        -------
        Tensor of shape (*batch,)
        """
        ...


# ---------------------------------------------------------------- choices

#: Scores that are ranked: magnitudes of attributions, or signed attributions.
Ranking: TypeAlias = Literal["magnitude", "signed"]
#: Norm of a threat model: l2 (2, 2.0, "2") or l-infinity ("inf", ``math.inf``).
Norm: TypeAlias = float | Literal["2", "inf"]
#: Norm by its name, for files and tables.
NormName: TypeAlias = Literal["2", "inf"]
#: Seed of random draws, as in scikit-learn.
Seed: TypeAlias = int | np.random.RandomState | None

#: Scores of a search, as in scikit-learn.
Scoring: TypeAlias = str | Callable[..., Any] | Collection[str] | Mapping[str, Any] | None
#: Splits of a search, as in scikit-learn: a number of folds, a splitter, or pairs of row numbers.
Splits: TypeAlias = int | BaseCrossValidator | Iterable[tuple[Any, Any]] | None

#: Quantity that an explainer differentiates.
Output: TypeAlias = Literal["probability", "log_odds", "logit", "cross_entropy"]
#: Explainers that a classifier's ``explainer=`` takes by name.
ExplainerName: TypeAlias = Literal[
    "auto",
    "gradient",
    "log_odds_gradient",
    "logit_gradient",
    "cross_entropy_gradient",
    "gradient_times_input",
    "integrated_gradients",
    "centered_gradient",
    "column_contributions",
    "switch_effects",
    "relative_importance",
    "smooth_grad",
]
#: Score that :func:`~robustxai.reasons.explain_columns` explains.
ContributionOutput: TypeAlias = Literal["log_odds", "probability"]
#: Direction of the reasons of :func:`~robustxai.reasons.reasons`.
ReasonDirection: TypeAlias = Literal["adverse", "favorable", "both"]
#: Side that :class:`~robustxai.explainers.ColumnContributions` takes: what speaks for the class, or against it.
ContributionSide: TypeAlias = Literal["for", "against"]
#: Method of :class:`~robustxai.explainers.ColumnContributions`.
ContributionMethod: TypeAlias = Literal["integrated_gradients", "gradient_times_input"]
#: Explanations of a cell of an experiment; "own" is the one that the defense has by default.
MeasuredExplainer: TypeAlias = Literal[ExplainerName, "own"]
#: Explanations that the defense of a cell is trained on; "same" is the measured one.
TrainingExplainer: TypeAlias = Literal[ExplainerName, "own", "same"]
#: Methods of Captum.
CaptumMethod: TypeAlias = Literal[
    "DeepLift",
    "DeepLiftShap",
    "Deconvolution",
    "FeatureAblation",
    "FeaturePermutation",
    "GradientShap",
    "GuidedBackprop",
    "InputXGradient",
    "IntegratedGradients",
    "KernelShap",
    "LRP",
    "Lime",
    "Occlusion",
    "Saliency",
    "ShapleyValueSampling",
    "ShapleyValues",
]
#: Quantity that a method of Captum explains.
CaptumOutput: TypeAlias = Literal["logit", "probability"]

#: Metrics that :func:`~robustxai.integrations.quantus_metric` makes.
QuantusMetric: TypeAlias = Literal["attacked_precision", "certified_precision"]

#: Activations of the networks.
ActivationName: TypeAlias = Literal["relu", "softplus", "sigmoid", "tanh", "gelu", "silu"]
#: Pooling of convolutional networks.
PoolName: TypeAlias = Literal["max", "average"]
#: Encoders of a siamese network.
EncoderName: TypeAlias = Literal["conv", "resnet9", "graph", "mlp"]
#: Node features of a graph network.
GraphFeatures: TypeAlias = Literal["profile", "identity"]

#: Pairs of units whose gap a penalty widens.
GapPairs: TypeAlias = Literal["all", "minimal", "anchor"]
#: Form of the gap in :class:`~robustxai.penalties.RankingGap`.
RankingGapForm: TypeAlias = Literal["normalized", "linear", "exponential", "hinge"]
#: Reduction over the pairs in :class:`~robustxai.penalties.RankingGap`.
GapReduction: TypeAlias = Literal["mean", "sum"]
#: Form of the gap in :class:`~robustxai.R2ETClassifier`.
GapForm: TypeAlias = Literal["normalized", "linear", "exponential", "hinge", "distance", "adversarial"]
#: Term for the Hessian in :class:`~robustxai.R2ETClassifier`.
HessianForm: TypeAlias = Literal["relative", "estimated", "exact", "spectral"]
#: Form of Eq. 6 in :meth:`~robustxai.R2ETClassifier.paper`, and its Hessian term.
PaperVariant: TypeAlias = Literal["full", "mm"]
PaperHessian: TypeAlias = bool | Literal["estimated", "spectral"]
#: Form of the gap that an adversary of explanations closes.
AdversaryGap: TypeAlias = Literal["normalized", "linear"]
#: Norm of an exact Hessian.
HessianNorm: TypeAlias = Literal["fro", "spectral"]
#: Norm of the derivative of an attribution in :func:`~robustxai.metrics.hessian_norm`.
MetricHessianNorm: TypeAlias = Literal["fro", "spectral", "estimated"]
#: Way to the largest eigenvalue in :class:`~robustxai.penalties.SSR`.
SSRMethod: TypeAlias = Literal["auto", "closed", "power"]
#: Objective of IG-NORM training.
IGObjective: TypeAlias = Literal["norm", "sum_norm"]
#: Objective of FAR training: the cross-entropy at the input, or at the worst point.
FARObjective: TypeAlias = Literal["aat", "adv_aat"]
#: Objective of IGR training: the cross-entropy at the input, or at the adversarial example.
IGRObjective: TypeAlias = Literal["igr", "at_igr"]
#: What the ascent of interpretability-aware training maximizes: the change of the maps, or the cross-entropy.
MapObjective: TypeAlias = Literal["int", "int2"]
#: Similarity of two attributions in :class:`~robustxai.penalties.AttributionChange`.
AttributionSimilarity: TypeAlias = Literal["pearson", "cosine"]
#: What the ascent of :class:`~robustxai.penalties.AttributionChange` maximizes.
AscentObjective: TypeAlias = Literal["change", "cross_entropy", "sum"]
#: Equations of ATEX: those of the paper or of its code.
DistillationVariant: TypeAlias = Literal["paper", "reference"]
#: Reduction over classes or pairs in the cross-Lipschitz penalty.
Reduction: TypeAlias = Literal["min", "mean"]
#: Attacks of adversarial training.
AdversaryName: TypeAlias = Literal["fgsm", "pgd"]

#: Iterate that a gradient attack keeps.
KeptIterate: TypeAlias = Literal["best", "last"]
#: Budgets of :class:`~robustxai.attacks.AutoExplanationAttack`.
AttackPreset: TypeAlias = Literal["fast", "standard", "strong"]
#: Weights of the objectives of :class:`~robustxai.attacks.MultiObjectiveAttack`.
Weighting: TypeAlias = Literal["lagrangian", "descent_ascent", "hedge"]

#: Method that bounds the differences of scores in a certificate.
BoundMethod: TypeAlias = Literal["best", "interval", "affine", "zonotope", "curvature"]
#: Statement that a smoothed certificate proves.
SmoothedForm: TypeAlias = Literal["membership", "pairwise"]

#: Distribution of random displacements.
Distribution: TypeAlias = Literal["uniform", "gaussian"]
#: Thickness of a ranking: share of pairs in order, or mean gap.
ThicknessKind: TypeAlias = Literal["indicator", "relaxed"]
#: Bounds of the relaxed thickness: valid ones, or those of the paper.
ThicknessBoundForm: TypeAlias = Literal["valid", "paper"]
#: Score of clean predictions.
Score: TypeAlias = Literal["accuracy", "roc_auc"]
#: Test of paired differences in :func:`~robustxai.benchmark.compare_methods`.
PairedTest: TypeAlias = Literal["sign_flip", "wilcoxon", "corrected_t"]
#: Blocks in which :class:`~robustxai.benchmark.CriticalDifferenceDisplay` ranks methods.
RankBlocks: TypeAlias = Literal["split", "data"]
#: Drawing of a distribution of values.
HistogramKind: TypeAlias = Literal["box", "histogram"]

#: Part of a data set.
Subset: TypeAlias = Literal["all", "train", "test"]
#: Number of pairs to draw, "all" of them, or None for the default.
NumberOfPairs: TypeAlias = int | Literal["all"] | None
#: Columns of the table "adult".
AdultColumns: TypeAlias = Literal["all", "dice"]
#: Scans of ABIDE, of one site or of four.
AbideSite: TypeAlias = Literal["nyu", "multisite"]
#: Weights of the edges of a graph of ABIDE.
AbideWeights: TypeAlias = Literal["signed", "absolute", "positive"]
#: Scaling of numeric columns.
Preprocessing: TypeAlias = Literal["minmax", "standard"]

#: Rows on which a cell of the benchmark is evaluated.
EvaluatedPart: TypeAlias = Literal["test", "validation"]
#: Size of an experiment: enough to see the order of the methods, or that of the paper.
ExperimentSize: TypeAlias = Literal["small", "full"]
#: First weights of a defense: drawn, or those of the vanilla model.
FirstWeights: TypeAlias = Literal["random", "vanilla"]
