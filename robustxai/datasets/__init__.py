"""Loaders of public tables, images and graphs, as in scikit-learn, a loader for any table, and preprocessing.

A loader searches the folder `data_home`, then the folder that the environment variable ``ROBUSTXAI_DATA`` names, then
the cache folder. Only then does it download.
"""

from robustxai.datasets._abide import load_abide
from robustxai.datasets._adult import load_adult
from robustxai.datasets._bank import load_bank
from robustxai.datasets._cifar10 import load_cifar10
from robustxai.datasets._compas import load_compas
from robustxai.datasets._fashion_mnist import load_fashion_mnist
from robustxai.datasets._gap_marks import GapMarks as GapMarks
from robustxai.datasets._mnist import load_mnist
from robustxai.datasets._new_rows import NewRows as NewRows
from robustxai.datasets._new_rows import Unknown as Unknown
from robustxai.datasets._new_rows import read_new_rows as read_new_rows
from robustxai.datasets._pair_folds import PairFold, pair_folds
from robustxai.datasets._pairs import Pairs, make_pairs
from robustxai.datasets._preparation import as_float32 as as_float32
from robustxai.datasets._preparation import as_text as as_text
from robustxai.datasets._preparation import make_preprocessor
from robustxai.datasets._schema import TableSchema as TableSchema
from robustxai.datasets._stored import stored_file as stored_file
from robustxai.datasets._table import load_table
from robustxai.datasets._table import text_table as text_table

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
]
