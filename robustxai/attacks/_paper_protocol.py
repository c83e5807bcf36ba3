"""Protocol of the R2ET paper's attacks: equal small steps, without momentum, to the last iterate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import Self

from robustxai._arguments import COUNT, POSITIVE, checked
from robustxai.attacks._gradient import GradientAttack
from robustxai.perturbation import ThreatModel
from robustxai.protocols import Estimator, Ranking
from robustxai.ranking import RANKING

__all__ = ["PaperAttack"]


class PaperAttack(GradientAttack):
    """Base of the attacks of the R2ET paper, with its protocol as an alternative to the defaults."""

    @classmethod
    @checked(k=COUNT, max_iter=COUNT, step_size=POSITIVE, ranking=RANKING)
    def paper(
        cls,
        estimator: Estimator | None = None,
        *,
        k: int = 8,
        max_iter: int = 1000,
        step_size: float = 1e-3,
        ranking: Ranking = "signed",
        bounds: tuple[Any, Any] | Mapping[Any, tuple[Any, Any]] | None = None,
        **params: Any,
    ) -> Self:
        r"""Make the attack in the R2ET paper's protocol: steps of one l2 length, and the last iterate.

        .. math:: x^{(t+1)} = x^{(t)} + \eta\, \frac{\nabla O(x^{(t)})}{\|\nabla O(x^{(t)})\|_2},
            \qquad t < T, \quad \epsilon = T \eta

        with O the objective, T `max_iter` and eta `step_size`. A step that changes the prediction is undone and half as
        long the next time, so that the last iterate keeps the prediction. All steps together have the length epsilon,
        so that no projection is needed.

        Parameters
        ----------
        estimator : fitted classifier, Pipeline or search, optional
            Target estimator.
        k : int, default=8
            Size of the top set; 8 is the paper's for tables, 100 for CIFAR-10 and 50 for MNIST and graphs (the caption
            of its Table 1 says 50 for CIFAR-10 too).
        max_iter, step_size : int and float, default=1000 and 1e-3
            The schedule for tables. For CIFAR-10 it is 100 and 5e-2 (the published code has 5e-3), for MNIST and graphs
            100 and 1e-2.
        ranking : {"signed", "magnitude"}, default="signed"
            As in :meth:`robustxai.R2ETClassifier.paper`.
        bounds : pair, optional
            Least and largest values of features, as in :class:`robustxai.perturbation.ThreatModel`; the paper names
            none.
        **params
            Other parameters of this class.

        Returns
        -------
        attack
            Without momentum, with epsilon = max_iter * step_size in l2, not yet fitted.

        References
        ----------
        Chen et al., *Robust ranking explanations*, 2023, Sections 4.1 and 4.2.

        Examples
        --------
        >>> from robustxai.attacks import ERAttack
        >>> ERAttack.paper(max_iter=100, step_size=5e-2).threat.epsilon
        5.0
        """
        protocol: dict[str, Any] = {
            "threat": ThreatModel(max_iter * step_size, norm=2, bounds=bounds),
            "max_iter": max_iter,
            "step_size": step_size,
            "momentum": 0.0,
            "keep": "last",
        }
        return cls(estimator, k=k, ranking=ranking, **{**protocol, **params})
