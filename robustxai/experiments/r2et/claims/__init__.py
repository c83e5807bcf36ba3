"""Two claims of the NeurIPS version of R2ET, measured: numerical and statistical stability.

``python -m robustxai.experiments.r2et.claims OUT`` writes OUT/r2et-claims.csv and OUT/r2et-claims.png, and prints the
tables. Finished cells are kept under OUT/cells. ``--seeds`` and ``--data`` select a part.
"""

from robustxai.experiments.r2et.claims._cells import (
    NumericalCell,
    StatisticalCell,
    run_numerical_cell,
    run_statistical_cell,
)
from robustxai.experiments.r2et.claims._tables import claims_markdown

__all__ = ["NumericalCell", "StatisticalCell", "claims_markdown", "run_numerical_cell", "run_statistical_cell"]
