"""Pictures of inputs and maps: images, pairs of images and adjacency matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robustxai.protocols import Ranking
from robustxai.ranking import as_tensor, unit_scores, unit_shape

__all__ = ["COLORS", "SMALL", "check_drawable", "draw_input", "draw_map", "is_table", "picture_shape", "size_note"]

#: Top sets that contain a unit -> color map of the unit; darker is more important.
COLORS = {"both": "Reds", "here": "Blues"}
#: Smallest mark as a share of the picture's longer side, so that marks are visible in large pictures.
_SMALLEST_MARK = 1 / 55

#: Maps below this largest magnitude have it in their title, because every picture fills its own scale.
SMALL = 1e-6


def size_note(attribution: np.ndarray) -> str:
    """Return a line for the title of a map that is tiny or zero; empty for all other maps."""
    largest = float(np.abs(attribution).max(initial=0.0))
    if largest == 0:
        return "\nall zero"
    return f"\nlargest magnitude {largest:.0e}" if largest < SMALL else ""


def is_table(feature_shape: Sequence[int]) -> bool:
    """Return whether samples of that shape are rows of a table."""
    return len(feature_shape) == 1


def check_drawable(feature_shape: Sequence[int]) -> None:
    """Raise unless samples of that shape can be drawn."""
    if not 1 <= len(feature_shape) <= 4 or (len(feature_shape) == 4 and feature_shape[0] != 2):
        raise ValueError(
            "Only tables (n, features), matrices (n, nodes, nodes), images (n, channels, height, width) and pairs of "
            f"images (n, 2, channels, height, width) can be drawn; got samples of shape {tuple(feature_shape)}."
        )


def picture_shape(feature_shape: Sequence[int]) -> tuple[int, int]:
    """Return height and width of the picture of such a sample."""
    *pair, height, width = unit_shape(feature_shape)
    return height, 2 * width + _gap(width) if pair else width


def draw_input(ax: Any, x: np.ndarray, others: np.ndarray) -> None:
    """Draw one input; `others` are all inputs on the same scale."""
    low, high = float(others.min()), float(others.max())
    if x.ndim == 2:  # color shows the sign of a weight
        limit = max(abs(low), abs(high)) or 1.0
        style = {"cmap": "RdBu_r", "vmin": -limit} if low < 0 else {"cmap": "Greys", "vmin": 0.0}
        ax.imshow(x, **style, vmax=limit, interpolation="nearest")
        return
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    picture = _beside(x)
    if len(picture) == 3:
        scaled = np.clip((np.moveaxis(picture, 0, -1) - low) / ((high - low) or 1.0), 0.0, 1.0)
        ax.imshow(np.where(np.isnan(scaled), 1.0, scaled), interpolation="nearest")
    else:
        ax.imshow(picture.mean(axis=0), cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    _separate(ax, x.shape)


def draw_map(
    ax: Any, attribution: np.ndarray, top: np.ndarray | None = None, kept: np.ndarray | None = None, *, ranking: Ranking
) -> None:
    """Draw one map: the scores of all units in gray, and the top set in color, darker for a higher rank.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes of the picture.
    attribution : ndarray of shape (*features,)
        The explanation.
    top : ndarray of int of shape (k,), optional
        Units to mark, highest first.
    kept : ndarray of bool of shape (k,), optional
        Units of `top` that are in the other top set too.
    ranking : {"magnitude", "signed"}
        What is ranked.
    """
    from matplotlib import colormaps
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    scores = unit_scores(as_tensor(attribution[None]), ranking)[0].numpy()
    largest = float(np.abs(scores).max())
    if 0 < largest < SMALL:  # shades are chosen in float32
        scores = scores / largest
    shape = unit_shape(attribution.shape)
    picture = _beside(scores.reshape(*shape[:-2], 1, *shape[-2:]))[0]
    low, high = (0.0 if ranking == "magnitude" else float(scores.min())), float(scores.max())
    if top is not None:  # unmarked units stay below half of the scale
        high = low + 2.0 * (float(scores[top[-1]]) - low)
    ax.imshow(picture, cmap="Greys", vmin=low, vmax=high if high > low else low + 1.0, interpolation="nearest")
    _separate(ax, attribution.shape)
    if top is None or kept is None:
        return
    *pair, rows, columns = np.unravel_index(top, shape)
    if pair:
        columns = columns + pair[0] * (shape[-1] + _gap(shape[-1]))
    side = max(1.0, _SMALLEST_MARK * max(picture.shape))
    depth = np.linspace(0.95, 0.5, len(top))
    for which, marked in (("both", kept), ("here", ~kept)):
        squares = [Rectangle((c - side / 2, r - side / 2), side, side) for r, c in zip(rows[marked], columns[marked])]
        colors = colormaps[COLORS[which]](depth[marked])
        ax.add_collection(PatchCollection(squares, facecolors=colors, linewidths=0, label=which), autolim=False)


def _beside(x: np.ndarray) -> np.ndarray:
    """Return (channels, height, width) of an image, or of both images of a pair side by side with a gap."""
    if x.ndim == 3:
        return x
    gap = np.full((*x.shape[1:-1], _gap(x.shape[-1])), np.nan)
    return np.concatenate([x[0], gap, x[1]], axis=-1)


def _separate(ax: Any, feature_shape: Sequence[int]) -> None:
    """Fill the gap between the images of a pair."""
    if len(feature_shape) == 4:
        width = feature_shape[-1]
        ax.axvspan(width - 0.5, width + _gap(width) - 0.5, color="0.75", linewidth=0)


def _gap(width: int) -> int:
    return max(1, round(0.08 * width))
