"""Published figures of the R2ET paper for images and graphs.

Chen et al., *Robust ranking explanations*, ICML workshop 2023, Tables 1 to 3: data set -> method -> figures. Exact-H
and SSR have none: the paper calls both too expensive here.
"""

from __future__ import annotations

from math import nan

__all__ = ["FIGURES", "PUBLISHED_SHAPES"]

#: Columns of the cells that the paper has figures for, in the order of ``PUBLISHED_SHAPES``: Table 1 has P@k in % under
#: ERAttack and under the MSE attack, Table 2 the thickness, Table 3 DFFOT, COMP and SUFF.
FIGURES = (
    "precision_at_k_er_paper",
    "precision_at_k_mse_paper",
    "thickness",
    "decision_flip_fraction",
    "comprehensiveness",
    "sufficiency",
)
_NONE = (nan, nan, nan, nan)

PUBLISHED_SHAPES: dict[str, dict[str, tuple[float, ...]]] = {
    "mnist": {
        "Vanilla": (59.0, 64.0, 0.9725, 0.37, 0.16, 0.23),
        "WD": (59.1, 64.8, 0.9732, 0.37, 0.16, 0.22),
        "SP": (62.9, 66.9, 0.9771, 0.38, 0.15, 0.22),
        "Est-H": (85.2, 90.2, 0.9948, 0.23, 0.24, 0.18),
        "AT": (56.0, 63.9, 0.9639, 0.40, 0.12, 0.28),
        "R2ET\\H": (82.8, 89.7, 0.9949, 0.23, 0.22, 0.19),
        "R2ET-mm\\H": (81.6, 89.7, 0.9942, 0.25, 0.22, 0.21),
        "R2ET": (85.7, 90.8, 0.9949, 0.18, 0.26, 0.23),
        "R2ET-mm": (85.3, 91.4, 0.9948, 0.19, 0.26, 0.22),
    },
    "cifar10": {
        "Vanilla": (66.5, 68.3, *_NONE),
        "WD": (64.2, 65.6, *_NONE),
        "SP": (67.2, 71.9, *_NONE),
        "Est-H": (77.1, 78.7, *_NONE),
        "AT": (61.6, 66.8, *_NONE),
        "R2ET\\H": (67.3, 72.2, *_NONE),
        "R2ET-mm\\H": (77.7, 79.4, *_NONE),
        "R2ET": (75.0, 77.4, *_NONE),
        "R2ET-mm": (78.0, 79.1, *_NONE),
    },
    "adhd": {
        "Vanilla": (45.5, 81.1, 0.9261, 0.51, 0.05, 0.28),
        "WD": (47.6, 79.4, 0.9343, 0.49, 0.06, 0.27),
        "SP": (42.5, 81.3, 0.9316, 0.30, 0.10, 0.34),
        "Est-H": (58.2, 83.7, 0.9578, 0.59, 0.04, 0.26),
        "AT": (59.4, 81.0, 0.9597, 0.35, 0.10, 0.26),
        "R2ET\\H": (60.7, 86.8, 0.9588, 0.38, 0.13, 0.37),
        "R2ET-mm\\H": (64.2, 88.8, 0.9622, 0.37, 0.17, 0.37),
        "R2ET": (71.6, 91.3, 0.9731, 0.48, 0.12, 0.26),
        "R2ET-mm": (58.8, 87.5, 0.9588, 0.50, 0.04, 0.25),
    },
    "bp": {
        "Vanilla": (69.4, 88.9, 0.9282, 0.40, 0.06, 0.29),
        "WD": (69.4, 88.6, 0.9298, 0.35, 0.05, 0.33),
        "SP": (68.7, 90.1, 0.9300, 0.38, 0.06, 0.30),
        "Est-H": (75.0, 91.4, 0.9356, 0.45, 0.05, 0.24),
        "AT": (72.0, 89.0, 0.9342, 0.46, 0.06, 0.25),
        "R2ET\\H": (70.9, 89.5, 0.9271, 0.43, 0.07, 0.29),
        "R2ET-mm\\H": (72.4, 91.0, 0.9342, 0.42, 0.07, 0.29),
        "R2ET": (71.5, 89.9, 0.9296, 0.42, 0.07, 0.29),
        "R2ET-mm": (73.8, 91.1, 0.9356, 0.45, 0.05, 0.29),
    },
}
