"""Tables and figure of the two claims."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from robustxai._arguments import Table, checked
from robustxai._files import written_at_once
from robustxai._markdown import markdown_table

__all__ = ["claims_markdown", "save_figure"]

_COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:red")


@checked(table=Table(("claim", "data", "defense", "n_train", "thickness_train"), source="run_cells"))
def claims_markdown(table: pd.DataFrame) -> str:
    """Return two Markdown tables, means over seeds: steps until critical, and thickness by number of training rows."""
    numerical = table[table["claim"] == "numerical"]
    head = ["table", "defense", "AUC", "P@8", "rows that became critical", "mean steps", "mean thickness", "mean gap"]
    head += ["gamma-stability", "steps and thickness", "steps and gap"]
    body = []
    for (data, defense), rows in numerical.groupby(["data", "defense"], sort=False):
        names = ("precision_at_k", "critical")
        cells = [f"{rows['roc_auc'].mean():.3f}", *(f"{rows[name].mean():.3f}" for name in names)]
        cells += [f"{rows['mean_steps'].mean():.1f}", f"{rows['mean_thickness'].mean():.4f}"]
        cells += [f"{rows[name].mean():.2f}" for name in ("mean_gap", "mean_gamma_stability")]
        cells += [_with_sign(rows[f"spearman_{name}"]) for name in ("thickness", "gap")]
        body.append([str(data), str(defense), *cells])
    statistical = table[table["claim"] == "statistical"]
    sizes = sorted(statistical["n_train"].unique())
    other = []
    for (data, defense), rows in statistical.groupby(["data", "defense"], sort=False):
        means = rows.groupby("n_train")[["thickness_train", "thickness_test"]].mean()
        test, more = means["thickness_test"], means["thickness_train"] - means["thickness_test"]
        cells = [f"{test[n]:.4f} ({more[n]:+.4f})" if n in means.index else "-" for n in sizes]
        other.append([str(data), str(defense), *cells])
    second = markdown_table(["table", "defense", *(f"{n:,} rows" for n in sizes)], other)
    return f"{markdown_table(head, body)}\n\n{second}"


def _with_sign(values: pd.Series) -> str:
    return "-" if values.isna().all() else f"{values.mean():+.2f}"


def save_figure(numerical: pd.DataFrame, statistical: pd.DataFrame, path: Path) -> None:
    """Write a figure: steps until critical against thickness above, thickness of both parts against n below."""
    from matplotlib.figure import Figure

    tables = list(dict.fromkeys(numerical["data"]))
    figure = Figure(figsize=(4.2 * len(tables), 6.4), layout="constrained")
    axes = figure.subplots(2, len(tables), squeeze=False)
    for column, data in enumerate(tables):
        upper, lower = axes[:, column]
        for color, defense in zip(_COLORS, dict.fromkeys(numerical["defense"])):
            own = numerical[(numerical["data"] == data) & (numerical["defense"] == defense)]
            thickness = [value for values in own["thickness"] for value in values]
            steps = [value for values in own["first_critical"] for value in values]
            upper.plot(thickness, steps, ".", color=color, markersize=4, alpha=0.5, label=defense)
            rows = statistical[(statistical["data"] == data) & (statistical["defense"] == defense)]
            means = rows.groupby("n_train")[["thickness_train", "thickness_test"]].mean()
            lower.plot(means.index, means["thickness_test"], "o-", color=color, markersize=4, label=defense)
            lower.plot(means.index, means["thickness_train"], "o--", color=color, markersize=4, fillstyle="none")
        upper.set(title=data, xlabel="thickness", ylabel="steps until critical")
        lower.set(xlabel="training rows", ylabel="thickness (dashed: training rows)", xscale="log")
        lower.minorticks_off()
        sizes = sorted(statistical["n_train"].unique())
        lower.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes[0, 0].legend()
    with written_at_once(path) as file:
        figure.savefig(file, format="png", dpi=110)
