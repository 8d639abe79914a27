"""Questions in SQL to tables at any commit, and the first rows of a table: read only, within limits."""

from bucle.line.query.answer import Answer, Limits
from bucle.line.query.errors import BadQuery, QueryNotAllowed, QueryTimeout, QueryTooLarge
from bucle.line.query.preview import Preview, preview
from bucle.line.query.run import Stream, sql, stream
from bucle.line.query.shown import shown, shown_columns, shown_diff

__all__ = [
    "Answer",
    "BadQuery",
    "Limits",
    "Preview",
    "QueryNotAllowed",
    "QueryTimeout",
    "QueryTooLarge",
    "Stream",
    "preview",
    "shown",
    "shown_columns",
    "shown_diff",
    "sql",
    "stream",
]
