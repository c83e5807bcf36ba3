"""Base class of all cells: the fields that define a result, and the name of its file."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

from robustxai._arguments import check_arguments
from robustxai._fingerprint import fingerprint
from robustxai.benchmark._code_version import code_version

__all__ = ["BaseCell"]


class BaseCell:
    """Base of the cells: a frozen dataclass whose fields define one result.

    The name of a result's file ends in a digest of everything that the result depends on: the fields, the objects that
    `depends_on` returns, and the version of the code (:func:`robustxai.benchmark._code_version.code_version`). A stored
    result is returned only if its digest matches. Results with other digests stay on the disk.

    A subclass is a frozen dataclass that overrides two public methods, `label` and `depends_on`, and `group` if several
    cells can share work. Fields are names and
    numbers. `depends_on` returns the objects that they stand for, as they are built: attacks and estimators with all
    parameters, the content of a table, a protocol. A field `data` does not enter the digest by itself, because one
    table may have several paths: return its content from `depends_on`.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from robustxai.attacks import ERAttack
    >>> from robustxai.benchmark import BaseCell
    >>> @dataclass(frozen=True)
    ... class RadiusCell(BaseCell):
    ...     seed: int
    ...
    ...     def label(self):
    ...         return f"radius-{self.seed}"
    ...
    ...     def depends_on(self):
    ...         return ERAttack(k=3, random_state=self.seed)
    >>> RadiusCell(0).name
    'radius-0-....json'
    """

    #: Keys of the row whose value may be infinite. An infinite value under any other key is an error of the cell.
    may_be_infinite: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_arguments(self)

    @property
    def name(self) -> str:
        """File name of the result; the digest changes with everything that can change the numbers."""
        return f"{self.label()}-{self.digest[:12]}.json"

    @property
    def digest(self) -> str:
        """64 hexadecimal digits for everything that the result depends on; equal on machines with equal versions."""
        kind = type(self)
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "data"}  # type: ignore[arg-type]
        # the version of the code covers the classes of this package
        known = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
        code = kind.__qualname__ if known else kind
        return fingerprint(code, own, self.depends_on(), code_version(kind.__module__))

    def label(self) -> str:
        """Return the readable part of the name, in front of the digest."""
        raise NotImplementedError

    def depends_on(self) -> Any:
        """Return the objects that the fields name, as they are built now: values, containers, estimators, attacks."""
        raise NotImplementedError

    def group(self) -> Any:
        """Return a hashable value that is equal for cells that share work, such as one training; by default the cell.

        Cells of one group run in one process, one after the other.
        """
        return self
