"""The generated tables of the pages: every public function here makes one, from the CSV files of docs/results."""

from __future__ import annotations

import pandas as pd

from robustxai._markdown import markdown_table
from robustxai.benchmark import (
    DEFENSES,
    compare_methods,
    comparisons,
    own_explainer,
    ranked_markdown,
    summarize,
    to_markdown,
)
from robustxai.experiments.atex import atex_images_markdown, atex_images_summary, efficacy_markdown
from robustxai.experiments.attack_strength import strength_markdown
from robustxai.experiments.bracket import bracket_markdown, bracket_summary
from robustxai.experiments.columns import columns_comparison, columns_markdown, columns_protocol
from robustxai.experiments.default_epochs import epochs_markdown
from robustxai.experiments.r2et import (
    Study,
    comparisons_markdown,
    paper_markdown,
    shapes_markdown,
    shapes_summary,
)
from robustxai.experiments.r2et.claims import claims_markdown
from robustxai.experiments.target import target_comparison, target_fits_markdown, target_markdown, target_protocol

from .queries import R2ET_ROW, TABLES, csv, family, individuality, rows
from .versions import version_line

#: Names of models of contributions of columns where they differ from those of the README.
COLUMNS_LABELS = {
    "vanilla": "Vanilla",
    "additive": "additive",
    "r2et": "R2ET, additive",
    "certified_r2et": "certified R2ET, additive",
}
#: Names of defenses in the README, in the order of its lines.
LABELS = {
    "logistic_regression": "logistic regression",
    "gradient_boosting": "gradient-boosted trees",
    "vanilla": "Vanilla (ReLU)",
    "weight_decay": "weight decay",
    "softplus": "Softplus",
    "softplus_weight_decay": "Softplus, weight decay",
    "estimated_hessian": "estimated Hessian",
    "r2et": "**R2ET** (library's form)",
    "r2et_eq6": "R2ET, Eq. 6",
    "r2et_eq6_no_hessian": "R2ET\\H, Eq. 6",
    "r2et_mm_eq6": "R2ET-mm, Eq. 6",
    "r2et_mm_eq6_no_hessian": "R2ET-mm\\H, Eq. 6",
    "certified_r2et": "**certified R2ET**",
}
_HEADINGS = {"adult": "Adult", "bank": "Bank", "compas": "COMPAS", "breast_cancer": "breast cancer"}


def readme_benchmark() -> str:
    """AUC, worst P@k and P@k between different rows on three tables."""
    means = summarize(csv("results"))
    headings = ["", *(cell for data in TABLES for cell in (_HEADINGS[data], "", ""))]
    lines = [["", *["AUC", "P@8", "between rows"] * len(TABLES)]]
    for defense in csv("results")["defense"].unique():
        line = [LABELS.get(defense, defense.replace("_", " "))]
        for data in TABLES:
            row = means.loc[(data, defense)]
            line += [_mean_and_sd(row["roc_auc"], 4), _mean_and_sd(row["precision_at_k"], 3)]
            line.append(_number(individuality("between", data, defense), 2))
        lines.append(line)
    return markdown_table(headings, lines)


def readme_bracket() -> str:
    """Certified and attacked P@k of a few networks on Adult."""
    shown = ("logistic_regression", "vanilla", "softplus", "softplus_weight_decay", "r2et", "certified_r2et")
    adult = csv("bracket")[csv("bracket")["data"] == "adult"]
    return bracket_summary(adult, {defense: LABELS[defense] for defense in shown})


def benchmark_page() -> str:
    """All metrics of every defense at its defaults."""
    return to_markdown(csv("results"))


#: What the table of all defenses says beside the columns of its cells: heading -> texts or numbers, indexed by (data,
#: explainer, training_explainer, defense). Tests of differences between defenses belong here.
ALL_DEFENSES_MORE: dict[str, pd.Series] = {}
#: Lines of the README's part of the table.
_TOP = 10


def all_defenses_protocol() -> str:
    """How the table of all defenses was made, as its rows say."""
    cells = csv("all-defenses")
    first = cells.iloc[0]
    splits = cells.groupby("data", sort=False)["seed"].nunique()
    tables = ", ".join(f"{_HEADINGS[str(data)]} ({n} split{'s' if n > 1 else ''})" for data, n in splits.items())
    explainers = ", ".join(str(name).replace("_", " ") for name in cells["explainer"].unique())
    attacks = ", ".join(str(first["attacks"]).split(","))
    limit = "all" if pd.isna(first["n_train"]) else f"at most {first['n_train']:,.0f}"
    return (
        f"{cells['defense'].nunique()} defenses; tables: {tables}; explanations: {explainers}; "
        f"training rows: {limit}; {first['n_rows']} test rows, attacked by {attacks} with at most "
        f"{first['max_iter']} iterations."
    )


