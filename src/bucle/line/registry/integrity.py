"""Whether all that is registered is still here, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

from bucle.ground.core import BucleError, digest_of, short
from bucle.ground.ledger import Fault
from bucle.ground.project import Project
from bucle.line.registry.content import files_of
from bucle.line.registry.tag import PROMPT_TEXT
from bucle.line.registry.version import ModelVersion, versions

__all__ = ["verify_packages"]


def verify_packages(project: Project) -> list[Fault]:
    """What is missing or damaged among the content of registered versions; empty when all is well.

    Cost: reads every file of every version, a file that several have once.
    """
    checked = dict[str, str]()
    return [fault for version in versions(project) for fault in _faults(project, version, checked)]


def _faults(project: Project, version: ModelVersion, checked: dict[str, str]) -> Iterator[Fault]:
    if version.kind == "prompt":
        if digest_of(version.tags.get(PROMPT_TEXT, "").encode()) != version.digest:
            yield Fault(where=f"text of {version.ref}", what=f"is not the one with the digest {short(version.digest)}")
        return
    try:
        files = files_of(project, version) or {"description": version.digest}
    except BucleError as error:
        yield Fault(where=f"{version.kind} of {version.ref}", what=error.what)
        return
    for name, blob in files.items():
        problem = _problem(project, blob, checked)
        if problem:
            yield Fault(where=f"{name} of {version.ref}", what=problem)


def _problem(project: Project, blob: str, checked: dict[str, str]) -> str:
    """What is wrong with a blob; each is read once."""
    if blob not in checked:
        try:
            project.blobs.check(blob)
            checked[blob] = ""
        except BucleError as error:
            checked[blob] = error.what
    return checked[blob]
