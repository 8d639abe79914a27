"""`/doctor`: is this installation sound?"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from functools import partial

from bucle.ground.core import BucleError, Record
from bucle.ground.project import Project
from bucle.ground.store import SCHEMA_VERSION
from bucle.line import contracts, deploy, features, serving
from bucle.loop import policy_of

__all__ = ["Doctor", "Finding", "doctor"]

LOW_BYTES = 1 << 30


class Finding(Record, frozen=True):
    """One thing that was looked at.

    Attributes:
        what: in English.
        state: `ok`, `attention` or `broken`.
        detail: what was found.
        fix: the command or line that mends it.
    """

    what: str
    state: str
    detail: str
    fix: str = ""


class Doctor(Record, frozen=True):
    """Everything that was looked at.

    Attributes:
        findings: in the order of the house.
    """

    findings: tuple[Finding, ...]


def doctor(project: Project) -> Doctor:
    """Look at the installation. Cost: no table and no blob is read."""
    return Doctor(
        findings=(
            Finding(what="Python", state="ok", detail=sys.version.split()[0]),
            _database(project),
            _disk(project),
            _tried("Modules", lambda: ", ".join(m.__name__ for m in project.modules()) or "none"),
            _tried("Feature views", lambda: ", ".join(features.views_of(project.modules())) or "none"),
            _tried("Contracts", lambda: ", ".join(contracts.of_project(project)) or "none"),
            *(_tried("Loop", partial(_loop, project, model)) for model in project.config.names("loop")),
            *(_endpoint(project, name) for name in deploy.endpoints(project)),
        )
    )


def _loop(project: Project, model: str) -> str:
    return f"{model}: {policy_of(project, model).pipeline}"


def _database(project: Project) -> Finding:
    version = project.database.schema_version()
    kind = project.database.engine.dialect.name
    if version == SCHEMA_VERSION:
        return Finding(what="Database", state="ok", detail=f"{kind}, schema {version}")
    return Finding(what="Database", state="broken", detail=f"{kind}, schema {version}", fix="bucle db upgrade")


def _disk(project: Project) -> Finding:
    free = shutil.disk_usage(project.state).free
    detail = f"{free / 1e9:.1f} GB free"
    if free > LOW_BYTES:
        return Finding(what="Disk", state="ok", detail=detail)
    return Finding(what="Disk", state="attention", detail=detail, fix="bucle data sweep")


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, state="ok", detail=look())
    except BucleError as error:
        return Finding(what=what, state="broken", detail=error.what, fix=error.fix)


def _endpoint(project: Project, name: str) -> Finding:
    process = serving.find_process(project.state, name)
    if process is not None:
        return Finding(what="Endpoint", state="ok", detail=f"{name}: {process.url}")
    return Finding(what="Endpoint", state="attention", detail=f"{name}: no process", fix=f"bucle serve {name}")
