"""`bucle doctor`: is this installation sound?"""

from __future__ import annotations

import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb
from bucle.ground.core import BucleError, Record

__all__ = ["VERBS", "Health"]

LOW_BYTES = 1 << 30
OLDEST = (3, 11)
WORKSHOP = ("test", "dev")
"""Extras that only those who work on Bucle need."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Health(Record, frozen=True):
    """One thing that was looked at.

    Attributes:
        what: that thing.
        state: `ok`, `broken`, or `absent` for something optional.
        detail: what was found.
        fix: the command that mends it.
    """

    what: str
    state: str
    detail: str
    fix: str = ""


def _run(options: Namespace, terminal: Terminal) -> int:
    found = [_python(), *_packages(), *_programs(), _disk(Path.cwd()), *_project(terminal)]
    terminal.show(found, ("what", "state", "detail", "fix"))
    broken = [one for one in found if one.state == "broken"]
    terminal.say(f"{len(broken)} of {len(found)} are broken." if broken else "All is well.")
    return FOUND if broken else 0


def _python() -> Health:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= OLDEST:
        return Health(what="python", state="ok", detail=version)
    return Health(what="python", state="broken", detail=version, fix="Install Python 3.11 or newer.")


def _packages() -> Iterator[Health]:
    """Every package that Bucle declares, with what its declaration wants of it."""
    import re
    from importlib import metadata

    for line in metadata.requires("bucle") or ():
        name = (re.match(r"[A-Za-z0-9._-]+", line) or [""])[0]
        extra = re.search(r"""extra == ['"](\w+)""", line)
        if name in ("", "bucle") or (extra and extra[1] in WORKSHOP) or ("win32" in line and sys.platform == "win32"):
            continue
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            wanted = line.partition(";")[0].strip()
            state = "absent" if extra else "broken"
            yield Health(what=name, state=state, detail="not installed", fix=f"pip install '{wanted}'")
            continue
        yield _fits(name, version, line.partition(";")[0].strip())


def _fits(name: str, version: str, wanted: str) -> Health:
    from importlib.util import find_spec

    if find_spec("packaging") is None:
        return Health(what=name, state="ok", detail=version)
    from packaging.requirements import Requirement

    if Requirement(wanted).specifier.contains(version, prereleases=True):
        return Health(what=name, state="ok", detail=version)
    return Health(what=name, state="broken", detail=f"{version}, wanted {wanted}", fix=f"pip install '{wanted}'")


def _programs() -> Iterator[Health]:
    """Programs outside Python; each is optional."""
    git = shutil.which("git")
    missing = "not found; runs are kept without their git commit"
    yield Health(
        what="git", state="ok" if git else "absent", detail=git or missing, fix="" if git else "apt install git"
    )
    found = next((path for name in BROWSERS if (path := shutil.which(name))), "")
    missing = "not found; only the tests of the dashboard want it"
    fix = "" if found else "apt install chromium"
    yield Health(what="chromium", state="ok" if found else "absent", detail=found or missing, fix=fix)


def _disk(folder: Path) -> Health:
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB free at {folder}"
    if free > LOW_BYTES:
        return Health(what="disk", state="ok", detail=detail)
    return Health(what="disk", state="broken", detail=detail, fix="Make room, or: bucle data sweep")


def _project(terminal: Terminal) -> Iterator[Health]:
    """The project's folder, database and settings; nothing of it outside a project."""
    from bucle.doors.cli.config import tried
    from bucle.ground.core import NotFound

    try:
        root = terminal.root()
    except NotFound:
        yield Health(what="project", state="absent", detail="none here or above", fix="bucle init")
        return
    try:
        with terminal.project() as project:
            yield Health(what="project", state="ok", detail=f"{project.name} at {root}")
            kind, version = project.database.engine.dialect.name, project.database.schema_version()
            yield Health(
                what="database", state="ok", detail=f"{kind}, schema {version}, {project.ledger.size()} events"
            )
            modules = tried("modules", lambda: ", ".join(module.__name__ for module in project.modules()) or "none")
            state = "ok" if modules.passed else "broken"
            yield Health(what="modules", state=state, detail=modules.detail, fix=modules.fix)
    except BucleError as error:
        yield Health(what="project", state="broken", detail=error.what, fix=error.fix)


VERBS: tuple[Verb, ...] = (
    Verb("", "is this installation sound? exit status 7 when it is not", _run, example="bucle doctor"),
)
