"""What every cell of an experiment is: values that a result depends on, and the name that follows from all of them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

from robustxai._arguments import check_arguments
from robustxai._fingerprint import fingerprint
from robustxai.benchmark._code_version import code_version

__all__ = ["BaseCell"]


class BaseCell:
    """Base of the cells: a frozen dataclass whose fields say which result is meant.

    The name of a result's file ends in a digest of all that the result depends on, so that a finished one is found
    again exactly as long as it would come out the same: the fields, whatever `_depends_on` adds to them, and the
    version of the code, which :func:`robustxai.benchmark._code_version.code_version` explains. Results of other digests
    stay where they are, and are not returned.

    A subclass is a frozen dataclass with a `_label` and a `_depends_on`. Fields name things: the things themselves, as
    they are built (attacks, estimators, the content of a table, a budget), belong into `_depends_on`. A field `data` is
    left to it altogether, because one table may have several paths.
    """

    #: Keys of the row whose value may be infinite; anywhere else that is an error of the cell.
    may_be_infinite: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_arguments(self)

    @property
    def name(self) -> str:
        """File name of the result; the digest changes with anything that could change the numbers."""
        return f"{self._label()}-{self.digest[:12]}.json"

    @property
    def digest(self) -> str:
        """64 hexadecimal digits for all that the result depends on; the same on machines with the same versions."""
        kind = type(self)
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "data"}  # type: ignore[arg-type]
        # of a cell of this package, the version of the code has all that the class is
        known = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
        code = kind.__qualname__ if known else kind
        return fingerprint(code, own, self._depends_on(), code_version(kind.__module__))

    def _label(self) -> str:
        """What a person knows the result by, in front of the digest."""
        raise NotImplementedError

    def _depends_on(self) -> Any:
        """What the fields only name, as it is built now: values, containers, objects; see :func:`fingerprint`."""
        raise NotImplementedError
