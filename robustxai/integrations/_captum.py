"""Explainers of the library as attribution methods of Captum."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

from robustxai._arguments import Either, Nothing, checked
from robustxai._switches import own_switches
from robustxai.explainers import EXPLAINER, ExactAttribution
from robustxai.integrations._extra import extra
from robustxai.integrations._network import network_and_explainer
from robustxai.protocols import Estimator, Explainer, ExplainerName

__all__ = ["captum_attribution"]

_WHAT = "captum_attribution"


@checked(explainer=Either((EXPLAINER, Nothing()), words="a name, an Explainer, or None"))
def captum_attribution(estimator: Estimator | nn.Module, explainer: ExplainerName | Explainer | None = None) -> Any:
    """Return an explainer as a ``captum.attr.Attribution``, for what Captum does with one.

    ``NoiseTunnel`` averages it over noise, ``captum.metrics`` measure its infidelity and sensitivity, and
    ``captum.attr.visualization`` draws it. The way back is :func:`~robustxai.explainers.captum_explainer`, which makes
    an explainer of a method of Captum, for ``explain``, :func:`~robustxai.audit.audit` and attacks. Needs the extra
    ``captum``.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline, search, or nn.Module
        What is explained. Inputs are those of its network: of a Pipeline the features that its last step sees.
    explainer : str or Explainer, optional
        By default that of the classifier. A module needs one.

    Returns
    -------
    captum.attr.Attribution
        With ``attribute(inputs, target=None)``: a tensor like `inputs`, without a graph, for the class `target` (a
        number or one for each row), the predicted class by default. It is computed in float64. An explainer of columns
        returns one entry per column.

    Raises
    ------
    ImportError
        Captum is not installed.
    TypeError, NotFittedError
        A model without a network; a module without an explainer.

    References
    ----------
    Kokhlikyan et al., *Captum: a unified and generic model interpretability library for PyTorch*, 2020.

    Examples
    --------
    >>> from captum.attr import NoiseTunnel  # doctest: +SKIP
    >>> attribution = captum_attribution(clf, "integrated_gradients")  # doctest: +SKIP
    >>> NoiseTunnel(attribution).attribute(x, nt_samples=20, stdevs=0.1, target=1)  # doctest: +SKIP
    """
    made = _attribution_class()
    return made(*network_and_explainer(estimator, explainer, _WHAT))


@functools.cache
def _attribution_class() -> Any:
    """Return the class, which exists once Captum is imported."""
    attr = extra("captum.attr", "captum", _WHAT)
    log = extra("captum.log", "captum", _WHAT)

    class ExplainerAttribution(attr.Attribution):  # type: ignore[name-defined]
        """An explainer of robustxai as a method of Captum."""

        def __init__(self, forward_func: nn.Module, explainer: Explainer) -> None:
            super().__init__(forward_func)
            self.explainer = explainer

        @log.log_usage()  # type: ignore[untyped-decorator]  # NoiseTunnel looks for the function below it
        def attribute(self, inputs: Tensor | tuple[Tensor], target: Any = None) -> Any:
            """Return the attribution of the class `target` at `inputs`."""
            alone = isinstance(inputs, Tensor)
            if not alone and len(inputs) != 1:
                raise ValueError("Networks of robustxai have one input; got a tuple of several.")
            x = (inputs if isinstance(inputs, Tensor) else inputs[0]).detach()
            if target is None:
                with torch.no_grad():
                    classes = self.forward_func(x).argmax(dim=-1)
            else:
                classes = torch.as_tensor(target, dtype=torch.long, device=x.device).reshape(-1).expand(len(x))
            with own_switches():
                found = ExactAttribution(self.explainer, self.forward_func)(x, classes).to(x.dtype)
            return found if alone else (found,)

    return ExplainerAttribution
