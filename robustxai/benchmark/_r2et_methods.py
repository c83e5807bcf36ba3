"""The methods of the R2ET paper by its names for them, and the candidates that their weights are chosen from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from robustxai.benchmark._cell import Params

__all__ = ["METHODS", "Method"]


@dataclass(frozen=True)
class Method:
    """A row of the paper's tables.

    Parameters
    ----------
    defence : str
        Name in ``DEFENCES``.
    candidates : tuple of parameters
        For training from random weights; empty where the paper only retrains.
    retrained : tuple of pairs of parameters
        For retraining from the vanilla model: of the defence, and of :func:`robustxai.classifiers.retrain`. Empty
        where the paper does not retrain.
    """

    defence: str
    candidates: tuple[Params, ...] = ((),)
    retrained: tuple[tuple[Params, Params], ...] = ()


def _grid(**values: Sequence[Any]) -> tuple[Params, ...]:
    """All combinations, as hashable parameters."""
    return tuple(tuple(zip(values, combination)) for combination in product(*values.values()))


def _retrained(
    betas: Sequence[float | None] = (None, 3.0), **values: Sequence[Any]
) -> tuple[tuple[Params, Params], ...]:
    """As `_grid`, with the network as it is or with its ReLUs made smooth, at twice the usual learning rate."""
    return tuple(
        ((*params, ("lr", 0.01)), () if beta is None else (("beta", beta),))
        for params, beta in product(_grid(**values), betas)
    )


def _r2et(pairs: str, gaps: Sequence[float], *, smooth: bool) -> Method:
    """R2ET with all or with the minimal pairs, with its Hessian norm or without."""
    if smooth:
        candidates = _grid(
            pairs=(pairs,), lambda_gap=(gaps[0],), lambda_hessian=(0.01, 0.015, 0.02), module__beta=(3.0, 6.0)
        )
        retrained = _retrained(pairs=(pairs,), lambda_gap=(gaps[-1],), lambda_hessian=(0.01, 0.03, 0.1))
    else:
        candidates = _grid(pairs=(pairs,), lambda_hessian=(0.0,), lambda_gap=gaps, module__beta=(1.0, 3.0))
        retrained = _retrained((2.0, 3.0), pairs=(pairs,), lambda_hessian=(0.0,), lambda_gap=(0.01, 0.03, 0.3))
    return Method("r2et", candidates, retrained)


#: Six candidates for each that has anything to choose, the same for every table: no method is searched harder.
METHODS: dict[str, Method] = {
    "Logistic regression": Method("logistic_regression"),
    # retrained, it is the control: more epochs and nothing else
    "Vanilla": Method("vanilla", _grid(lr=(0.002, 0.005, 0.01), batch_size=(128, 512)), _retrained()),
    "WD": Method(
        "weight_decay",
        _grid(weight_decay=(1e-4, 3e-4, 1e-3, 2e-3, 4e-3, 1e-2)),
        _retrained(weight_decay=(1e-3, 4e-3, 1e-2)),
    ),
    "SP": Method("softplus", _grid(beta=(0.3, 0.5, 1.0, 2.0, 3.0, 5.0))),
    "CL": Method("cross_lipschitz", (), _retrained((3.0, 10.0), lambda_ratio=(0.03, 0.1, 0.3))),
    "Est-H": Method(
        "estimated_hessian",
        _grid(lambda_hessian=(0.03, 0.1, 0.3), module__beta=(1.0, 5.0)),
        _retrained(lambda_hessian=(0.03, 0.1, 0.3)),
    ),
    "Exact-H": Method(
        "exact_hessian",
        _grid(lambda_hessian=(0.01, 0.03, 0.1), module__beta=(1.0, 5.0)),
        _retrained((3.0, 10.0), lambda_hessian=(0.01, 0.03, 0.1)),
    ),
    "SSR": Method(
        "ssr",
        _grid(lambda_eigenvalue=(0.03, 0.3, 3.0), module__activation=("relu", "softplus")),
        _retrained(lambda_eigenvalue=(0.03, 0.3, 3.0)),
    ),
    "AT": Method(
        "explanation_at",
        _grid(epsilon=(0.1, 0.3, 0.5), module__beta=(1.0, 5.0)),
        _retrained(epsilon=(0.1, 0.3, 0.5)),
    ),
    "R2ET\\H": _r2et("all", (0.001, 0.003, 0.01), smooth=False),
    "R2ET-mm\\H": _r2et("minimal", (0.0003, 0.001, 0.003), smooth=False),
    "R2ET": _r2et("all", (0.001, 0.01), smooth=True),
    "R2ET-mm": _r2et("minimal", (0.001, 0.01), smooth=True),
}
