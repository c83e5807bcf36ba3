"""Attacks and certificates as metrics of Quantus, and explainers for its metrics."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import torch
from torch import nn

from robustxai._arguments import COUNT, INTEGER_SEED, Choice, Either, Nothing, checked
from robustxai._switches import own_switches
from robustxai.attacks import AutoExplanationAttack, BlackBox
from robustxai.certificates import certify_top_k
from robustxai.conversion import as_explainable
from robustxai.explainers import EXPLAINER, ExactAttribution
from robustxai.integrations._extra import extra
from robustxai.integrations._network import network_and_explainer
from robustxai.perturbation import THREAT_ARGUMENTS, ThreatModel, as_threat
from robustxai.protocols import (
    AttackPreset,
    BoundMethod,
    Estimator,
    Explainer,
    ExplainerName,
    Norm,
    QuantusMetric,
    Ranking,
)
from robustxai.ranking import RANKING

__all__ = ["quantus_explainer", "quantus_metric"]

_OPTIONAL_EXPLAINER = Either((EXPLAINER, Nothing()), words="a name, an Explainer, or None")


@checked(explainer=_OPTIONAL_EXPLAINER)
def quantus_explainer(
    estimator: Estimator | None = None, explainer: ExplainerName | Explainer | None = None
) -> Callable[..., np.ndarray]:
    """Return the explanation of a classifier as an ``explain_func`` of Quantus, for all of its metrics.

    The model that Quantus takes is ``estimator.module_``; of a Pipeline ``pipe[-1].module_``, and rows are features.
    Metrics that hand another network to the function, such as those that randomize weights, get its explanation.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline or search, optional
        Whose explainer is used, and whose training data give an explainer its baseline and groups.
    explainer : str or Explainer, optional
        By default that of `estimator`. One of the two is needed.

    Returns
    -------
    callable
        ``(model, inputs, targets) -> array`` of the shape of the inputs, float64. Other arguments are ignored.

    Raises
    ------
    TypeError, NotFittedError
        A model without a network; neither a classifier nor an explainer.

    References
    ----------
    Hedstrom et al., *Quantus: an explainable AI toolkit for responsible evaluation of neural network explanations and
    beyond*, JMLR 2023.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from robustxai.integrations import quantus_explainer
    >>> explain = quantus_explainer(explainer="gradient_times_input")
    >>> explain(torch.nn.Linear(3, 2), np.ones((4, 3)), np.zeros(4, dtype=int)).shape
    (4, 3)
    """
    _, chosen = network_and_explainer(nn.Identity() if estimator is None else estimator, explainer, "quantus_explainer")

    def explain(model: nn.Module, inputs: Any, targets: Any, **kwargs: Any) -> np.ndarray:
        parameter = next(model.parameters(), torch.empty(0))
        with own_switches():
            x = torch.as_tensor(np.asarray(inputs), dtype=parameter.dtype, device=parameter.device)
            classes = torch.as_tensor(np.asarray(targets), dtype=torch.long, device=x.device)
            return np.asarray(ExactAttribution(chosen, model)(x, classes).cpu().numpy())

    return explain


@checked(
    name=Choice(get_args(QuantusMetric)),
    k=COUNT,
    **THREAT_ARGUMENTS,
    explainer=_OPTIONAL_EXPLAINER,
    ranking=RANKING,
    preset=Choice(get_args(AttackPreset)),
    method=Choice(get_args(BoundMethod)),
    random_state=INTEGER_SEED,
)
def quantus_metric(
    name: QuantusMetric = "attacked_precision",
    *,
    k: int = 8,
    threat: ThreatModel | None = None,
    epsilon: float | None = None,
    norm: Norm | None = None,
    explainer: ExplainerName | Explainer | None = None,
    ranking: Ranking = "magnitude",
    preset: AttackPreset = "standard",
    method: BoundMethod = "best",
    random_state: int = 0,
) -> Any:
    """Return P@k under attack, or proven, as a metric of Quantus.

    The metrics of Quantus look at random perturbations; this one looks for the worst, or proves that there is none. The
    explained class is the one that the network predicts, because an attack must keep it; ``y_batch`` does not count.
    Needs the extra ``quantus``.

    Parameters
    ----------
    name : {"attacked_precision", "certified_precision"}, default="attacked_precision"
        The lowest P@k that :class:`~robustxai.attacks.AutoExplanationAttack` finds for every row, an upper bound of the
        true one, or the P@k that :func:`~robustxai.certificates.certify_top_k` proves, a lower bound.
    k : int, default=8
        Size of the top set.
    threat : ThreatModel, optional
        Perturbations; ``ThreatModel()`` (l2, epsilon 0.5) by default.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``.
    explainer : str or Explainer, optional
        What is attacked or proven, by its gradients. By default the ``explain_func`` of the call, which is asked as a
        black box and cannot be certified.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Scores that are ranked.
    preset : {"fast", "standard", "strong"}, default="standard"
        Budget of the attacks.
    method : str, default="best"
        Method of the certificate.
    random_state : int, default=0
        Seed of the attacks.

    Returns
    -------
    quantus.Metric
        Called as any other, alone or in ``quantus.evaluate``: one score for each row, from 0 to 1, higher is better.

    Raises
    ------
    ImportError
        Quantus is not installed.
    ValueError
        A certificate without an explainer.

    Examples
    --------
    >>> metric = quantus_metric(k=4, epsilon=0.1, explainer="gradient")  # doctest: +SKIP
    >>> metric(clf.module_, x_batch, y_batch)  # doctest: +SKIP
    """
    made = _metric_class()
    if name == "certified_precision" and explainer is None:
        raise ValueError("A certificate reads the formula of an explanation: pass explainer=, by name or as an object.")
    # no absolute value, no scaling to 1, one score per row, no warnings, no bar
    metric = made(False, False, None, None, False, None, None, True, False)
    metric.name = {"attacked_precision": "P@k under attack", "certified_precision": "P@k, proven"}[name]
    metric.explainer, metric.is_certified = explainer, name == "certified_precision"
    metric.options = {
        "k": k,
        "threat": as_threat(threat, epsilon=epsilon, norm=norm),
        "ranking": ranking,
        **({"method": method} if metric.is_certified else {"preset": preset, "random_state": random_state}),
    }
    return metric


@functools.cache
def _metric_class() -> Any:
    """Return the class, which exists once Quantus is imported."""
    quantus = extra("quantus", "quantus", "quantus_metric")
    enums = extra("quantus.helpers.enums", "quantus", "quantus_metric")

    class TopKPrecision(quantus.Metric):  # type: ignore[name-defined]
        """P@k of explanations, attacked or proven."""

        data_applicability = {enums.DataType.IMAGE, enums.DataType.TIMESERIES, enums.DataType.TABULAR}
        model_applicability = {enums.ModelType.TORCH}
        score_direction = enums.ScoreDirection.HIGHER
        evaluation_category = enums.EvaluationCategory.ROBUSTNESS

        def __call__(
            self, model: Any, x_batch: Any, y_batch: Any = None, a_batch: Any = None, s_batch: Any = None, **more: Any
        ) -> Any:
            """Return one score for each row."""
            if self.explainer is None and more.get("explain_func") is None:
                raise ValueError("Pass explain_func=, or an explainer to quantus_metric: explanations are made anew.")
            defaults = dict.fromkeys(("channel_first", "explain_func", "explain_func_kwargs", "model_predict_kwargs"))
            more = {**defaults, "softmax": False, **more}
            if more["explain_func"] is None:
                more["explain_func"] = quantus_explainer(explainer=self.explainer)
            y_batch = np.zeros(len(x_batch), dtype=int) if y_batch is None else y_batch
            return super().__call__(model, x_batch, y_batch, a_batch, s_batch, **more)

        def batch_preprocess(self, data_batch: Any) -> Any:
            """Return the batch: the explanations of the rows are made by the attack."""
            return data_batch

        def evaluate_batch(self, model: Any, x_batch: np.ndarray, **batch: Any) -> np.ndarray:
            """Return the P@k of each row."""
            network = model.get_model()
            x = np.asarray(x_batch)
            target: Any = as_explainable(network, x, explainer=self.explainer or "gradient")
            if self.explainer is None:
                target = BlackBox(target, functools.partial(self._asked, model, target, x.shape[1:]))
            if self.is_certified:
                return np.asarray(certify_top_k(target, x, **self.options).precision_at_k)
            return np.asarray(AutoExplanationAttack(target, **self.options).run(x).precision_at_k)

        def _asked(self, model: Any, classifier: Any, shape: tuple[int, ...], points: np.ndarray) -> np.ndarray:
            """Return what the ``explain_func`` says of the predicted classes."""
            said = np.asarray(self.explain_batch(model, points, classifier.predict(points)), dtype=np.float64)
            return np.array(np.broadcast_to(said, (len(points), *shape)))  # channels of one attribution get the same

    return TopKPrecision
