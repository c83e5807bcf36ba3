"""Tables 1 to 4 and Figure 2 of the ATEX paper in Markdown: our results as mean ± s.d. over seeds.

In brackets stand the paper's figure and the difference, ours minus the paper's.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from robustxai._arguments import Table, checked
from robustxai._markdown import markdown_table
from robustxai.experiments.atex._images import EPSILONS, IMAGE_ATTACKS
from robustxai.experiments.atex._images_models import OWN_EPSILON, TOP_K

__all__ = ["IMAGE_LABELS", "PUBLISHED_IMAGES", "atex_images_markdown", "atex_images_summary", "image_curves"]

_Published = tuple[float, tuple[float, float], tuple[float, float]]
#: Attack -> data set -> radius -> accuracy of ATEX, rank correlation (ATEX, softplus), top-k intersection (the same).
PUBLISHED_IMAGES: dict[str, dict[str, dict[float, _Published]]] = {
    "untargeted": {
        "fashion_mnist": {
            0.02: (0.884, (0.766, 0.708), (0.747, 0.674)),
            0.04: (0.878, (0.715, 0.622), (0.717, 0.574)),
            0.08: (0.870, (0.686, 0.536), (0.702, 0.484)),
        },
        "mnist": {
            0.02: (0.988, (0.864, 0.842), (0.760, 0.732)),
            0.04: (0.987, (0.825, 0.787), (0.744, 0.709)),
            0.08: (0.988, (0.783, 0.705), (0.808, 0.676)),
        },
    },
    "targeted": {
        "fashion_mnist": {
            0.02: (0.887, (0.746, 0.698), (0.717, 0.671)),
            0.04: (0.878, (0.708, 0.618), (0.681, 0.577)),
            0.08: (0.867, (0.710, 0.540), (0.667, 0.502)),
        },
        "mnist": {
            0.02: (0.987, (0.856, 0.842), (0.699, 0.732)),
            0.04: (0.988, (0.825, 0.784), (0.719, 0.708)),
            0.08: (0.987, (0.785, 0.708), (0.766, 0.678)),
        },
    },
}
#: Arm -> name of its rows. "ATEX" is the paper's, with Delta equal to the radius of the attack.
IMAGE_LABELS: dict[str, str] = {
    "logistic_regression": "logistic regression",
    "vanilla": "vanilla (ReLU)",
    "softplus": "softplus",
    "plain": "plain",
    **dict.fromkeys(OWN_EPSILON, "ATEX"),
    "atex_wider": "ATEX, wider",
    "atex_code": "ATEX, published code",
    "r2et": "R2ET, normalized",
}
#: Labels of rows that are methods of the paper -> place in a published pair.
_PLACES = {"ATEX": 0, "softplus": 1}
#: Heading, start of the column's name, place in a published row.
_METRICS = (("rank corr.", "rank_correlation", 1), (f"top-{TOP_K}", "top_k_intersection", 2), ("SSIM", "ssim", None))
_REST = (
    ("accuracy", "accuracy"),
    ("B", "between_rows_precision"),
    ("COMP ↑", "comprehensiveness"),
    ("SUFF ↓", "sufficiency"),
    ("Figure 2: SSIM, normal SmoothGrad", "smoothness"),
    ("SSIM, own SmoothGrad", "own_smoothness"),
)
_RESULTS = Table(("data", "arm", "seed", "size", "part"), source="ATEXImages.run")


@checked(results=_RESULTS)
def atex_images_markdown(results: pd.DataFrame) -> str:
    """Return the protocol and two Markdown tables per data set: a line per radius and arm, and a line per arm.

    Parameters
    ----------
    results : DataFrame
        Result of :meth:`ATEXImages.run`, of one size.

    Returns
    -------
    str
        Markdown.
    """
    headings = ["epsilon", "arm", "accuracy"]
    headings += [f"{attack}: {name}" for attack in IMAGE_ATTACKS for name, _, _ in _METRICS]
    # results of older versions have no B, the P@k between two different images
    rest = [(name, column) for name, column in _REST if column in results]
    parts = [_protocol(results)]
    for data, table in results.groupby("data", sort=False):
        lines = []
        for epsilon in EPSILONS:
            for arm, rows in table.groupby("arm", sort=False):
                if OWN_EPSILON.get(str(arm), epsilon) == epsilon:
                    label = IMAGE_LABELS.get(str(arm), str(arm))
                    lines.append([f"{epsilon:g}", label, *_line(str(data), epsilon, label, rows)])
            if not set(OWN_EPSILON) & set(table["arm"]) and data in PUBLISHED_IMAGES["untargeted"]:
                lines.append([f"{epsilon:g}", "ATEX (paper)", *_paper_line(str(data), epsilon)])
        without = [
            [_own_label(str(arm)), *(_spread(rows[column]) for _, column in rest)]
            for arm, rows in table.groupby("arm", sort=False)
        ]
        parts += [f"## {data}", "", markdown_table(headings, lines), "", f"### {data}, without an attack", ""]
        parts += [markdown_table(["arm", *(name for name, _ in rest)], without), ""]
    return "\n".join(parts)


@checked(results=_RESULTS)
def atex_images_summary(results: pd.DataFrame) -> str:
    """Return sentences for each data set: the gains of ATEX over softplus beside the paper's, and Figure 2."""
    lines = []
    for data, table in results.groupby("data", sort=False):
        means = table.groupby("arm", sort=False).mean(numeric_only=True)
        for arm in [*OWN_EPSILON, "atex_wider", "r2et"]:
            if arm in means.index and "softplus" in means.index:
                lines.append(_gain_sentence(str(data), arm, means))
        shown = [f"{_own_label(str(arm))} {value:.3f}" for arm, value in means["smoothness"].items()]
        lines.append(
            f"* **{data}, Figure 2.** SSIM of the gradient with the SmoothGrad map of the normal model (softplus): "
            f"{'; '.join(shown)}."
        )
    return "\n".join(lines)


