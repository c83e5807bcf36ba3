"""Real tables in scikit-learn's manner, a loader for one's own table, and the step that makes numbers of them.

Files are looked for in the `data_home` argument, then in the folder named by the environment variable
``ROBUSTXAI_DATA``, then in the cache folder; only then is a download tried.
"""

from robustxai.datasets._adult import load_adult
from robustxai.datasets._bank import load_bank
from robustxai.datasets._compas import load_compas
from robustxai.datasets._preparation import make_preprocessor
from robustxai.datasets._table import load_table

__all__ = ["load_adult", "load_bank", "load_compas", "load_table", "make_preprocessor"]
