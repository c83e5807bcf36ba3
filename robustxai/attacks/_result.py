"""What an attack found, and the worst of several attacks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robustxai._frames import aligned, like, take
from robustxai.exceptions import EvaluationWarning

__all__ = ["AttackResult", "strongest", "warn_of_rise", "zero_rows"]

#: How much a mean P@k may rise with the radius before something is said.
_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What an attack found, row by row.

    Attributes
    ----------
    X_adv : array or DataFrame of the kind of X
        The perturbed inputs: of each row the iterate that serves the attack's goal best with the prediction unchanged.
        Of a Pipeline, in the features that its last step sees, as are the attributions.
    attribution, attribution_adv : array or DataFrame of the kind of X
        Explanation of the class predicted at X, at X and at X_adv.
    precision_at_k : ndarray of shape (n_samples,)
        Overlap of the two top-k sets, as a share of k.
    first_flip : ndarray of int of shape (n_samples,)
        First iteration at which the top-k set differed with the prediction unchanged, counted from 1;
        ``n_iter + 1`` where none did.
    n_iter : int
        Budget of iterations.
    targets_in_top_k : ndarray of int of shape (n_samples,), or None
        How many of the target units are in the top-k set at X_adv; only of a targeted attack.
    last_gain : ndarray of int of shape (n_samples,), or None
        Last iteration that lowered P@k, 0 where none did; of several attacks, that of the one which was kept. Close to
        `n_iter` in many rows, the attack wanted to go on.
    rejected : ndarray of shape (n_samples,), or None
        Share of the iterates that changed the prediction and so did not count.
    """

    X_adv: Any
    attribution: Any
    attribution_adv: Any
    precision_at_k: np.ndarray
    first_flip: np.ndarray
    n_iter: int
    targets_in_top_k: np.ndarray | None = None
    last_gain: np.ndarray | None = None
    rejected: np.ndarray | None = None

    def of_rows(self, rows: slice) -> AttackResult:
        """What was found in some of the rows."""
        by_row = {name: value for name, value in vars(self).items() if name != "n_iter" and value is not None}
        return replace(self, **{name: take(value, rows) for name, value in by_row.items()})


def strongest(results: Sequence[AttackResult]) -> AttackResult:
    """For every row the result with the lowest P@k (the earlier one of equals), and the earliest first flip.

    The mean over rows of this minimum is the honest figure of an ensemble: the attacker may choose the attack for every
    row, and a mean of one attack alone hides that. What only one kind of attack tells (`targets_in_top_k`) is left out.
    """
    if not results:
        raise ValueError("strongest() needs at least one attack result.")
    choice = np.argmin([r.precision_at_k for r in results], axis=0)

    def pick(name: str) -> Any:
        first = getattr(results[0], name)
        values = [aligned(first, getattr(r, name), (f"{name} of the first", f"{name} of another")) for r in results]
        return like(first, np.stack([np.asarray(v) for v in values])[choice, np.arange(len(choice))])

    n_iter = max(r.n_iter for r in results)
    # a row that a shorter attack never flipped is censored at that attack's budget, and not flipped there
    flips = [np.where(r.first_flip > r.n_iter, n_iter + 1, r.first_flip) for r in results]
    traced = all(r.last_gain is not None and r.rejected is not None for r in results)
    return AttackResult(
        X_adv=pick("X_adv"),
        attribution=results[0].attribution,
        attribution_adv=pick("attribution_adv"),
        precision_at_k=np.min([r.precision_at_k for r in results], axis=0),
        first_flip=np.min(flips, axis=0),
        n_iter=n_iter,
        last_gain=pick("last_gain") if traced else None,
        rejected=pick("rejected") if traced else None,
    )


def warn_of_rise(precision: Mapping[float, float], cure: str, *, stacklevel: int = 2) -> None:
    """Warn where the mean P@k of an attack rises with the radius by more than 0.01.

    The larger ball holds the smaller one, so that what was found there was there to be found again: only an attack that
    is too weak can rise.

    Parameters
    ----------
    precision : mapping of float to float
        Mean P@k of one attack on one set of rows, by radius.
    cure : str
        What to do about it.
    stacklevel : int, default=2
        As in :func:`warnings.warn`.
    """
    radii = sorted(precision)
    rises = []
    for i, radius in enumerate(radii[1:], start=1):
        lowest = min(radii[:i], key=lambda smaller: precision[smaller])
        if precision[radius] > precision[lowest] + _TOLERANCE:
            rises.append(f"{precision[radius]:.3f} at {radius:g} after {precision[lowest]:.3f} at {lowest:g}")
    if rises:
        warnings.warn(
            f"The mean P@k rises with epsilon ({'; '.join(rises)}), although a larger ball holds every smaller one: at "
            f"the larger radius the attack is too weak, or held up by the prediction. {cure}",
            EvaluationWarning,
            stacklevel=stacklevel + 1,
        )


def zero_rows(*attributions: Any) -> str:
    """Say how many rows have an explanation of zeros in any of the `attributions`; empty where there are none."""
    zero = np.logical_or.reduce([(np.asarray(a) == 0).reshape(len(a), -1).all(axis=1) for a in attributions])
    if not zero.any():
        return ""
    return (
        f"{zero.sum()} of {len(zero)} rows have an explanation of zeros, before or after the attack, in which all "
        "units tie. Their top-k set is arbitrary and their P@k says nothing: leave them out, or explain the model "
        "by something that does not vanish there (a network of dead ReLUs, a constant model)."
    )
