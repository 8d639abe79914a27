"""The dashboard: server-rendered pages over the very records the stations return. It reads; it changes nothing."""

from bucle.doors.ui.language import LANGUAGES, choose, language
from bucle.doors.ui.pages import VIEWS
from bucle.doors.ui.parameters import BadParameter, Limit, Offset, Parameter, bind, parameters, result_type
from bucle.doors.ui.site import error_page, page_routes, show
from bucle.doors.ui.view import NoTable, View

__all__ = [
    "LANGUAGES",
    "VIEWS",
    "BadParameter",
    "Limit",
    "NoTable",
    "Offset",
    "Parameter",
    "View",
    "bind",
    "choose",
    "error_page",
    "language",
    "page_routes",
    "parameters",
    "result_type",
    "show",
]
