"""One port for everything: the dashboard, the native API and, later, other people's protocols."""

from bucle.doors.server.app import make_app
from bucle.doors.server.errors import ForeignPage, InternalFault, MethodNotAllowed, NoSuchPage, PortBusy, WrongHost
from bucle.doors.server.openapi import Problem, document
from bucle.doors.server.resources import API, RESOURCES, About, Resource
from bucle.doors.server.run import Background, listen, serve

__all__ = [
    "API",
    "RESOURCES",
    "About",
    "Background",
    "ForeignPage",
    "InternalFault",
    "MethodNotAllowed",
    "NoSuchPage",
    "PortBusy",
    "Problem",
    "Resource",
    "WrongHost",
    "document",
    "listen",
    "make_app",
    "serve",
]
