"""Training to a target of stability: what it costs in AUC, beside the best networks of which no stability is asked.

``python -m robustxai.experiments.target OUT`` writes OUT/target.csv, OUT/target.md and a figure for each table and
explanation. Finished cells are kept under OUT/cells. ``--data``, ``--defenses``, ``--seeds`` and ``--n-rows`` select a
part.
"""

from robustxai.experiments.target._cell import MODELS, TargetCell, run_target_cell
from robustxai.experiments.target._study import TargetStudy
from robustxai.experiments.target._tables import (
    gain_kept,
    target_comparison,
    target_fits,
    target_fits_markdown,
    target_markdown,
    target_protocol,
)

__all__ = [
    "MODELS",
    "TargetCell",
    "TargetStudy",
    "gain_kept",
    "run_target_cell",
    "target_comparison",
    "target_fits",
    "target_fits_markdown",
    "target_markdown",
    "target_protocol",
]
