"""Pairs for a network that compares two inputs: do both belong to one class?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d

from robustxai._arguments import SEED, Choice, Either, Nothing, Number, Rows, checked, optional
from robustxai.datasets._pair_rounds import draw_pairs
from robustxai.protocols import NumberOfPairs, Seed

__all__ = ["Pairs", "make_pairs"]

_PAIRS_PER_ITEM = 10


class Pairs(NamedTuple):
    """Pairs, their labels and their rows: ``X, y, indices = make_pairs(...)``.

    Parameters
    ----------
    X : ndarray of shape (n_pairs, 2, ...)
        The two inputs of each pair; images keep their three axes, graphs and other matrices get a channel axis.
    y : ndarray of int64 of shape (n_pairs,)
        1 if both inputs have the same class, else 0.
    indices : ndarray of shape (n_pairs, 2)
        Rows of the original data.
    """

    X: np.ndarray
    y: np.ndarray
    indices: np.ndarray


#: Constraint on a number of pairs.
N_PAIRS = Either((Number(2, integer=True), Choice(("all",), words='an integer, "all" or None'), Nothing()))


@checked(X=Rows(), y=Rows(), items=optional(Rows()), partners=optional(Rows()), n_pairs=N_PAIRS, random_state=SEED)
def make_pairs(
    X: ArrayLike,
    y: ArrayLike,
    *,
    items: ArrayLike | None = None,
    partners: ArrayLike | None = None,
    n_pairs: NumberOfPairs = None,
    random_state: Seed = 0,
) -> Pairs:
    """Pair samples for a Siamese network, with as many pairs of one class as of two.

    The protocol of [1]_: training items are paired with each other, and each validation or test item with training
    items, as a new patient is compared with known ones: ``make_pairs(X, y, items=train)`` and
    ``make_pairs(X, y, items=test, partners=train)``. `pair_folds` does so for every fold of a cross-validation.

    No pair occurs twice, in either order. Partners take turns, so that every item starts about equally many pairs: with
    `partners`, exactly as many of each kind (one more or less where the number does not divide), as long as there are
    enough partners of its class.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        Tables (n, d), images (n, channels, height, width), or graphs (n, nodes, nodes).
    y : array-like of shape (n_samples,)
        Class labels of any type.
    items : array-like of int, default=None
        Rows that are first in a pair. None takes all rows, or all that are not `partners`.
    partners : array-like of int, default=None
        Rows with which `items` are paired, disjoint from `items`. None pairs `items` with each other.
    n_pairs : int or "all", default=None
        Half of the pairs have one class (rounded down). None makes 10 for each item, fewer if there are not so many:
        each item meets both kinds, and the memory grows with the items and not with their square. ``"all"`` makes as
        many as can be had with both labels equally often.
    random_state : int, RandomState or None, default=0
        Seed of the choice of pairs and of their order.

    Returns
    -------
    Pairs
        ``X`` of shape (n_pairs, 2, ...), ``y`` and ``indices``. Inputs with two axes, such as graphs, become
        (1, nodes, nodes), because the library reads the last three axes as channels, height and width.

    Raises
    ------
    ValueError
        If `items` and `partners` overlap or are no rows of X, or if there are fewer than `n_pairs` balanced pairs.

    See Also
    --------
    pair_folds : Cross-validation with pairs.

    References
    ----------
    .. [1] C. Chen et al., "Robust ranking explanations", ICML workshop on new frontiers in adversarial machine
       learning, 2023, section 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from robustxai.datasets import make_pairs
    >>> graphs, y = np.zeros((6, 4, 4)), ["a", "b", "a", "b", "a", "b"]
    >>> pairs = make_pairs(graphs, y, items=[4, 5], partners=[0, 1, 2, 3])
    >>> pairs.X.shape, np.bincount(pairs.y)
    ((8, 2, 1, 4, 4), array([4, 4]))
    """
    X, labels = np.asarray(X), column_or_1d(y)
    check_consistent_length(X, labels)
    if X.ndim < 2:
        raise ValueError(f"X must have at least one axis of features, got the shape {X.shape}.")
    labels = np.unique(labels, return_inverse=True)[1]
    rng = check_random_state(random_state)
    first, known = _first_and_partners(items, partners, len(X))
    # shuffled once, because partners then take turns
    first = rng.permutation(first)
    second = first if known is None else rng.permutation(known)
    n_same, n_different = _settle(n_pairs, len(first), _available(labels, first, known))
    drawn = [draw_pairs(labels, first, second, same, wanted) for same, wanted in ((True, n_same), (False, n_different))]
    indices = rng.permutation(np.concatenate(drawn))
    inputs = X[indices]
    if X.ndim == 3:
        inputs = inputs[:, :, None]
    return Pairs(inputs, (labels[indices[:, 0]] == labels[indices[:, 1]]).astype(np.int64), indices)


def _first_and_partners(
    items: ArrayLike | None, partners: ArrayLike | None, n_samples: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the rows that are first in a pair, and their partners (None: each other)."""
    known = None if partners is None else _rows("partners", partners, n_samples)
    if items is not None:
        first = _rows("items", items, n_samples)
        if known is not None and (shared := np.intersect1d(first, known)).size:
            raise ValueError(f"No row may be in items and in partners; {shared[:5].tolist()} are in both.")
        return first, known
    first = np.arange(n_samples) if known is None else np.setdiff1d(np.arange(n_samples), known)
    if not len(first):
        raise ValueError("Every row is in partners, no row is left for items.")
    return first, known


def _rows(name: str, rows: ArrayLike, n_samples: int) -> np.ndarray:
    rows = np.asarray(rows)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(f"{name} must be a list of row numbers, got {rows.dtype} of shape {rows.shape}.")
    if not len(rows):
        raise ValueError(f"{name} is empty.")
    if rows.min() < 0 or rows.max() >= n_samples or len(np.unique(rows)) < len(rows):
        raise ValueError(f"{name} must be different row numbers from 0 to {n_samples - 1}.")
    return rows


def _available(labels: np.ndarray, items: np.ndarray, partners: np.ndarray | None) -> tuple[int, int]:
    """Count the available pairs of one class and of two classes."""
    n_classes = int(labels.max()) + 1
    sizes = np.bincount(labels[items], minlength=n_classes)
    if partners is None:
        same, every = int(sizes @ (sizes - 1)) // 2, len(items) * (len(items) - 1) // 2
    else:
        same, every = int(sizes @ np.bincount(labels[partners], minlength=n_classes)), len(items) * len(partners)
    return same, every - same


def _settle(n_pairs: NumberOfPairs, n_items: int, available: tuple[int, int]) -> tuple[int, int]:
    """Return the numbers of pairs of one class and of two classes to make."""
    most = 2 * min(available)
    if most == 0:
        raise ValueError(
            f"There are {available[0]} pairs of one class and {available[1]} of two classes; both are needed."
        )
    if n_pairs is None:
        n_pairs = min(_PAIRS_PER_ITEM * n_items, most)
    elif isinstance(n_pairs, str):  # "all"
        n_pairs = most
    wanted = n_pairs // 2, n_pairs - n_pairs // 2
    if wanted[0] > available[0] or wanted[1] > available[1]:
        raise ValueError(f"n_pairs={n_pairs} is more than the {most} balanced pairs that there are.")
    return wanted
