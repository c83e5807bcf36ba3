"""Attack strength: one search per pair of units against the ensemble, on the same models and rows.

``python -m robustxai.experiments.attack_strength OUT`` writes OUT/attack-strength.csv and prints the table. Finished
cells are kept under OUT/cells. ``--data``, ``--defenses`` and ``--seeds`` select a part.
"""

from robustxai.experiments.attack_strength._cell import StrengthCell, run_strength_cell
from robustxai.experiments.attack_strength._tables import strength_markdown

__all__ = ["StrengthCell", "run_strength_cell", "strength_markdown"]
