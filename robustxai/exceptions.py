"""The errors and warnings of the library, each a subclass of the built-in type that a caller would expect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "AlteredFileError",
    "AlteredFileWarning",
    "DataNotFoundError",
    "DataWarning",
    "DivergedError",
    "EvaluationWarning",
    "FailedCellsError",
    "MismatchWarning",
    "OverfittingWarning",
    "SharedExplanationWarning",
    "ShortfallWarning",
    "TableError",
    "UntrustedTypeError",
]


class AlteredFileError(ValueError):
    """A file that the library wrote was altered, cut, or belongs to something else; nothing is taken from it."""


class UntrustedTypeError(TypeError):
    """A file of a model names classes or functions that the library does not know; nothing of it was executed.

    Attributes
    ----------
    names : list of str
        The modules and names of the classes and functions.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        several = ", ".join(name[:200] for name in self.names[:10])
        last = self.names[0].rpartition(".")[2][:80]
        super().__init__(
            f"The file names {several}, which the library does not know. If these are yours, or you trust them, "
            f"pass trusted=[{last}{', ...' if len(self.names) > 1 else ''}]."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.names,)


class DataNotFoundError(OSError):
    """A data set is neither on this machine nor downloadable, or its file is damaged."""


class TableError(DataNotFoundError, ValueError):
    """A user's own table cannot be used as it stands; the message names the file, the place and the option."""


class DivergedError(ArithmeticError):
    """Training produced a loss that is not finite; no model is left behind."""


class FailedCellsError(ValueError):
    """Some cells of an experiment failed; all others were run and are kept.

    Attributes
    ----------
    sentences : list of str
        What failed and why, one entry for all cells that failed for the same reason.
    rows : DataFrame
        The rows of the cells that did not fail, in their order.
    """

    def __init__(self, sentences: Sequence[str], summary: str, rows: Any) -> None:
        super().__init__("\n".join([*sentences, summary]))
        self.sentences = list(sentences)
        self.summary = summary
        self.rows = rows

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.sentences, self.summary, self.rows)


class EvaluationWarning(UserWarning):
    """A robustness figure is probably not what it seems; the message gives the reason and the cure."""


class DataWarning(UserWarning):
    """What was seen in a table and how it is read; the message names the option that changes it."""


class AlteredFileWarning(UserWarning):
    """Stored results whose files were altered, cut, or belong to something else are computed again."""


class MismatchWarning(UserWarning):
    """A parameter does not fit what it is used with: another k than that of the training, a radius in other units."""


class SharedExplanationWarning(EvaluationWarning):
    """Different rows have nearly the same explanation, so that its stability says nothing about any row's own.

    A kind of its own, because it is a property of model and data, which small tables often have: who knows of it can
    silence it alone.
    """


class ShortfallWarning(UserWarning):
    """A training did not reach the stability that was asked of it; the message gives figures and a cure."""


class OverfittingWarning(UserWarning):
    """A network is far better on the rows that it learned from than on others; the message gives figures and a cure."""
