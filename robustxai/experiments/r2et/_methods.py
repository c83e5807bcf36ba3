"""Methods of the R2ET paper and this library's forms of them, with the candidates for their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from robustxai.benchmark import Params

__all__ = ["METHODS", "Method", "families", "family_candidates", "paper_name", "row_label"]


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Parameters
    ----------
    defense : str
        Name in ``DEFENSES``.
    candidates : tuple of parameters
        Candidates for training from random weights; empty if the method is only retrained.
    retrained : tuple of pairs of parameters
        Candidates for retraining the vanilla model: parameters of the defense, and of
        :func:`robustxai.classifiers.retrain`. Empty if the method is not retrained.
    family : str, default=""
        Method of which this row is a form; empty for a method with a single form.
    """

    defense: str
    candidates: tuple[Params, ...] = ((),)
    retrained: tuple[tuple[Params, Params], ...] = ()
    family: str = ""


#: Families with several forms. Each form is a row of its own.
EQUATION_6, NORMALIZED = "R2ET, Eq. 6", "R2ET, normalized"
#: Rows of images and graphs bear the names of the paper's forms; their networks are trained with normalized gaps.
_SHAPE_FORMS = ("R2ET\\H", "R2ET-mm\\H", "R2ET", "R2ET-mm")


def row_label(method: str) -> str:
    """Return the name of a method's row: the forms of R2ET say whether they are Eq. 6 or normalized."""
    return f"{method}, normalized" if method in _SHAPE_FORMS else method


def paper_name(method: str) -> str:
    """Return the paper's name for the method of a row; empty if the method is not the paper's."""
    form = method.removesuffix(", Eq. 6")
    return "" if form == method and (form in _SHAPE_FORMS or "," in form or form == "R2ET-d") else form


#: Rows per step, for every method; a choice per method would double the search.
_BATCH: Params = (("batch_size", 256),)
#: Candidate numbers of epochs, for every method: on Bank 40 overfit, on Adult 12 are too few.
_EPOCHS = (12, 40)
#: Activations of the paper's penalties, which does not say on which of them they were trained.
_RELU: Params = (("module__activation", "relu"),)
_SOFTPLUS: Params = (("module__activation", "softplus"), ("module__beta", 5.0))


def _grid(**values: Sequence[Any]) -> tuple[Params, ...]:
    """Return all combinations, as hashable parameters."""
    return tuple(tuple(zip(values, combination)) for combination in product(*values.values()))


def _on_both(settings: Sequence[Params]) -> tuple[Params, ...]:
    """Return every setting with ReLU and with softplus."""
    return tuple((*setting, *activation) for setting in settings for activation in (_RELU, _SOFTPLUS))


def _from_random(settings: Sequence[Params]) -> tuple[Params, ...]:
    """Return every setting with every number of epochs."""
    return tuple((*setting, *_BATCH, ("max_epochs", epochs)) for setting in settings for epochs in _EPOCHS)


def _from_vanilla(settings: Sequence[Params], betas: Sequence[float | None]) -> tuple[tuple[Params, Params], ...]:
    """Return every setting with the network unchanged (None) or with smooth ReLUs of sharpness beta."""
    return tuple(_smoothed(setting, beta) for setting in settings for beta in betas)


def _smoothed(setting: Params, beta: float | None, lr: float = 0.01) -> tuple[Params, Params]:
    # twice the usual learning rate, because there are few epochs; it is also the paper's
    return (*setting, *_BATCH, ("lr", lr)), () if beta is None else (("beta", beta),)


def _equation_6(defense: str, gaps: Sequence[float], hessians: Sequence[float]) -> Method:
    """Return a form of Eq. 6 with two pairs of weights of sums, as printed.

    On validation rows of split 0 of Adult and COMPAS, the larger weights of the gap are the largest that do not ruin
    the classifier there (twice as large, the AUC on Adult was 0.65).
    """
    pairs = tuple(zip(gaps, hessians, strict=True))

    def params(gap: float, hessian: float) -> Params:
        # gaps of magnitudes, which the tables' P@k ranks, and Section 2 of the paper
        return (("ranking", "magnitude"), ("lambda_gap", gap), ("lambda_hessian", hessian))

    settings = _on_both([params(*pair) for pair in pairs])
    # as many candidates as the others: three pairs of weights, with the network of Vanilla and smoothed
    weaker = params(gaps[0] / 3, hessians[0] / 3)
    again = _from_vanilla([weaker, *(params(*pair) for pair in pairs)], (None, 3.0))
    return Method(defense, _from_random(settings), again, EQUATION_6)


