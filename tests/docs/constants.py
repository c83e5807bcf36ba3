"""What has digits in the prose and is no measurement: names, protocol constants, references."""

from __future__ import annotations

__all__ = ["CONSTANTS"]

#: Pattern -> why it is no measurement. Everything else with a digit needs a query or a ``given``.
CONSTANTS: dict[str, str] = {
    r"P@\d+": "the name of a metric",
    r"\btop[ -]\d+\b": "the size of a top set",
    r"\bk = \d+": "the size of a top set",
    r"\bepsilon (?:\d*\.\d+|\d+)": "the radius of an attack, chosen",
    r"\bradius (?:\d*\.\d+|\d+)": "the radius of an attack, chosen",
    r"\bbeta (?:\d*\.\d+|\d+)": "the sharpness of softplus, chosen",
    r"\[0, 1\]": "the range of scaled features",
    r"\b(?:19|20)\d\d\b": "a year",
    r"\b(?:Tables?|Figures?|Eq\.|Section|OpenML) \d+(?:\.\d+)*(?:(?: to |-)\d+)?": "a place in a paper, a data set",
    r"\bProposition \d+\.\d+": "a place in a paper",
    r"\bSections \d+\.\d+ and \d+\.\d+": "places in a paper",
    r"\bsplits? \d+(?: and \d+)?\b": "the name of a split",
    r"\bseeds? \d\b": "the name of a seed",
    r"\bPython \d+\.\d+": "a version",
    r"\btorch==[\d.]+": "a version",
    r"\b\d+\.\d+\.\d+\b": "a version",
    r"\b\d+ [JFMASOND][a-z]+ 20\d\d\b": "a date",
    r"\b\d+(?:-\d+)+\b": "the widths of a network's layers",
    r"\b\d+ : \d+": "the shares of a split",
    r"(?<![\d,.])\d+ (?:x|by) \d+\b": "a size",
    r"\(\d+(?:, \d+)+\)": "a shape",
    r"\b1e-\d\b": "a step or tolerance, chosen",
    r"\bCC BY-NC-SA \d\.\d": "a license",
    r"\bBSD 3\b": "a license",
}
