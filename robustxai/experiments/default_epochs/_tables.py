"""Table and figure of the evidence for ``max_epochs="auto"``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from robustxai._arguments import Table, checked
from robustxai._files import written_at_once
from robustxai._markdown import markdown_table
from robustxai.experiments.default_epochs._cell import CLASSIFIERS, SCHEDULES

__all__ = ["epochs_markdown", "save_figure"]


@checked(table=Table(("data", "n_train", "n_features", "defense", "schedule"), source="run_cells"))
def epochs_markdown(table: pd.DataFrame) -> str:
    """Return a Markdown table: logistic regression's log loss and AUC, and the differences of the others from them.

    One line per size, means over seeds. A star marks a default that warned in at least half of the seeds.
    """
    keys = ["data", "n_train", "n_features"]
    table = table.assign(n_features=table.groupby(["data", "n_train"])["n_features"].transform("max"))
    means = table.groupby([*keys, "defense", "schedule"], sort=False)[["log_loss", "roc_auc", "warned"]].mean()
    names = [(d, s) for d in CLASSIFIERS for s in SCHEDULES]
    header = ["table", "rows", "features", "logistic regression", *(f"{d}, {s}" for d, s in names)]
    body = []
    for key in dict.fromkeys(zip(*(table[k] for k in keys))):
        base = means.loc[(*key, "logistic_regression", "default")]
        cells = [str(k) for k in key] + [f"{base.log_loss:.3f} / {base.roc_auc:.3f}"]
        for name in names:
            own = means.loc[(*key, *name)] - base
            star = " *" if name[1] == "default" and own.warned >= 0.5 else ""
            cells.append(f"{own.log_loss:+.3f} / {100 * own.roc_auc:+.1f}{star}")
        body.append(cells)
    return markdown_table(header, body)


def save_figure(table: pd.DataFrame, path: Path) -> None:
    """Write a figure of log loss against epochs, one panel per size of training set."""
    from matplotlib.figure import Figure

    sizes = list(dict.fromkeys(zip(table["data"], table["n_train"])))
    n_columns = 5
    n_rows = -(-len(sizes) // n_columns)
    figure = Figure(figsize=(3.0 * n_columns, 2.5 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes[len(sizes) :]:
        ax.set_axis_off()
    for (data, n_train), ax in zip(sizes, axes):
        rows = table[(table["data"] == data) & (table["n_train"] == n_train)]
        base = rows[rows["defense"] == "logistic_regression"]["log_loss"].mean()
        ax.axhline(base, color="0.4", linestyle="--", label="logistic regression")
        for color, defense in zip(("tab:blue", "tab:orange"), CLASSIFIERS):
            own = rows[rows["defense"] == defense]
            curve = own[own["schedule"] != "default"].groupby("max_epochs")["log_loss"].mean()
            ax.plot(curve.index, curve, "o-", color=color, markersize=3, label=f"{defense}, fixed epochs")
            chosen = own[own["schedule"] == "default"]
            ax.plot(
                chosen["max_epochs"], chosen["log_loss"], "*", color=color, markersize=9, label=f"{defense}, default"
            )
        ax.set_title(f"{data}, {n_train:,} rows", fontsize=9)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.minorticks_off()
        epochs = sorted({*rows[rows["defense"] != "logistic_regression"]["max_epochs"]})
        ax.set_xticks([epochs[0], epochs[-1]], [str(epochs[0]), str(epochs[-1])])
        ticks = [base, rows["log_loss"].max()]
        ax.set_yticks(ticks, [f"{tick:.2f}" for tick in ticks])
    figure.supxlabel("epochs")
    figure.supylabel("log loss of test rows")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    with written_at_once(path) as file:
        figure.savefig(file, format="png", dpi=110)
