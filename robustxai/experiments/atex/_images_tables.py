"""Tables 1 to 4 of the ATEX paper in Markdown: our results as mean ± s.d. over seeds, the paper's in brackets.

The paper's figures for ATEX stand in rows of their own, because our arm moves further across the explanation than along
it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from robustxai._arguments import Table, checked
from robustxai._markdown import markdown_table
from robustxai.experiments.atex._images import EPSILONS, IMAGE_ATTACKS
from robustxai.experiments.atex._images_models import SIZES, TOP_K

__all__ = ["PUBLISHED_IMAGES", "atex_images_markdown"]

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
#: Arms whose row in the paper is the same method, and place in a published pair.
_ARMS_OF_THE_PAPER = {"softplus": 1}
_ATEX = 0
#: Heading, start of the column's name, place in a published row.
_METRICS = (("rank corr.", "rank_correlation", 1), (f"top-{TOP_K}", "top_k_intersection", 2), ("SSIM", "ssim", None))
_REST = (
    ("B", "between_rows_precision"),
    ("COMP ↑", "comprehensiveness"),
    ("SUFF ↓", "sufficiency"),
    ("smooth", "smoothness"),
    ("smooth, own", "own_smoothness"),
)


@checked(results=Table(("data", "arm", "seed", "size", "part"), source="ATEXImages.run"))
def atex_images_markdown(results: pd.DataFrame) -> str:
    """Return the protocol and one Markdown table per data set, with one line per radius and arm.

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
    rest = [column for name, column in _REST if column in results]
    headings += [name for name, column in _REST if column in rest]
    parts = [_protocol(results)]
    for data, table in results.groupby("data", sort=False):
        parts += [f"## {data}", ""]
        lines = []
        for epsilon in EPSILONS:
            for arm, rows in table.groupby("arm", sort=False):
                label = "atex (ours)" if arm == "atex" else str(arm).replace("_", " ")
                lines.append([f"{epsilon:g}", label, *_line(str(data), epsilon, str(arm), rows, rest)])
                if arm == "atex" and data in PUBLISHED_IMAGES["untargeted"]:
                    lines.append([f"{epsilon:g}", "atex (paper)", *_paper_line(str(data), epsilon, len(rest))])
        parts += [markdown_table(headings, lines), ""]
    return "\n".join(parts)


def _protocol(results: pd.DataFrame) -> str:
    first = results.iloc[0]
    budget = SIZES[first["size"]]
    where = "test images" if first["part"] == "test" else "training images that were kept from training"
    return (
        f"Size {first['size']}: {budget.n_train:,} training images, {budget.max_epochs} passes. Plain (cross-entropy), "
        "ATEX (as in the paper, but with longer moves across the explanation than along it), ATEX code (the loss "
        f"of the published code) and R2ET continue from the softplus classifier for {budget.fine_tuning} passes "
        f"over {budget.n_tuned:,} of these images, both kinds of ATEX with {budget.n_across} copies at every "
        f"point. Values are mean ± s.d. over {results['seed'].nunique()} seeds of {first['n_rows']:,} {where}; the "
        f"accuracy is that of up to {budget.n_test:,}. The explanation is the gradient of the predicted class's "
        "logit. Attacks stay within epsilon in the l-infinity norm and within [0, 1], and keep the prediction. "
        f"Untargeted and targeted are the attacks of the paper (the clean top {TOP_K}; regions of 5 x 5 pixels) in "
        f"{budget.max_iter} equal steps, last iterate. Strongest is the lowest value, for every image and metric, "
        "of these two attacks and of the library's boundary margin and MSE attacks: judge an arm by it. Smooth is "
        'the SSIM of an explanation with the SmoothGrad map of the softplus classifier, "smooth, own" with that '
        "of the arm's own model. The paper's figures are in brackets; those of its ATEX, whose moves have one "
        "length, stand in rows of their own. Its code projects differently and updates the top set in every step, "
        "so that only differences between arms compare.\n"
    )


def _line(data: str, epsilon: float, arm: str, rows: pd.DataFrame, rest: list[str]) -> list[str]:
    place = _ARMS_OF_THE_PAPER.get(arm)
    cells = [_spread(rows["accuracy"])]
    for attack in IMAGE_ATTACKS:
        published = PUBLISHED_IMAGES.get(attack, {}).get(data, {}).get(epsilon)
        for _, metric, item in _METRICS:
            cell = _spread(rows[f"{metric}_{attack}_{epsilon:g}"])
            if published is not None and place is not None and item is not None:
                cell += f" ({_pair(published, item)[place]:.3f})"
            cells.append(cell)
    return cells + [_spread(rows[column]) for column in rest]


def _paper_line(data: str, epsilon: float, n_rest: int) -> list[str]:
    """Return the paper's figures for ATEX, and dashes."""
    cells = [f"({PUBLISHED_IMAGES['untargeted'][data][epsilon][0]:.3f})"]
    for attack in IMAGE_ATTACKS:
        published = PUBLISHED_IMAGES.get(attack, {}).get(data, {}).get(epsilon)
        for _, _, item in _METRICS:
            if published is None or item is None:
                cells.append("-")
            else:
                cells.append(f"({_pair(published, item)[_ATEX]:.3f})")
    return cells + ["-"] * n_rest


def _pair(published: _Published, item: int) -> tuple[float, float]:
    """Return the figures of ATEX and softplus: rank correlation (1) or top-k intersection (2)."""
    return published[1] if item == 1 else published[2]


def _spread(values: pd.Series) -> str:
    spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    return "-" if np.isnan(values.mean()) else f"{values.mean():.3f}{spread}"