def _normalized(
    pairs: str, settings: Sequence[tuple[float, float, float]], retrained: Sequence[tuple[float, float, Any]]
) -> Method:
    """Return R2ET with normalized gaps, with settings (lambda_gap, lambda_hessian, beta)."""

    def params(gap: float, hessian: float) -> Params:
        return (("pairs", pairs), ("lambda_gap", gap), ("lambda_hessian", hessian))

    return Method(
        "r2et",
        _from_random([(*params(gap, hessian), ("module__beta", beta)) for gap, hessian, beta in settings]),
        tuple(_smoothed(params(gap, hessian), beta) for gap, hessian, beta in retrained),
        NORMALIZED,
    )


#: The ratio of CL without a cap: no distance reaches it.
_NO_CAP = 1e6

#: Rows of the tables. A name of the paper is the paper's method; where the paper is silent (activations, weights), both
#: readings are candidates. A name with ", normalized", ", capped" or "-d" is this library's form. Exact-H estimates the
#: square of the exact norm by four random products.
#:
#: Budget: every row that has anything to choose has eight candidates from random weights (four settings by two numbers
#: of epochs), and six for retraining (Vanilla two); the lists are the same for all tables. A family with several rows
#: has a larger search than a family with one, and its best row a better chance. Families (:func:`families`) are
#: therefore also compared at an equal budget: see :func:`family_candidates`.
METHODS: dict[str, Method] = {
    "Logistic regression": Method("logistic_regression"),
    "Vanilla": Method(
        "vanilla",
        _from_random(_grid(lr=(0.002, 0.005, 0.01, 0.02))),
        _from_vanilla([()], (None, 3.0)),  # the control: more epochs and nothing else
    ),
    "WD": Method(
        "weight_decay",
        _from_random(_grid(weight_decay=(3e-4, 1e-3, 3e-3, 1e-2))),
        _from_vanilla(_grid(weight_decay=(1e-3, 3e-3, 1e-2)), (None, 3.0)),
    ),
    "SP": Method("softplus", _from_random(_grid(beta=(0.5, 1.0, 2.0, 5.0)))),
    "SP + WD": Method("softplus_weight_decay", _from_random(_grid(weight_decay=(3e-5, 3e-4), module__beta=(1.0, 5.0)))),
    "CL": Method(
        "cross_lipschitz",
        _from_random(_grid(epsilon=(_NO_CAP,), lambda_ratio=(0.001, 0.01), module__beta=(3.0, 10.0))),
        _from_vanilla(_grid(epsilon=(_NO_CAP,), lambda_ratio=(0.001, 0.01, 0.1)), (3.0, 10.0)),
    ),
    "CL, capped": Method(
        "cross_lipschitz",
        _from_random(_grid(lambda_ratio=(0.001, 0.01), module__beta=(3.0, 10.0))),
        _from_vanilla(_grid(lambda_ratio=(0.03, 0.1, 0.3)), (3.0, 10.0)),
    ),
    "Est-H": Method(
        "estimated_hessian",
        _from_random(_on_both(_grid(lambda_hessian=(0.03, 0.1)))),
        _from_vanilla(_grid(lambda_hessian=(0.03, 0.1, 0.3)), (None, 3.0)),
    ),
    "Exact-H": Method(
        "exact_hessian",
        _from_random(_on_both(_grid(lambda_hessian=(0.01, 0.03)))),
        _from_vanilla(_grid(lambda_hessian=(0.01, 0.03, 0.1)), (None, 3.0)),
    ),
    "SSR": Method(
        "ssr",
        _from_random(_grid(lambda_eigenvalue=(0.03, 0.3), module__activation=("relu", "softplus"))),
        _from_vanilla(_grid(lambda_eigenvalue=(0.03, 0.3, 1.0)), (None, 3.0)),
    ),
    "AT": Method(
        "explanation_at",
        _from_random(_on_both(_grid(gap=("linear",), epsilon=(0.1, 0.5)))),
        _from_vanilla(_grid(gap=("linear",), epsilon=(0.1, 0.3, 0.5)), (None, 3.0)),
    ),
    "AT, normalized": Method(
        "explanation_at",
        _from_random(_grid(epsilon=(0.1, 0.5), module__beta=(1.0, 5.0))),
        _from_vanilla(_grid(epsilon=(0.1, 0.3, 0.5)), (None, 3.0)),
    ),
    "R2ET\\H, Eq. 6": _equation_6("r2et_eq6_no_hessian", (1e-4, 3e-4), (0.0, 0.0)),
    "R2ET-mm\\H, Eq. 6": _equation_6("r2et_mm_eq6_no_hessian", (1e-3, 3e-3), (0.0, 0.0)),
    "R2ET, Eq. 6": _equation_6("r2et_eq6", (3e-4, 6e-4), (0.003, 0.01)),
    "R2ET-mm, Eq. 6": _equation_6("r2et_mm_eq6", (3e-3, 6e-3), (0.003, 0.01)),
    "R2ET\\H, normalized": _normalized(
        "all",
        [(0.003, 0.0, 1.0), (0.003, 0.0, 2.0), (0.01, 0.0, 1.0), (0.01, 0.0, 2.0)],
        [(0.03, 0.0, 1.5), (0.06, 0.0, 1.5), (0.03, 0.0, 3.0), (0.5, 0.0, 3.0), (2.0, 0.0, None), (4.0, 0.0, None)],
    ),
    "R2ET-mm\\H, normalized": _normalized(
        "minimal",
        [(0.001, 0.0, 1.0), (0.001, 0.0, 2.0), (0.003, 0.0, 2.0), (0.003, 0.0, 3.0)],
        [(0.01, 0.0, 2.0), (0.02, 0.0, 2.0), (0.02, 0.0, 3.0), (0.03, 0.0, 10.0), (0.2, 0.0, 1.5), (1.0, 0.0, None)],
    ),
    "R2ET, normalized": _normalized(
        "all",
        [(0.001, 0.007, 3.0), (0.003, 0.003, 3.0), (0.01, 0.004, 3.0), (0.003, 0.015, 5.0)],
        [(0.03, h, beta) for h in (0.01, 0.03, 0.1) for beta in (None, 3.0)],
    ),
    "R2ET-mm, normalized": _normalized(
        "minimal",
        [(0.0003, 0.007, 3.0), (0.001, 0.007, 3.0), (0.003, 0.003, 3.0), (0.001, 0.015, 5.0)],
        [(0.003, h, beta) for h in (0.01, 0.03, 0.1) for beta in (None, 3.0)],
    ),
    # minimal pairs with their gap measured as a distance, after a warm-up: R2ET combined with the method that the paper
    # calls CL and only retrains
    "R2ET-d": Method(
        "r2et",
        tuple(
            (
                ("gap", "distance"),
                ("lambda_hessian", 0.0),
                ("lambda_gap", weight),
                ("module__beta", beta),
                *_BATCH,
                ("warm_up_epochs", epochs),
                ("max_epochs", epochs),
            )
            for weight in (0.3, 1.0)
            for beta, epochs in ((5.0, 6), (5.0, 12), (5.0, 25), (3.0, 25))
        ),
    ),
}


def families(names: Sequence[str], methods: Mapping[str, Method]) -> dict[str, tuple[str, ...]]:
    """Return the forms of every family: the rows `names` of `methods`, in their order.

    The four forms of R2ET (all or minimal pairs, with or without the Hessian term) are one family as Eq. 6 and another
    one with normalized gaps. Every other row is a family of its own.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        family = methods[name].family or name
        found[family] = (*found.get(family, ()), name)
    return found


def family_candidates(forms: Sequence[str], methods: Mapping[str, Method]) -> tuple[tuple[str, Params], ...]:
    """Return the candidates of a family at an equal budget: as many as one row has, whatever the number of forms.

    Of F forms, form number f (from 0) contributes its candidates f, f + F, f + 2 F, ... The choice is fixed before any
    result is known, and over the forms it covers every setting and every number of epochs.

    Returns
    -------
    tuple of (str, parameters)
        The form, and one of its candidates.
    """
    return tuple(
        (form, params) for place, form in enumerate(forms) for params in methods[form].candidates[place :: len(forms)]
    )