@checked(results=Table(("arm", "seed"), source="ATEXImages.run"))
def image_curves(results: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return, by the name of the row, the top-k intersection under the strongest attack, shape (n_seeds, n_radii).

    The paper's ATEX has another model at every radius, and one curve.
    """
    columns = [f"top_k_intersection_strongest_{epsilon:g}" for epsilon in EPSILONS]
    labels = results["arm"].map(lambda arm: IMAGE_LABELS.get(arm, arm))
    curves = {
        str(label): rows.groupby("seed", sort=False)[columns].first().dropna().to_numpy()
        for label, rows in results.groupby(labels, sort=False)
    }
    return {label: curve for label, curve in curves.items() if len(curve)}


def _gain_sentence(data: str, arm: str, means: pd.DataFrame) -> str:
    epsilon = OWN_EPSILON.get(arm, EPSILONS[-1])
    own, softplus = means.loc[arm], means.loc["softplus"]
    gains = {
        attack: " / ".join(
            f"{own[name] - softplus[name]:+.3f}"
            for name in (f"{metric}_{attack}_{epsilon:g}" for _, metric, item in _METRICS if item is not None)
        )
        for attack in IMAGE_ATTACKS
    }
    text = f"* **{data}, {IMAGE_LABELS[arm]}, epsilon {epsilon:g}**, minus softplus (rank correlation / top-{TOP_K}): "
    text += ", ".join(f"{attack} {gain}" for attack, gain in gains.items())
    text += f"; accuracy {own['accuracy'] - softplus['accuracy']:+.3f}"
    if arm in OWN_EPSILON:
        printed = []
        for attack, sets in PUBLISHED_IMAGES.items():
            pairs = [_pair(sets[data][epsilon], item) for item in (1, 2)]
            printed.append(f"{attack} " + " / ".join(f"{ours - theirs:+.3f}" for ours, theirs in pairs))
        text += f". The paper prints {', '.join(printed)}"
    return text + "."


def _own_label(arm: str) -> str:
    """Return the name of an arm with its Delta, which tells the paper's ATEX of each radius apart."""
    label = IMAGE_LABELS.get(arm, arm)
    return f"{label}, Delta {OWN_EPSILON[arm]:g}" if arm in OWN_EPSILON else label


def _protocol(results: pd.DataFrame) -> str:
    first = results.iloc[0]
    numbers = f"Size {first['size']}. "
    if "n_train" in results:  # results of older versions do not have these columns
        numbers = (
            f"Size {first['size']}: {first['n_train']:,} training images, {first['max_epochs']} passes, and "
            f"{first['fine_tuning']} more over {first['n_tuned']:,} of these images for the arms that continue from "
            f"softplus; ATEX with {first['n_across']} copies at every point; attacks with {first['max_iter']} steps. "
        )
    where = "test images" if first["part"] == "test" else "training images that were kept from training"
    return (
        f"{numbers}Values are mean ± s.d. over {results['seed'].nunique()} seeds of {first['n_rows']:,} {where}; the "
        "accuracy is that of up to 10,000. In brackets: the paper's figure and the difference; for the accuracy of "
        "ATEX, those of its tables for untargeted and for targeted attacks.\n"
    )


def _line(data: str, epsilon: float, label: str, rows: pd.DataFrame) -> list[str]:
    place = _PLACES.get(label)
    accuracies = [sets[data][epsilon][0] for sets in PUBLISHED_IMAGES.values() if data in sets]
    cells = [_beside(rows["accuracy"], accuracies if label == "ATEX" else [])]
    for attack in IMAGE_ATTACKS:
        published = PUBLISHED_IMAGES.get(attack, {}).get(data, {}).get(epsilon)
        for _, metric, item in _METRICS:
            known = published is not None and place is not None and item is not None
            figures = [_pair(published, item)[place]] if known else []  # type: ignore[arg-type,index]
            cells.append(_beside(rows[f"{metric}_{attack}_{epsilon:g}"], figures))
    return cells


def _paper_line(data: str, epsilon: float) -> list[str]:
    """Return the paper's figures for ATEX, and dashes."""
    cells = ["(" + "; ".join(f"{sets[data][epsilon][0]:.3f}" for sets in PUBLISHED_IMAGES.values()) + ")"]
    for attack in IMAGE_ATTACKS:
        published = PUBLISHED_IMAGES.get(attack, {}).get(data, {}).get(epsilon)
        for _, _, item in _METRICS:
            none = published is None or item is None
            cells.append("-" if none else f"({_pair(published, item)[0]:.3f})")  # type: ignore[arg-type]
    return cells


def _pair(published: _Published, item: int) -> tuple[float, float]:
    """Return the figures of ATEX and softplus: rank correlation (1) or top-k intersection (2)."""
    return published[1] if item == 1 else published[2]


def _beside(values: pd.Series, published: list[float]) -> str:
    """Return our figure, with the paper's and the difference in brackets."""
    text = _spread(values)
    if not published or math.isnan(values.mean()):
        return text
    return f"{text} ({'; '.join(f'{figure:.3f}, {values.mean() - figure:+.3f}' for figure in published)})"


def _spread(values: pd.Series) -> str:
    spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    return "-" if np.isnan(values.mean()) else f"{values.mean():.3f}{spread}"
