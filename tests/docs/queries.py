"""The questions that a page may ask the CSV files of docs/results: every name of this module may stand in a query.

A function returns the mean over seeds. Where an argument is a tuple of names it returns a list, one value for each.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from robustxai._statistics import nemenyi_difference
from robustxai.benchmark import compare_methods

# "as" keeps names that only pages use
from robustxai.experiments.r2et._methods import METHODS
from robustxai.experiments.r2et._published import PUBLISHED as PUBLISHED
from robustxai.experiments.r2et._tables import reference_aucs

RESULTS = Path(__file__).parents[2] / "docs" / "results"

TABLES = ("adult", "bank", "compas")
ALL_TABLES = (*TABLES, "breast_cancer")
#: The paper's baselines that are trained from random weights, and this library's forms of R2ET.
BASELINES = ("WD", "SP", "Est-H", "Exact-H", "SSR", "AT, normalized")
R2ET_FORMS = (
    *("R2ET\\H, normalized", "R2ET-mm\\H, normalized", "R2ET, normalized", "R2ET-mm, normalized"),
    "R2ET-d",
)

#: Short names of columns.
_COLUMNS = {
    "auc": "roc_auc",
    "worst": "precision_at_k",
    "auto": "precision_at_k_auto",
    "er": "precision_at_k_er",
    "mse": "precision_at_k_mse",
    "boundary": "precision_at_k_boundary",
    "overlap": "precision_at_k_overlap",
    "random": "precision_at_k_random",
    "er_paper": "precision_at_k_er_paper",
    "mse_paper": "precision_at_k_mse_paper",
    "comp": "comprehensiveness",
    "suff": "sufficiency",
    "dffot": "decision_flip_fraction",
}


@cache
def csv(name: str) -> pd.DataFrame:
    """A CSV of docs/results, by its name without the ending."""
    return pd.read_csv(RESULTS / f"{name}.csv", dtype={"norm": str})


def _chosen(name: str, where: dict[str, Any]) -> pd.Series:
    """True at the rows of a CSV whose columns have these values; an error where there are none."""
    table = csv(name)
    chosen = pd.Series(True, index=table.index)
    for column, value in where.items():
        chosen &= table[column] == value
    if not chosen.any():
        raise ValueError(f"{name}.csv has no row with {where}.")
    return chosen


def rows(name: str, /, **where: Any) -> pd.DataFrame:
    """The rows of a CSV whose columns have these values; an error where there are none."""
    return csv(name)[_chosen(name, where)]


def means(name: str, column: str, /, **where: Any) -> Any:
    """Mean of a column over the rows with these values; a list where a value is a tuple."""
    several = {key: value for key, value in where.items() if isinstance(value, tuple)}
    column = _COLUMNS.get(column, column) if column not in csv(name) else column
    found = [
        float(csv(name)[column][_chosen(name, {**where, **dict(zip(several, choice))})].mean())
        for choice in product(*several.values())
    ]
    return found if several else found[0]


def benchmark(column: str, data: Any, defense: Any) -> Any:
    """results.csv: every defense at its defaults."""
    return means("results", column, data=data, defense=defense)


def bracket(column: str, data: Any, defense: Any, epsilon: Any = 0.1) -> Any:
    """bracket.csv: proven and attacked P@k; AUC and faithfulness are the same at every epsilon."""
    return means("bracket", column, data=data, defense=defense, epsilon=epsilon)


def paper(column: str, data: Any, method: Any, choice: str = "precision") -> Any:
    """r2et-tests.csv: the R2ET paper's experiments, by the rule that chose the weights."""
    return means("r2et-tests", column, data=data, method=method, choice=choice)


def retrained(column: str, data: Any, method: Any) -> Any:
    """r2et-retrained.csv: methods that start from the fitted vanilla network."""
    return means("r2et-retrained", column, data=data, method=method)


