"""What a table's rows look like: figures for every column, alerts, a page for people; equal rows give equal bytes."""

from bucle.line.profiles.alert import Alert
from bucle.line.profiles.comparison import ColumnChange, Comparison, compare
from bucle.line.profiles.measure import measure
from bucle.line.profiles.page import page
from bucle.line.profiles.profile import ColumnProfile, Correlation, TableProfile, ValueCount

__all__ = [
    "Alert",
    "ColumnChange",
    "ColumnProfile",
    "Comparison",
    "Correlation",
    "TableProfile",
    "ValueCount",
    "compare",
    "measure",
    "page",
]
