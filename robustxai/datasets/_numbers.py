"""Numbers, dates and gaps in the fields of a text file."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

__all__ = ["INFINITE", "MISSING", "MISSING_NUMBER", "Numbers", "is_missing", "is_number", "read_dates", "read_numbers"]

#: Marks of a missing value in any column: pandas' list, and those of spreadsheets and repositories.
MISSING = frozenset(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
     "NULL", "NaN", "None", "n/a", "nan", "null", "?", "n.a.", "N.A.", "#VALUE!", "#REF!", "#DIV/0!", "#NUM!", "#NAME?",
     "\\N", "NaT", "(null)"]
)  # fmt: skip
#: Further marks, in lower case, in a column of numbers; in other columns each of them may be a category.
MISSING_NUMBER = frozenset(value.lower() for value in MISSING) | frozenset(
    ["-", "--", "---", ".", "..", "...", "*", "**", "missing", "unknown", "unk", "not available", "not applicable",
     "not reported", "nd", "n.d.", "no data", "nil", "k.a.", "keine angabe", "s/d", "n/d", "refused",
     "\u2013", "\u2014"]
)  # fmt: skip
_SPACES = " \u00a0\u202f\u2009"
_PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
#: Spellings of infinite numbers.
INFINITE = re.compile(r"[-+]?inf(inity)?", re.IGNORECASE)
_UNITS = r"US\$|[$€£¥₹₽₩%]|USD|EUR|GBP|CHF|JPY|INR|CAD|AUD|SEK|NOK|DKK|kr\.?|zł|PLN"
_WRITTEN = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[-+\u2212])?\s*(?P<before>{_UNITS})?\s*(?P<sign2>[-+\u2212])?\s*"
    rf"(?P<body>\d[\d.,'\u2019{_SPACES}]*|[.,]\d+)(?P<exponent>[eE][-+]?\d+)?\s*"
    rf"(?P<after>{_UNITS})?\s*(?P<minus>-)?\s*(?P<close>\))?"
)
#: Groups of three digits with a separator other than the decimal sign; lakhs and crores with commas, too.
_GROUPS = {sign: re.compile(rf"\d{{1,3}}([{re.escape(sign)}]\d{{3}})+") for sign in (",", ".", "'\u2019", _SPACES)}
_GROUPS["lakhs"] = re.compile(r"\d{1,2}(,\d{2})+,\d{3}")


def is_missing(field: str) -> bool:
    """Return whether a field marks a missing value in any column."""
    return field.strip() in MISSING


def is_number(field: str) -> bool:
    """Return whether a field is a number in the notation of a program or a person."""
    field = field.strip()
    return bool(_PLAIN.fullmatch(field) or INFINITE.fullmatch(field) or _WRITTEN.fullmatch(field))


@dataclass(frozen=True)
class Numbers:
    """Return the numbers of a column.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Of the texts that were given, NaN for one that is no number.
    how : str
        How they were written, in words; empty if as a program writes them.
    whole : bool
        Whether none of them was written with a fraction or an exponent.
    """

    values: np.ndarray
    how: str
    whole: bool


def read_numbers(texts: list[str], *, decimal: str | None = None, default: str = ".") -> Numbers:
    """Read different texts of one column as numbers.

    Parameters
    ----------
    texts : list of str
        Different texts without blanks at either end.
    decimal : {".", ","}, default=None
        The sign of the fraction; told from the column itself if None.
    default : {".", ","}, default="."
        The sign of the fraction where a column leaves it open, as ``1,234`` does.
    """
    if decimal != "," and all(_PLAIN.fullmatch(text) or INFINITE.fullmatch(text) for text in texts):
        whole = all(text.lstrip("+-").isdigit() for text in texts)
        return Numbers(np.array([float(text) for text in texts]), "", whole)
    matches = [None if INFINITE.fullmatch(text) else _WRITTEN.fullmatch(text) for text in texts]
    bodies = [match["body"] for match in matches if match]
    sign = decimal or _decimal(bodies, default)
    whole = True
    values, kinds = np.full(len(texts), np.nan), dict.fromkeys(("unit", "groups", "decimal", "sign"), "")
    for number, (text, match) in enumerate(zip(texts, matches)):
        if INFINITE.fullmatch(text):
            values[number] = float(text)
        if match is None or bool(match["open"]) != bool(match["close"]):
            continue
        body = _plain_body(match["body"], sign)
        if body is None or (match["sign"] and match["sign2"]):
            continue
        whole = whole and "." not in body and not match["exponent"]
        unit = match["before"] or match["after"]
        minus = any(match[name] in ("-", "\u2212") for name in ("sign", "sign2", "minus")) or match["open"]
        values[number] = float(f"{'-' if minus else ''}{body}{match['exponent'] or ''}")
        kinds["unit"] = kinds["unit"] or (f"with {unit}" if unit else "")
        if len(body) < len(match["body"].strip(_SPACES)):
            kinds["groups"] = "with thousands separators"
        if sign == "," and "," in match["body"]:
            kinds["decimal"] = "with a decimal comma"
        if match["open"] or match["minus"]:
            kinds["sign"] = "with its own sign for negative ones"
    how = [words for words in kinds.values() if words]
    return Numbers(values, " and ".join(how), whole)


def _decimal(bodies: list[str], default: str) -> str:
    """Return the decimal sign of a column: the last one in numbers that contain both signs."""
    for body in bodies:
        comma, point = body.rfind(","), body.rfind(".")
        if comma >= 0 and point >= 0:
            return "," if comma > point else "."
    commas = [body for body in bodies if "," in body]
    if any(not _GROUPS[","].fullmatch(body) or body.startswith("0") for body in commas):
        return "," if all(body.count(",") == 1 for body in commas) else "."
    if any(body.count(",") > 1 for body in commas):
        return "."
    points = [body for body in bodies if "." in body]
    if any(body.count(".") > 1 for body in points):
        return ","
    if commas and points:
        return "."
    return default if commas else "."


def _plain_body(body: str, decimal: str) -> str | None:
    """Return digits with a decimal point, or None where signs are misplaced."""
    body = body.strip(_SPACES)
    whole, mark, fraction = body.partition(decimal)
    if decimal in fraction or (fraction and not fraction.isdigit()):
        return None
    if whole and not whole.isdigit():
        group = next((form for form in _GROUPS.values() if form.fullmatch(whole)), None)
        if group is None or decimal in whole:
            return None
        whole = re.sub(r"\D", "", whole)
    return f"{whole or '0'}.{fraction}" if mark and fraction else whole or None


_DATE = re.compile(
    r"(?P<a>\d{1,4})(?P<sep>[-/.])(?P<b>\d{1,2})(?P=sep)(?P<c>\d{1,4})"
    r"(?:[T ]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:\.\d+)?))?\s*(?P<half>[AaPp][Mm])?"
    r"\s*(?P<zone>Z|[-+]\d{2}:?\d{2})?)?"
)
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, start=1)}
_WORDED = re.compile(
    r"(?:(?P<day>\d{1,2})[- .]?(?P<month>[A-Za-z]{3})[a-z]*\.?|(?P<month2>[A-Za-z]{3})[a-z]*\.?[- ](?P<day2>\d{1,2}))"
    r",?[- ](?P<year>\d{4}|\d{2})"
)


def read_dates(texts: list[str]) -> tuple[np.ndarray, str] | None:
    """Read the different texts of a column as days since 1970-01-01, and the order of their parts; None if one fails.

    Of ``03/04/2020`` the order of day and month is told by the other dates of the column; month first if none tells.
    """
    found = [_DATE.fullmatch(text) for text in texts]
    if any(match is None for match in found):
        worded = [_WORDED.fullmatch(text) for text in texts]
        parts = [
            (_year(m["year"]), _MONTHS.get((m["month"] or m["month2"]).lower(), 0), int(m["day"] or m["day2"]))
            for m in worded
            if m
        ]
        if not parts:  # months
            for text in texts:
                if month := re.fullmatch(
                    r"(?:(?P<year>\d{4})-(?P<number>\d{2})|(?P<name>[A-Za-z]{3})[a-z]*[- ](?P<year2>\d{4}))", text
                ):
                    name = month["name"]
                    number = _MONTHS.get(name.lower(), 0) if name else int(month["number"])
                    parts.append((int(month["year"] or month["year2"]), number, 1))
        return _days(parts, [0.0] * len(parts), "") if len(parts) == len(texts) else None
    matches = [match for match in found if match]
    if all(len(match["a"]) == 4 for match in matches):
        parts = [(int(m["a"]), int(m["b"]), int(m["c"])) for m in matches]
        order = ""
    elif all(len(match["a"]) <= 2 and len(match["c"]) in (2, 4) for match in matches):
        firsts, seconds = ([int(match[name]) for match in matches] for name in "ab")
        if max(firsts) > 12 and max(seconds) > 12:
            return None
        day_first = max(firsts) > 12 or (max(seconds) <= 12 and all(match["sep"] == "." for match in matches))
        order = " with the day before the month" if day_first else " with the month before the day"
        parts = [
            (_year(m["c"]), second if day_first else first, first if day_first else second)
            for m, first, second in zip(matches, firsts, seconds)
        ]
    else:
        return None
    return _days(parts, [_seconds(match) for match in matches], order)


def _year(text: str) -> int:
    return int(text) if len(text) == 4 else int(text) + (2000 if int(text) < 70 else 1900)


def _seconds(match: re.Match[str]) -> float:
    """Read the time of day, in UTC where there is a zone."""
    if match["hour"] is None:
        return 0.0
    hour = int(match["hour"])
    if match["half"]:
        hour = hour % 12 + 12 * (match["half"].lower() == "pm")
    seconds = 3600.0 * hour + 60 * int(match["minute"]) + float(match["second"] or 0)
    zone = match["zone"]
    if zone and zone != "Z":
        digits = zone[1:].replace(":", "")
        seconds -= (1 if zone[0] == "+" else -1) * (3600 * int(digits[:2]) + 60 * int(digits[2:]))
    return seconds


def _days(parts: list[tuple[int, int, int]], seconds: list[float], order: str) -> tuple[np.ndarray, str] | None:
    try:
        dates = np.array([f"{year:04d}-{month:02d}-{day:02d}" for year, month, day in parts], dtype="datetime64[D]")
    except ValueError:
        return None
    return dates.astype("int64") + np.array(seconds) / 86_400, order