def all_defenses_page() -> str:
    """Every defense, table by table and explanation by explanation, the most stable first."""
    return ranked_markdown(csv("all-defenses"), labels=LABELS, more=ALL_DEFENSES_MORE)


def all_defenses_comparison() -> str:
    """Paired differences from R2ET under each explanation, with tests."""
    found = "\n\n".join(comparisons(csv("all-defenses")))
    return found or "One split of one table has no paired tests."


def readme_all_defenses() -> str:
    """The most stable defenses, by P@k averaged over explanations and tables; each trained on its own explanation."""
    cells = csv("all-defenses").dropna(subset="precision_at_k")
    trained_on = cells["defense"].map({name: own_explainer(DEFENSES[name](8, 0)) for name in cells["defense"].unique()})
    own = cells[(cells["training_explainer"] == "none") | (cells["training_explainer"] == trained_on)]
    metrics = ["roc_auc", "precision_at_k", "between_rows_precision"]
    each = own.groupby(["defense", "explainer", "data"], sort=False)[metrics].mean()  # every table counts once
    means = each.groupby(["defense", "explainer"], sort=False).mean().unstack("explainer")
    order = means["precision_at_k"].mean(axis=1).sort_values(ascending=False, kind="stable").index[:_TOP]
    explainers = list(cells["explainer"].unique())
    headings = ["", "AUC", *(cell for name in explainers for cell in (f"P@8, {name.replace('_', ' ')}", "B"))]
    lines = []
    for defense in order:
        row = means.loc[defense]
        line = [LABELS.get(defense, defense.replace("_", " ")), _number(row["roc_auc"].mean(), 4)]
        for name in explainers:
            line += [_number(row["precision_at_k"][name], 3), _number(row["between_rows_precision"][name], 2)]
        lines.append(line)
    return markdown_table(headings, lines)


def default_epochs() -> str:
    """Log loss and AUC by number of epochs, beside logistic regression."""
    return epochs_markdown(csv("default-epochs"))


def bracket_page() -> str:
    """P@k and radii of the bracket."""
    return bracket_markdown(csv("bracket"))


def columns() -> str:
    """Contributions of raw columns: the protocol, a line per table and model, differences from logistic regression."""
    found = csv("columns")
    comparison = columns_comparison(found) or "Without logistic regression there are no paired differences."
    return "\n\n".join([columns_protocol(found), columns_markdown(found, {**LABELS, **COLUMNS_LABELS}), comparison])


def target() -> str:
    """Trainings to a target: the protocol, a line per table and model, and the fits together."""
    found = csv("target")
    return "\n\n".join([target_protocol(found), target_markdown(found), target_fits_markdown(found)])


def target_differences() -> str:
    """Trainings to a target: differences in AUC from the best network."""
    return target_comparison(csv("target")) or "Without the best network there are no paired differences."


def individuality_page() -> str:
    """How alike the explanations of different rows are."""
    headings, lines = ["data", "defense", "between rows", "distinct sets", "share of the commonest", "P@8 worst"], []
    for data, defense in csv("results")[["data", "defense"]].drop_duplicates().itertuples(index=False):
        values = [individuality(name, data, defense) for name in ("between", "sets", "commonest")]
        if not pd.isna(values[0]):
            worst = summarize(csv("results")).loc[(data, defense)]["precision_at_k"]["mean"]
            lines.append([data, defense, *(_number(v, d) for v, d in zip(values, (3, 0, 2))), _number(worst, 3)])
    return markdown_table(headings, lines)


def linear_page() -> str:
    """How stable a linear model is, by explanation and number of classes."""
    headings, lines = ["data", "classes", "explanation", "P@k under random directions"], []
    keys = ["data", "n_classes", "k", "explainer"]
    for (data, n_classes, k, explainer), own in csv("linear").groupby(keys, sort=False):
        value = own["precision_at_k_random"]
        text = f"P@{k} {value.mean():.3f} ± {value.std(ddof=1):.3f}"
        lines.append([data, str(n_classes), explainer.replace("_", " "), text])
    return markdown_table(headings, lines)


def r2et_page() -> str:
    """Tables 1 to 4, the figure of merit and the correlations of Figure 3."""
    return paper_markdown(_study())


def r2et_comparison_page() -> str:
    """Paired differences from R2ET, by both rules of choice."""
    return comparisons_markdown(_study())


def _study() -> Study:
    return Study(csv("r2et-search"), csv("r2et-tests"), csv("r2et-retrained"), csv("r2et-figure-3"))


