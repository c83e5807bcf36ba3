"""The report of an audit: its figures, and the document from which HTML and Markdown are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from robustxai import __version__
from robustxai.audit._document import Block, Callout, Cell, Document, Facts, Number, Picture, Section, Table, Text
from robustxai.audit._figure import AuditFigure, Series, histogram, intervals, lines, scatter, shortened
from robustxai.audit._render import notebook
from robustxai.audit._result import AuditResult
from robustxai.audit._words import percent

__all__ = ["changes_in_words", "figures", "fragment", "report", "value_in_words"]

#: Largest number of changes that are spelled out.
_MOST_CHANGES = 6
#: Least stable columns in the figure, and rows in the last table.
_MOST_COLUMNS, _MOST_ROWS = 20, 40


def value_in_words(value: Any) -> str:
    """Return a value of a table."""
    if value is None or (not isinstance(value, (tuple, list)) and pd.isna(value)):
        return "missing"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        if not 1e3 <= abs(value) < 1e15:
            return f"{value:.6g}"
        return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def changes_in_words(changes: Mapping[Any, tuple[Any, Any]]) -> str:
    """Return changes of a row: "age: 39 to 41; home: own to rent"."""
    parts = [
        f"{name}: {value_in_words(old)} → {value_in_words(new)}"
        for name, (old, new) in list(changes.items())[:_MOST_CHANGES]
    ]
    more = len(changes) - _MOST_CHANGES
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def _number(value: float, digits: int = 2) -> Number:
    return Number(float(value), "n/a" if math.isnan(value) else f"{value:.{digits}f}")


def _ends(line: Mapping[Any, Any], name: str, digits: int = 2) -> str:
    low, high = line[f"{name}_low"], line[f"{name}_high"]
    return "n/a" if math.isnan(low) or math.isnan(high) else f"{low:.{digits}f} to {high:.{digits}f}"


def _with_ends(line: Mapping[Any, Any], name: str, digits: int = 2, more: str = "") -> Number:
    value, text = _number(line[name], digits)
    return Number(value, text if text == "n/a" else f"{text} ({_ends(line, name, digits)}){more}")


def _names(names: Any) -> str:
    return ", ".join(map(str, names))


def figures(result: AuditResult) -> dict[str, AuditFigure]:
    """Return the figures of a result by name."""
    found = {"curve": _curve(result), "rows": _rows(result), "columns": _columns(result)}
    if len(result.subgroups):
        found["subgroups"] = _subgroups(result)
    if len(result.comparison):
        found["comparison"] = _comparison(result)
    if result.sources is not None:
        found["sources"] = result.sources.figure()
    return found


def _curve(result: AuditResult) -> AuditFigure:
    curves, k = result.curves, result.k
    names = {
        "random": ("random changes", "blue"),
        "papers": ("papers' attack", "amber"),
        "strongest": ("strongest attack", "attacked"),
        "certified": ("proven", "proven"),
    }
    series = [
        Series(label, color, curves[name].tolist())
        for name, (label, color) in names.items()
        if curves[name].notna().any()
    ]
    last = curves.iloc[-1]
    parts = [f"{label} {last[name]:.2f}" for name, (label, _) in names.items() if not math.isnan(last[name])]
    words = (
        f"Mean P@{k} over {int(last['n_rows']):,} rows against the share of the threat model that an attacker may use. "
        f"At the whole threat model: {', '.join(parts)}. The true figure lies between the proven one and that of the "
        "strongest attack."
    )
    title = f"How many of the top {k} reasons stay"
    return lines("curve", title, words, curves["share"].tolist(), series, "share of the threat model", f"P@{k}")


def _rows(result: AuditResult) -> AuditFigure:
    values, k = result.frame["precision_strongest"], result.k
    counts = [
        (f"{kept} of {k}", int((values.round(6) == round(kept / k, 6)).sum()), "proven" if kept == k else "attacked")
        for kept in range(k + 1)
    ]
    worst = int((values == values.min()).sum())
    words = (
        f"Rows by the number of reasons that withstand the strongest attack: {counts[-1][1]:,} of {len(values):,} keep "
        f"all {k}; {worst:,} keep {round(values.min() * k)}, the fewest."
    )
    return histogram("rows", "Rows by the reasons that stay", words, counts, "reasons that stay")


def _columns(result: AuditResult) -> AuditFigure:
    shown = result.columns[result.columns["n_reasons"] > 0].iloc[:_MOST_COLUMNS]
    entries = [
        (
            "",
            f"{shortened(str(line['column']), 20)} ({line['n_reasons']})",
            line["displaced"],
            line["displaced_low"],
            line["displaced_high"],
            "attacked" if line["displaced_low"] > 0.5 else "undecided" if line["displaced_low"] > 0.1 else "proven",
        )
        for _, line in shown.iterrows()
    ]
    first = shown.iloc[0] if len(shown) else None
    words = (
        "Share of the rows in which a column is a reason and the strongest attack displaces it, with 95 % intervals."
    )
    if first is not None:
        words += (
            f" The least stable is {first['column']}: {percent(first['displaced'])} of {first['n_reasons']:,} rows."
        )
    return intervals("columns", "Columns that lose their place as a reason", words, entries, "share displaced")


def _subgroups(result: AuditResult) -> AuditFigure:
    entries = [
        (
            line["group"],
            f"{shortened(line['level'], 20)} ({line['n_rows']})",
            line["precision_at_k"],
            line["precision_at_k_low"],
            line["precision_at_k_high"],
            "attacked" if line["gap_is_clear"] and line["gap"] < 0 else "blue",
        )
        for _, line in result.subgroups.iterrows()
    ]
    clear = [f"{line['group']} {line['level']}" for _, line in result.subgroups.iterrows() if line["gap_is_clear"]]
    words = f"Mean P@{result.k} under the strongest attack by subgroup, with 95 % intervals and numbers of rows. "
    words += f"Clear gaps: {', '.join(clear)}." if clear else "No gap is clear."
    return intervals("subgroups", "Stability by subgroup", words, entries, f"P@{result.k}, strongest attack")


def _comparison(result: AuditResult) -> AuditFigure:
    colors = ("ink", "blue", "amber")
    points = [
        (
            str(line["model"]),
            (line["roc_auc"], line["roc_auc_low"], line["roc_auc_high"]),
            (line["strongest"], line["strongest_low"], line["strongest_high"]),
            colors[place % 3],
        )
        for place, (_, line) in enumerate(result.comparison.iterrows())
    ]
    said = "; ".join(f"{name}: AUC {x[0]:.3f}, P@{result.k} {y[0]:.2f}" for name, x, y, _ in points)
    words = f"Area under the ROC curve and P@{result.k} under the strongest attack, with 95 % intervals. {said}."
    return scatter(
        "comparison", "Accuracy and stability beside simpler models", words, points, "ROC AUC", f"P@{result.k}"
    )


def _lead(result: AuditResult) -> list[Block]:
    values = result.summary.set_index("measure")["value"]
    strongest, proven = values["P@k, strongest attack"], values["P@k, proven"]
    text = (
        f"Of the top {result.k} reasons of a decision, {percent(strongest)} on average stay under the strongest "
        "admissible change that was found"
    )
    text += f"; {percent(proven)} provably stay under every admissible change." if not math.isnan(proven) else "."
    return [Text(text)]


def _summary(result: AuditResult) -> Table:
    rows: list[list[Cell]] = []
    for _, line in result.summary.iterrows():
        digits = 3 if "AUC" in line["measure"] else 2
        name = line["measure"].replace("P@k", f"P@{result.k}")
        value, text = _number(line["value"], digits)
        if not math.isnan(line["low"]):
            text += f" ({line['low']:.{digits}f} to {line['high']:.{digits}f})"
        rows.append([name, Number(value, text), line["meaning"]])
    return Table("Figures of the audited rows, with 95 % intervals", ["measure", "value", "meaning"], rows)


def _examples(result: AuditResult, of_columns: bool) -> Table:
    rows: list[list[Cell]] = []
    for _, line in result.examples.iterrows():
        if (line["column"] is not None and not _is_missing(line["column"])) != of_columns:
            continue
        cells: list[Cell] = [
            str(line["row"]),
            _number(line["precision_at_k"]),
            changes_in_words(line["changes"]),
            _names(line["left"]),
            _names(line["entered"]),
            f"{line['probability']:.2f} → {line['probability_adv']:.2f}",
        ]
        rows.append([str(line["column"]), *cells] if of_columns else cells)
    names = [
        "row",
        f"P@{result.k}",
        "change",
        "reasons that leave",
        "reasons that enter",
        "probability of the decision",
    ]
    what = "The least stable columns" if of_columns else "The least stable rows"
    caption = f"{what}, each with an admissible change that keeps the decision and displaces a reason"
    return Table(caption, ["column", *names] if of_columns else names, rows)


def _is_missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _column_table(result: AuditResult) -> Table:
    rows: list[list[Cell]] = [
        [
            str(line["column"]),
            Number(float(line["n_reasons"]), f"{line['n_reasons']:,}"),
            _with_ends(line, "displaced"),
            Number(float(line["n_entered"]), f"{line['n_entered']:,}"),
            _number(line["mean_rank"], 1),
        ]
        for _, line in result.columns.iterrows()
    ]
    names = ["column", "rows with this reason", "share displaced", "rows it enters", "mean rank"]
    return Table("Every column as a reason, with 95 % intervals", names, rows)


def _group_table(result: AuditResult) -> Table:
    with_auc = "roc_auc" in result.subgroups
    names = ["group", "level", "rows", f"P@{result.k}", f"P@{result.k} gap to the others"]
    names += ["ROC AUC", "AUC gap to the others"] if with_auc else []
    rows: list[list[Cell]] = []
    for _, line in result.subgroups.iterrows():
        cells: list[Cell] = [
            line["group"],
            line["level"],
            Number(float(line["n_rows"]), f"{line['n_rows']:,}"),
            _with_ends(line, "precision_at_k"),
            _with_ends(line, "gap", 2, ", clear" if line["gap_is_clear"] else ""),
        ]
        if with_auc:
            cells += [
                _with_ends(line, "roc_auc", 3),
                _with_ends(line, "auc_gap", 3, ", clear" if line["auc_gap_is_clear"] else ""),
            ]
        rows.append(cells)
    return Table("Stability and accuracy by subgroup, with 95 % intervals", names, rows, first_is_name=False)


def _model_table(result: AuditResult) -> Table:
    names = ["model", "ROC AUC", "random", "papers' attack", "strongest", "proven"]
    names += ["similarity of rows", "chance-corrected"]
    rows: list[list[Cell]] = [
        [
            str(line["model"]),
            _with_ends(line, "roc_auc", 3),
            _number(line["random"]),
            _number(line["papers"]),
            _with_ends(line, "strongest"),
            _number(line["certified"]),
            _number(line["between_rows"]),
            _number(line["corrected"]),
        ]
        for _, line in result.comparison.iterrows()
    ]
    return Table(f"P@{result.k} of three models on the same rows, with 95 % intervals", names, rows)


def _row_table(result: AuditResult) -> Table:
    frame = result.frame.assign(_place=range(len(result.frame)))
    worst = frame.sort_values(["precision_strongest", "precision_certified", "_place"], kind="stable")[:_MOST_ROWS]
    names = ["row", "decision", "probability", "reasons", "strongest", "proven", "status", "reasons that leave"]
    rows: list[list[Cell]] = [
        [
            str(label),
            str(line["predicted"]),
            _number(line["probability"]),
            _names(line["reasons"]),
            _number(line["precision_strongest"]),
            _number(line["precision_certified"]),
            line["status"],
            _names(line["left"]),
        ]
        for label, line in worst.iterrows()
    ]
    caption = f"The {len(rows)} least stable of {len(frame):,} audited rows" if len(frame) > len(rows) else "All rows"
    return Table(caption, names, rows)


def report(result: AuditResult) -> Document:
    """Return the report as data."""
    drawn = figures(result)
    warned: list[Block] = [Callout("warning", text) for text in result.warnings]
    parts = [
        Section("What to know first", warned or [Callout("good", "Nothing in this audit calls for a warning.")]),
        Section("Figures", [_summary(result), Picture(drawn["rows"])]),
        Section("Stability against the budget", [Text(drawn["curve"].description), Picture(drawn["curve"])]),
    ]
    weak: list[Block] = []
    if len(result.examples):
        weak.append(_examples(result, of_columns=False))
    else:
        weak.append(Callout("good", "No admissible change was found that displaces a reason of any audited row."))
    parts.append(Section("The least stable rows", weak))
    by_column: list[Block] = [Picture(drawn["columns"])]
    if len(result.examples):
        by_column.append(_examples(result, of_columns=True))
    parts.append(Section("The least stable columns", [*by_column, _column_table(result)]))
    if len(result.subgroups):
        parts.append(Section("Subgroups", [_about_groups(result), Picture(drawn["subgroups"]), _group_table(result)]))
    if len(result.comparison):
        won = " wins on these rows" in result.verdict
        verdict = Callout("warning" if won else "note", result.verdict)
        more: list[Block] = [
            Text(str(result.settings["comparison"])),
            Picture(drawn["comparison"]),
            _model_table(result),
        ]
        parts.append(Section("Beside simpler models", [verdict, *more]))
    if result.sources is not None:
        about = Text(
            "One source varies and the others stay as they are: the input, the seed and the rows of the training, the "
            "draws of the explainer, the baseline. What retraining changes no attacker is needed for."
        )
        parts.append(
            Section("Where instability comes from", [about, Picture(drawn["sources"]), result.sources.table()])
        )
    parts.append(Section("Audited rows", [_row_table(result)]))
    parts.append(Section("How it was done", _method(result)))
    footer = f"Made by robustxai {__version__} on {result.settings['made']}, in {result.settings['seconds']} seconds."
    return Document("Audit of explanations", _lead(result), parts, footer)


def _about_groups(result: AuditResult) -> Text:
    return Text(
        "A gap is the figure of a level minus that of all other rows of the same grouping. A gap is called clear where "
        "its interval lies on one side of 0 at the level at which all gaps of this table together are wrong once in "
        "twenty audits."
    )


def _method(result: AuditResult) -> list[Block]:
    shown = {name: value for name, value in result.settings.items() if isinstance(value, str)}
    shown.pop("made"), shown.pop("seconds")
    blocks: list[Block] = [Facts(list(shown.items()))]
    rules = result.settings.get("threat rules")
    if rules:
        names = ["column", "holds", "changes", "stays within"]
        blocks.append(Table("Admissible changes of a row", names, [list(rule) for rule in rules]))
    blocks.append(
        Text(
            f"P@{result.k} of a row is the share of its top {result.k} reasons that are still among the top "
            f"{result.k} after a change that leaves the decision as it is. What an attack finds is an upper bound of "
            "the worst case, a proof a lower bound."
        )
    )
    return blocks


def fragment(result: AuditResult) -> str:
    """Return what a notebook shows: warnings, figures, and the curve."""
    blocks: list[Block] = [
        *_lead(result),
        *(Callout("warning", text) for text in result.warnings),
        _summary(result),
        Picture(figures(result)["curve"]),
    ]
    return notebook(repr(result), blocks)
