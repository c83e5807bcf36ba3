"""Evidence for ``max_epochs="auto"``: log loss and AUC against the number of epochs, on small and large tables.

``python -m robustxai.experiments.default_epochs OUT`` writes OUT/default-epochs.csv and OUT/default-epochs.png.
Finished cells are kept under OUT/cells. ``--seeds``, ``--data`` and ``--max-rows`` select a part.
"""

from robustxai.experiments.default_epochs._cell import EpochsCell, run_epochs_cell
from robustxai.experiments.default_epochs._tables import epochs_markdown

__all__ = ["EpochsCell", "epochs_markdown", "run_epochs_cell"]
