"""Questions in SQL to tables at any commit, and the first rows of a table: read only, within limits."""

from bucle.line.query.answer import Answer, Limits
from bucle.line.query.apart import Apart, Reply, ask_apart
from bucle.line.query.define import define_view
from bucle.line.query.errors import BadQuery, QueryBusy, QueryNotAllowed, QueryTimeout, QueryTooLarge
from bucle.line.query.preview import Preview, preview
from bucle.line.query.run import Stream, sql, stream
from bucle.line.query.shown import shown, shown_columns, shown_diff
from bucle.line.query.wire import Asked

__all__ = [
    "Answer",
    "Apart",
    "Asked",
    "BadQuery",
    "Limits",
    "Preview",
    "QueryBusy",
    "QueryNotAllowed",
    "QueryTimeout",
    "QueryTooLarge",
    "Reply",
    "Stream",
    "ask_apart",
    "define_view",
    "preview",
    "shown",
    "shown_columns",
    "shown_diff",
    "sql",
    "stream",
]
