"""Choices of switches: which columns of categories switch, and to what."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["LIMIT", "count_switches", "every_switch"]

#: More choices of switches than this are refused by default: each is a box to attack and to certify.
LIMIT = 10_000


def count_switches(options: Mapping[Any, Sequence[Any]], most: int) -> int:
    """Return the number of choices: the sum of the elementary symmetric polynomials of the numbers of options.

    Parameters
    ----------
    options : mapping of column to sequence
        Categories to which the columns may switch.
    most : int
        Largest number of columns that switch.
    """
    ways = [1] + [0] * min(max(most, 0), len(options))
    for values in options.values():
        for n in range(len(ways) - 1, 0, -1):
            ways[n] += ways[n - 1] * len(values)
    return sum(ways)


def every_switch(options: Mapping[Any, Sequence[Any]], most: int, limit: int) -> tuple[dict[Any, Any], ...]:
    """Return every choice of at most `most` switches, the choice of none first.

    Raises
    ------
    ValueError
        More choices than `limit`, with their number and the cure.
    """
    n_choices = count_switches(options, most)
    if n_choices > limit:
        widest = max(options, key=lambda name: len(options[name]))
        raise ValueError(
            f"The row has {n_choices:,} choices of at most {most} switches, more than limit={limit:,}."
            f" Lower max_switches ({most - 1} has {count_switches(options, most - 1):,}), allow fewer categories "
            f"({widest!r} has {len(options[widest])}, say which by categories={{{widest!r}: [...]}}), or raise limit."
        )
    return tuple(
        dict(zip(names, values))
        for n in range(min(most, len(options)) + 1)
        for names in itertools.combinations(options, n)
        for values in itertools.product(*(options[name] for name in names))
    )
