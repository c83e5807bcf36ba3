"""Reasons for the decisions of a classifier in the columns, units and rows of a raw table, and how far they hold.

``explain_columns`` gives the contribution of every column; ``reasons`` ranks them, proves how far they stay among the
first, and shows the row of the table that displaces one.
"""

from robustxai.reasons._contributions import explain_columns
from robustxai.reasons._explained import ExplainedTable as ExplainedTable
from robustxai.reasons._reasons import reasons
from robustxai.reasons._result import Reasons

__all__ = ["Reasons", "explain_columns", "reasons"]
