"""Real tables, images and graphs in scikit-learn's manner, a loader for one's own table, and what prepares them.

Files are looked for in the `data_home` argument, then in the folder named by the environment variable
``ROBUSTXAI_DATA``, then in the cache folder; only then is a download tried.
"""

from robustxai.datasets._abide import load_abide
from robustxai.datasets._adult import load_adult
from robustxai.datasets._bank import load_bank
from robustxai.datasets._cifar10 import load_cifar10
from robustxai.datasets._compas import load_compas
from robustxai.datasets._fashion_mnist import load_fashion_mnist
from robustxai.datasets._mnist import load_mnist
from robustxai.datasets._pair_folds import PairFold, pair_folds
from robustxai.datasets._pairs import Pairs, make_pairs
from robustxai.datasets._preparation import make_preprocessor
from robustxai.datasets._stored import stored_file
from robustxai.datasets._table import load_table

__all__ = [
    "PairFold",
    "Pairs",
    "load_abide",
    "load_adult",
    "load_bank",
    "load_cifar10",
    "load_compas",
    "load_fashion_mnist",
    "load_mnist",
    "load_table",
    "make_pairs",
    "make_preprocessor",
    "pair_folds",
    "stored_file",
]