def flips(column: str, data: Any, method: Any) -> Any:
    """r2et-figure-3.csv: correlations of the first flip."""
    return means("r2et-figure-3", column, data=data, method=method)


def performance(name: str) -> list[float]:
    """performance.csv: what a command of the performance suite measured on one machine, in the order of the file."""
    return rows("performance", name=name)["value"].tolist()


@cache
def _references(data: str) -> tuple[float, float]:
    """AUC of logistic regression and of the best unconstrained network."""
    return reference_aucs(rows("r2et-tests", data=data))


def merit(data: str, method: str, choice: str = "merit", source: str = "tests") -> float:
    """Share, in %, of the AUC between logistic regression and the best unconstrained network; nan below P@8 .95."""
    linear, best = _references(data)
    ask = (
        (lambda column: retrained(column, data, method))
        if source == "retrained"
        else (lambda column: paper(column, data, method, choice))
    )
    return 100 * (ask("auc") - linear) / (best - linear) if ask("worst") >= 0.95 else float("nan")


def best_merit(data: str, methods: tuple[str, ...], choice: str = "merit") -> float:
    """The largest share among methods that are stable on the test rows; nan where none is."""
    chosen = set(rows("r2et-tests", data=data, choice=choice)["method"])
    return float(np.nanmax([merit(data, method, choice) for method in methods if method in chosen]))


def of_the_gap(data: str, defense: str = "r2et") -> float:
    """Share, in %, of the AUC that Vanilla has above logistic regression which a defense keeps."""
    linear = benchmark("auc", data, "logistic_regression")
    return 100 * (benchmark("auc", data, defense) - linear) / (benchmark("auc", data, "vanilla") - linear)


def efficacy(column: str, data: Any, arm: Any, iterations: Any, epsilon: Any) -> Any:
    """atex-efficacy.csv, in %."""
    found = means("atex-efficacy", column, data=data, defense=arm, iterations=iterations, epsilon=epsilon)
    return [100 * value for value in found] if isinstance(found, list) else 100 * found


def gains(kind: str, data: str, arm: str, iterations: int, epsilon: float) -> pd.Series:
    """FGSM accuracy after adversarial training of a kind less that of iteration 0, in points, split by split."""
    column = f"fgsm_accuracy_{kind}"
    own = rows("atex-efficacy", data=data, defense=arm, iterations=iterations, epsilon=epsilon).set_index("seed")
    none = rows("atex-efficacy", data=data, defense="atex", iterations=0, epsilon=epsilon).set_index("seed")
    return 100 * (own[column] - none[column])


def flat(*values: Any) -> list[float]:
    """Numbers and lists of numbers as one list."""
    return [number for value in values for number in (value if isinstance(value, (list, tuple)) else [value])]


def span(*values: Any) -> list[float]:
    """Smallest and largest of numbers and lists of numbers, for "from a to b"."""
    numbers = flat(*values)
    return [min(numbers), max(numbers)]


def less(a: list[float], b: list[float]) -> list[float]:
    """Differences, item by item."""
    return [x - y for x, y in zip(a, b, strict=True)]


#: Short name -> column of results.csv.
_INDIVIDUALITY = {
    "between": "between_rows_precision",
    "sets": "distinct_top_k_sets",
    "commonest": "commonest_top_k_share",
}


def individuality(name: str, data: Any, defense: Any) -> Any:
    """How alike the top sets of different rows are: P@k between rows, number of sets, share of the commonest."""
    column = _INDIVIDUALITY[name]
    if isinstance(data, str) and isinstance(defense, str):  # NaN of what has no explanation
        table = csv("results")
        return float(table.loc[(table["data"] == data) & (table["defense"] == defense), column].mean())
    return means("results", column, data=data, defense=defense)


def linear(explainer: Any, data: Any) -> Any:
    """linear.csv: P@k of logistic regression under random directions."""
    return means("linear", "precision_at_k_random", data=data, explainer=explainer)


