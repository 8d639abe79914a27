"""Whether every registered package is still here, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

from bucle.ground.core import BucleError
from bucle.ground.ledger import Fault
from bucle.ground.project import Project
from bucle.line.registry.package import load_package
from bucle.line.registry.version import versions

__all__ = ["verify_packages"]


def verify_packages(project: Project) -> list[Fault]:
    """What is missing or damaged among the files of registered versions; empty when all is well.

    Cost: reads every file of every package.
    """
    return [fault for version in versions(project) for fault in _faults(project, version.ref, version.digest)]


def _faults(project: Project, ref: str, digest: str) -> Iterator[Fault]:
    try:
        package = load_package(project, digest)
    except BucleError as error:
        yield Fault(where=f"package of {ref}", what=error.what)
        return
    for name, blob in package.files.items():
        try:
            project.blobs.path(blob)
        except BucleError as error:
            yield Fault(where=f"{name} of {ref}", what=error.what)