def claims_page() -> str:
    """Steps until an attack is Pareto-critical, and thickness by number of training rows."""
    return claims_markdown(csv("r2et-claims"))


def shapes_page() -> str:
    """Pairs of digits, color images, pairs of connectomes."""
    return shapes_markdown(csv("r2et-shapes"))


def shapes_says() -> str:
    """What R2ET gains on each of them."""
    return shapes_summary(csv("r2et-shapes"))


def atex_images_says() -> str:
    """What ATEX gains on each data set, and Figure 2."""
    return atex_images_summary(csv("atex-images"))


def atex_figure_4_page() -> str:
    """Adversarial training of image classifiers after ATEX."""
    return efficacy_markdown(csv("atex-figure-4")).replace("## ", "### ")


def atex_images_page() -> str:
    """The protocol and the tables of the ATEX paper's images."""
    return atex_images_markdown(csv("atex-images"))


def atex_efficacy_page() -> str:
    """Adversarial training after ATEX."""
    return efficacy_markdown(csv("atex-efficacy")).replace("## ", "### ")


def attack_strength_page() -> str:
    """One search per pair against the ensemble."""
    return strength_markdown(csv("attack-strength"))


def budget_page() -> str:
    """Candidates from random weights of every family of the R2ET paper's experiments, on one table."""
    search = rows("r2et-search", seed=0)
    search = search[search["data"] == search["data"].iloc[0]]
    lines = []
    for name, own in search.groupby(search["method"].map(family), sort=False):
        forms = own["method"].nunique()
        lines.append([str(name), str(forms), str(len(own) // forms), str(len(own))])
    return markdown_table(["family", "rows in the tables", "candidates per row", "candidates"], lines)


def losses_page() -> str:
    """Stable methods that are above R2ET_ROW in P@8 or AUC, with the paired differences in points."""
    lines = []
    for data in TABLES:
        cells = rows("r2et-tests", choice="precision", data=data)
        parts = {
            metric: compare_methods(cells, R2ET_ROW, metric=metric, by="method").set_index("method")
            for metric in ("precision_at_k", "roc_auc")
        }
        for method in parts["roc_auc"].index:
            found = [frame.loc[method] for frame in parts.values()]
            stable = cells.loc[cells["method"] == method, "precision_at_k"].mean() >= 0.95
            if not method.startswith("R2ET") and stable and max(row["difference"] for row in found) > 0:
                texts = [_points(row, digits) for row, digits in zip(found, (1, 2))]
                lines.append([_HEADINGS[data], method, *texts])
    return markdown_table(["table", "method", "P@8, points", "AUC, points"], lines)


def version_benchmark() -> str:
    """First line of docs/results/README.md: the version and the day of its tables."""
    return version_line("results")


def version_all_defenses() -> str:
    """First line of all-defenses.md: the version and the day of its tables."""
    return version_line("all-defenses")


def version_default_epochs() -> str:
    """First line of default-epochs.md: the version and the day of its table."""
    return version_line("default-epochs")


def version_bracket() -> str:
    """First line of bracket.md: the version and the day of its tables."""
    return version_line("bracket")


def version_target() -> str:
    """First line of target.md: the version and the day of its tables."""
    return version_line("target")


def version_columns() -> str:
    """First line of columns.md: the version and the day of its tables."""
    return version_line("columns")


def version_r2et() -> str:
    """First line of r2et-paper.md: the version and the day of its tables."""
    return version_line("r2et-tests")


def version_claims() -> str:
    """First line of r2et-claims.md: the version and the day of its tables."""
    return version_line("r2et-claims")


def version_shapes() -> str:
    """First line of r2et-shapes.md: the version and the day of its tables."""
    return version_line("r2et-shapes")


def version_atex_images() -> str:
    """First line of atex-images.md: the version and the day of its tables."""
    return version_line("atex-images")


def version_atex_figure_4() -> str:
    """First line of Figure 4 in atex-images.md: the version and the day of its table."""
    return version_line("atex-figure-4")


def version_atex_efficacy() -> str:
    """First line of atex-efficacy.md: the version and the day of its tables."""
    return version_line("atex-efficacy")


def _mean_and_sd(values: pd.Series, digits: int) -> str:
    mean, sd = values["mean"], values["sd"]
    return "-" if pd.isna(mean) else f"{mean:.{digits}f} ± {sd:.{digits}f}"


def _points(row: pd.Series, digits: int) -> str:
    mean, low, high = (f"{round(100 * row[name], digits) + 0.0:+.{digits}f}" for name in ("difference", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _number(value: float, digits: int) -> str:
    return "-" if pd.isna(value) else f"{value:.{digits}f}"