def datasets(name: str) -> float:
    """datasets.csv: how well a linear model does on a data set."""
    return float(rows("datasets", name=name)["value"].iloc[0])


def first(name: str, column: str, /, **where: Any) -> float:
    """The value of a column that is the same in all rows, such as the number of attacked rows."""
    (value,) = rows(name, **where)[column].unique()
    return float(value)


def seeds(name: str) -> int:
    """Number of seeds of a CSV."""
    return int(csv(name)["seed"].nunique())


#: Networks of the benchmark that train at their defaults.
NETWORKS = ("vanilla", "weight_decay", "softplus", "estimated_hessian", "r2et")


def most_stable(data: str) -> str:
    """The network with the highest worst P@k of the benchmark."""
    return max(NETWORKS, key=lambda defense: benchmark("worst", data, defense))


def certified_elsewhere(*but: tuple[str, str]) -> float:
    """Largest certified P@k of the benchmark's networks, these pairs of table and defense aside."""
    pairs = [(data, defense) for data in ALL_TABLES for defense in NETWORKS if (data, defense) not in but]
    return max(benchmark("certified_precision_at_k", data, defense) for data, defense in pairs)


#: Radii of the bracket, and its smooth networks without the estimated Hessian.
RADII = (0.05, 0.1, 0.25, 0.5, 1.0)
SMOOTH = ("softplus", "softplus_weight_decay", "r2et", "certified_r2et")


def both(data: str, defense: str, epsilon: float) -> list[float]:
    """Certified and attacked P@k of the bracket."""
    return [bracket("certified", data, defense, epsilon), bracket("attacked", data, defense, epsilon)]


def worth(data: str, defense: str) -> list[float]:
    """AUC and COMP of the bracket."""
    return [bracket("auc", data, defense), bracket("comp", data, defense)]


def known_span(values: list[float]) -> list[float]:
    """Smallest and largest of what is known."""
    return span([value for value in values if not np.isnan(value)])


def overstated(defense: str) -> list[float]:
    """By how many points of P@k the papers' attack is above the ensemble, from table to table, at 0.1 and at 0.5."""
    return flat(
        *(
            span([100 * (bracket("er_paper", d, defense, e) - bracket("attacked", d, defense, e)) for d in ALL_TABLES])
            for e in (0.1, 0.5)
        )
    )


def random_beats_paper(*defenses: str) -> list[float]:
    """In how many lines of the bracket random directions are below the papers' attack, and of how many."""
    table = csv("bracket")
    table = table[table["defense"].isin(defenses)]
    return [float((table["random"] < table["er_paper"]).sum()), float(len(table))]


def lead(defense: str, *data: str) -> list[float]:
    """AUC above logistic regression in the bracket."""
    return less(bracket("auc", data, defense), bracket("auc", data, "logistic_regression"))


def warned(about: str) -> pd.DataFrame:
    """Lines of the bracket whose ensemble warned about this."""
    texts = {"random": "andom", "prediction": "rediction"}
    return csv("bracket")[csv("bracket")["warning"].fillna("").str.contains(texts[about])]


#: Every method with rows in r2et-figure-3.csv.
FLIPPED = ("Vanilla", "WD", "SP", *BASELINES[2:], *R2ET_FORMS)


def best_published(data: str) -> float:
    """The highest P@k under ERAttack, in %, that the R2ET paper prints for models from random weights."""
    return max(figures[data][0] for figures in PUBLISHED[1].values())


def gap_of_auc(data: str) -> float:
    """AUC between logistic regression and the best unconstrained network of the R2ET paper's experiments."""
    tests = csv("r2et-tests")
    linear, best = reference_aucs(tests[tests["data"] == data])
    return best - linear


def stopped_at_once(data: str, method: str) -> int:
    """On how many splits the guard threw away every epoch of a retraining."""
    return int((rows("r2et-retrained", data=data, method=method)["kept_epochs"] == 0).sum())


