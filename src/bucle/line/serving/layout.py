"""Layout: an endpoint's folder with one package in it, for a place that has no project."""

from __future__ import annotations

import contextlib
from pathlib import Path

from bucle.line import registry
from bucle.line.serving.route import CHAMPION, Arm, Routes, endpoint_folder, save_routes

__all__ = ["lay_out"]


def lay_out(package: Path, state: Path, *, name: str, version: int) -> Path:
    """The folder of an endpoint that serves one package to everybody; again over what is there keeps its log.

    Args:
        package: a staged package; it is linked to, not copied.
        state: where endpoints' folders are.
        name: of the model, and of the endpoint.
        version: of the model.
    Raises:
        NoSuchPackage, PackageDamaged: there is none, or it is not as it was made.
        BadName: the name cannot be a folder.
    """
    found = registry.read_package(package.resolve())
    folder = endpoint_folder(state.resolve(), name)
    link = folder / "packages" / found.digest
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        link.unlink()
    link.symlink_to(package.resolve(), target_is_directory=True)
    champion = Arm(name=CHAMPION, model=name, version=version, package=found.digest, share=1.0)
    save_routes(folder, Routes(endpoint=name, generation=1, salt=found.digest, arms=(champion,)))
    return folder
