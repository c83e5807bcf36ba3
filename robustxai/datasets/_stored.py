"""Path of the file that a loader reads, for digests of its content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustxai._arguments import Text, checked
from robustxai._validation import nearest_name
from robustxai.datasets import _abide, _adult, _bank, _cifar10, _compas, _fashion_mnist, _mnist
from robustxai.datasets._base import HOME, PathLike, Source, _homes, fetch

__all__ = ["stored_file"]

_SOURCES: dict[str, Source[Any]] = {
    source.name: source
    for source in (
        *(module._SOURCE for module in (_adult, _bank, _cifar10, _compas, _fashion_mnist, _mnist)),
        *(_abide._source(site) for site in ("nyu", "multisite")),
    )
}


@checked(name=Text(), data_home=HOME)
def stored_file(name: str, data_home: PathLike | None = None) -> Path | None:
    """Return the path of the file that a loader reads, after a download if there is none.

    Parameters
    ----------
    name : str
        "adult", "bank", "compas", "mnist", "fashion_mnist", "cifar10", "abide_nyu" or "abide_multisite".
    data_home : path-like, optional
        As in the loaders.

    Returns
    -------
    Path or None
        None for a download that could not be kept.

    Raises
    ------
    ValueError
        An unknown name (the message has the nearest valid one).
    DataNotFoundError
        There is no file, and none could be had.
    """
    if name not in _SOURCES:
        raise ValueError(f"There is no data set {name!r}.{nearest_name(name, _SOURCES)}")
    source = _SOURCES[name]
    for home in dict(_homes(data_home)).values():
        for path in source.candidates(home):
            if path.is_file():
                return path
    path = Path(fetch(source, data_home)[1])
    return path if path.is_file() else None