#: Arms of atex-efficacy.csv that are ATEX, and the numbers of iterations.
ATEX_ARMS = ("atex", "atex_code")
ITERATIONS = (1, 2, 4, 8)
EFFICACY_ARMS = (*ATEX_ARMS, "plain", "adversarial")


def mean_gains(kind: str, data: Any, arm: Any, epsilon: float, iterations: tuple[int, ...] = ITERATIONS) -> list[float]:
    """Mean gains in FGSM accuracy, in points, of every table, arm and number of iterations."""
    tables = (data,) if isinstance(data, str) else data
    arms = (arm,) if isinstance(arm, str) else arm
    return [float(gains(kind, d, a, i, epsilon).mean()) for d, a, i in product(tables, arms, iterations)]


def stability_changes(data: str, arm: str, epsilon: float = 0.03) -> list[float]:
    """By how many points each number of iterations changes P@k, before adversarial training."""
    start = efficacy("precision_at_k", data, "atex", 0, epsilon)
    return [efficacy("precision_at_k", data, arm, i, epsilon) - start for i in ITERATIONS]


def majority(data: str) -> float:
    """Accuracy of a constant prediction, in %."""
    return 100 * float(rows("atex-efficacy", data=data).drop_duplicates("seed")["majority"].mean())


#: The row that the page of a reviewer's questions compares with.
R2ET_ROW = "R2ET, normalized"


def paired(column: str, method: str, data: Any = None, choice: str = "precision") -> list[float]:
    """Difference of a method from R2ET_ROW of r2et-tests.csv in points, and the ends of its interval."""
    cells = rows("r2et-tests", choice=choice, **({} if data is None else {"data": data}))
    frame = compare_methods(cells, R2ET_ROW, metric=_COLUMNS[column], by="method").set_index("method")
    return [100 * float(frame.loc[method, name]) for name in ("difference", "low", "high")]


def adjusted_p(column: str, defense: str) -> float:
    """p-value of a defense against r2et in results.csv, all tables pooled, with Holm's correction."""
    frame = compare_methods(csv("results"), "r2et", metric=_COLUMNS[column]).set_index("defense")
    return float(frame.loc[defense, "p_holm"])


def n_pairs(name: str) -> int:
    """Number of pairs of table and split of a CSV."""
    return len(csv(name)[["data", "seed"]].drop_duplicates())


def smallest_p(n: int) -> float:
    """Smallest two-sided p-value of a test by the signs of n differences."""
    return 2 / 2**n


def half_width(n: float) -> float:
    """Half the length of a corrected resampled interval from n splits of one table, in standard deviations."""
    quantile = t.ppf(0.975, n - 1) if np.isfinite(n) else norm.ppf(0.975)
    return float(quantile * np.sqrt(1 / n + 1 / 3))


def family(method: str) -> str:
    """The family of a row of the R2ET paper's experiments; a row alone is one."""
    return METHODS[method].family or method


def candidates(name: str) -> float:
    """Candidates of a family on one table, from random weights."""
    search = rows("r2et-search", seed=0)
    counts = search[search["method"].map(family) == name].groupby("data").size().unique()
    (count,) = counts
    return float(count)


def strength(column: str, data: Any, defense: Any) -> Any:
    """attack-strength.csv."""
    return means("attack-strength", column, data=data, defense=defense)


def strength_of(column: str, defense: str) -> list[float]:
    """A column of attack-strength.csv on every table that it has, in the order of the file."""
    return [strength(column, data, defense) for data in csv("attack-strength")["data"].unique()]


def table_difference(name: str) -> list[float]:
    """Critical difference of the methods of a CSV when only tables count, and their largest difference of ranks."""
    tests = rows(name, choice="precision")
    n_methods, n_tables = tests["method"].nunique(), tests["data"].nunique()
    return [nemenyi_difference(n_methods, n_tables), n_methods - 1.0]
