"""Cross-validation for a network that compares two inputs, with no subject in two parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d

from robustxai._arguments import SEED, Number, Rows, checked, optional
from robustxai.datasets._pairs import N_PAIRS, Pairs, make_pairs
from robustxai.protocols import NumberOfPairs, Seed

__all__ = ["PairFold", "pair_folds"]


class PairFold(NamedTuple):
    """The three parts of one fold: ``for train, validation, test in pair_folds(X, y)``.

    Parameters
    ----------
    train : Pairs
        Training items with each other.
    validation : Pairs
        A validation item first, a training item second.
    test : Pairs
        A test item first, a training item second.
    """

    train: Pairs
    validation: Pairs
    test: Pairs


@checked(
    X=Rows(),
    y=Rows(),
    n_splits=Number(3, integer=True),
    stratify=optional(Rows()),
    n_train_pairs=N_PAIRS,
    n_held_out_pairs=N_PAIRS,
    random_state=SEED,
)
def pair_folds(
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_splits: int = 5,
    stratify: ArrayLike | None = None,
    n_train_pairs: NumberOfPairs = None,
    n_held_out_pairs: NumberOfPairs = None,
    random_state: Seed = 0,
) -> Iterator[PairFold]:
    """Split the samples, not the pairs, and pair them in each part: three folds train, one validates, one tests.

    If pairs are split at random, samples are on both sides, and a network recognizes subjects instead of classes. Here
    every sample belongs to one part: in a validation or test pair, only the second input is a training item, as a new
    patient is compared with known ones [1]_. Every sample is in the test part of
    one fold and in the validation part of another.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        Tables, images or graphs, as for `make_pairs`.
    y : array-like of shape (n_samples,)
        Class labels of any type; every part has the classes in their shares.
    n_splits : int, default=5
        Number of folds, at least 3; all but two of them train.
    stratify : array-like of shape (n_samples,), default=None
        Further classes whose shares every part should have, such as the site of a subject.
    n_train_pairs : int or "all", default=None
        Number of training pairs, as `n_pairs` of `make_pairs`: None makes 10 for each item.
    n_held_out_pairs : int or "all", default=None
        Number of validation pairs, and of test pairs.
    random_state : int, RandomState or None, default=0
        Seed of the split and of the pairs.

    Yields
    ------
    PairFold
        ``train``, ``validation`` and ``test``, each with ``X``, ``y`` and ``indices``.

    Raises
    ------
    ValueError
        With the first fold, if the arguments do not fit.

    See Also
    --------
    make_pairs : Make the pairs of one part.

    References
    ----------
    .. [1] C. Chen et al., "Robust ranking explanations", ICML workshop on new frontiers in adversarial machine
       learning, 2023, section 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from robustxai.datasets import pair_folds
    >>> X, y = np.arange(40.0).reshape(20, 2), np.repeat([0, 1], 10)
    >>> for train, validation, test in pair_folds(X, y, n_train_pairs=30, n_held_out_pairs=8):
    ...     print(train.X.shape, test.X.shape, set(train.indices.ravel()) & set(test.indices[:, 0]))
    (30, 2, 2) (8, 2, 2) set()
    (30, 2, 2) (8, 2, 2) set()
    (30, 2, 2) (8, 2, 2) set()
    (30, 2, 2) (8, 2, 2) set()
    (30, 2, 2) (8, 2, 2) set()
    """
    X, labels = np.asarray(X), column_or_1d(y)
    check_consistent_length(X, labels)
    strata = np.unique(labels, return_inverse=True)[1]
    if stratify is not None:
        also = column_or_1d(stratify)
        check_consistent_length(X, also)
        strata = strata * (len(also) + 1) + np.unique(also, return_inverse=True)[1]
    rng = check_random_state(random_state)
    splitter = StratifiedKFold(n_splits, shuffle=True, random_state=rng)
    parts = [rows for _, rows in splitter.split(np.zeros(len(X)), strata)]
    for fold in range(n_splits):
        test, validation = parts[fold], parts[(fold + 1) % n_splits]
        train = np.setdiff1d(np.arange(len(X)), np.concatenate([test, validation]))
        yield PairFold(
            make_pairs(X, labels, items=train, n_pairs=n_train_pairs, random_state=rng),
            *(
                make_pairs(X, labels, items=part, partners=train, n_pairs=n_held_out_pairs, random_state=rng)
                for part in (validation, test)
            ),
        )
