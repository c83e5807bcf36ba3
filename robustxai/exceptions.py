"""The errors and warnings of the library, each a subclass of the built-in type that a caller would expect."""

__all__ = ["DataNotFoundError", "DivergedError", "EvaluationWarning"]


class DataNotFoundError(OSError):
    """A data set is neither on this machine nor downloadable, or its file is damaged."""


class DivergedError(ArithmeticError):
    """Training produced a loss that is not finite; no model is left behind."""


class EvaluationWarning(UserWarning):
    """A robustness figure is probably not what it seems; the message gives the reason and the cure."""
