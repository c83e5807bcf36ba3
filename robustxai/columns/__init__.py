"""Raw tables: which features a column of a user's table became, and how a row of it may change.

``column_map`` reads the first off a fitted pipeline; ``TableThreat`` says the second in the units of the columns, and
gives the sets of features that a change reaches, for attacks and certificates.
"""

from robustxai.columns._any_threat import ANY_THREAT_ARGUMENTS as ANY_THREAT_ARGUMENTS
from robustxai.columns._any_threat import as_any_threat as as_any_threat
from robustxai.columns._boxes import FeatureBox
from robustxai.columns._frame import in_kind_of as in_kind_of
from robustxai.columns._frame import raw_frame as raw_frame
from robustxai.columns._map import ColumnMap, column_map
from robustxai.columns._matched import check_table as check_table
from robustxai.columns._matched import map_of as map_of
from robustxai.columns._rows import Boxes as Boxes
from robustxai.columns._rows import Points as Points
from robustxai.columns._rows import TableRows as TableRows
from robustxai.columns._rows import first_of as first_of
from robustxai.columns._table_threat import Containment, TableThreat

__all__ = ["ColumnMap", "Containment", "FeatureBox", "TableThreat", "column_map"]
