"""Image: a folder from which any container builder makes an image that serves one version, always the same one."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from bucle.ground.core import Environment, Record, decode, digest_of, digest_of_value, environment
from bucle.ground.ledger import AlreadyDone
from bucle.ground.project import Project
from bucle.line import registry, tracking
from bucle.line.deploy.errors import FolderTaken
from bucle.line.deploy.image_file import dockerfile, read_base
from bucle.line.deploy.image_lock import WHEELS, lock_of
from bucle.line.registry import ModelVersion, Package

__all__ = ["ImageContext", "trained_in", "write_image"]


class ImageContext(Record, frozen=True):
    """A build context as it was written.

    Attributes:
        version: the model's version it serves, e.g. `model/flights@3`.
        package: the digest of its package.
        base: the image it stands on.
        digest: of all files of the context by path; equal inputs, equal digests.
        files: path -> digest.
        packages: what the image installs, by name.
        port: it will listen on.
        views: feature views joined online; they need the project's folder at `/project`.
    """

    version: str
    package: str
    base: str
    digest: str
    files: dict[str, str]
    packages: dict[str, str]
    port: int
    views: tuple[str, ...] = ()


def trained_in(project: Project, version: ModelVersion) -> Environment | None:
    """The environment that the run behind a version recorded; None when there is no such run."""
    if not version.run:
        return None
    with contextlib.suppress(tracking.NoSuchRun):
        found = tracking.run_by_id(project, version.run)
        if found.environment:
            return decode(project.blobs.get(found.environment), Environment, what="environment")
    return None


def write_image(
    project: Project,
    version: ModelVersion,
    folder: Path,
    *,
    base: str,
    port: int = 8080,
    trained: Environment | None = None,
) -> ImageContext:
    """Write a build context: a Dockerfile, the package, a lock with hashes, and a wheel of Bucle where no index has it.

    Args:
        folder: a new one, or one that holds such a context already.
        base: `REPOSITORY[:TAG]@sha256:…`, an image with the Python of the environment, and pip.
        port: to listen on inside the container, 1024 to 65535.
        trained: the environment the version was made in; that of its run unless given, else of this process.
    Raises:
        BadBase: the base has no digest.
        NotPackaged: the version is no package.
        FolderTaken: the folder holds something else.
        NotLocked, NotBuilt, UvMissing: what is to be installed cannot be pinned.
    Cost: questions to the package index, and a build of Bucle's wheel when it runs from a folder.
    """
    stands_on = read_base(base)
    package = registry.package_of(project, version)
    _check_free(folder)
    where = trained or trained_in(project, version) or environment()
    lock, wheels = lock_of(where)
    text = dockerfile(
        stands_on,
        labels=_labels(project, version, package, base=base),
        python=".".join(where.python.split(".")[:2]),
        package=package.digest,
        model=version.ref.removeprefix("model/"),
        port=port,
        needs_project=bool(package.features),
    )
    files = {"Dockerfile": text.encode(), "requirements.lock": lock.encode()}
    # A folder that is copied must be there, also when an index has everything.
    files |= {f"{WHEELS}/{name}": content for name, content in wheels} or {f"{WHEELS}/none": b""}
    files |= _package_files(project, package)
    _write(folder, files, int(version.created_at.timestamp()))
    digests: dict[str, str] = {path: digest_of(content) for path, content in sorted(files.items())}
    made = ImageContext(
        version=version.ref,
        package=package.digest,
        base=base,
        digest=digest_of_value(digests),
        files=digests,
        packages=dict(re.findall(r"^([\w.-]+)(?:\[.*?\])?==([^\s;\\]+)", lock, flags=re.MULTILINE)),
        port=port,
        views=package.features,
    )
    _record(project, made)
    return made


def _record(project: Project, made: ImageContext) -> None:
    told = {"package": made.package, "context": made.digest, "base": made.base}
    with (
        contextlib.suppress(AlreadyDone),
        project.ledger.transaction(
            "deploy.image_written",
            subject=made.version,
            actor=project.actor,
            key=f"image/{made.version}/{made.digest}",
            data=told,
        ),
    ):
        pass


def _labels(project: Project, version: ModelVersion, package: Package, *, base: str) -> dict[str, str]:
    stands_on = read_base(base)
    name = version.ref.removeprefix("model/")
    labels = {
        "org.opencontainers.image.title": version.model,
        "org.opencontainers.image.version": str(version.version),
        "org.opencontainers.image.created": version.created_at.isoformat(),
        "org.opencontainers.image.description": version.description or f"Serves {name}",
        "org.opencontainers.image.base.name": stands_on.name,
        "org.opencontainers.image.base.digest": stands_on.digest,
        "bucle.model": version.ref,
        "bucle.package": package.digest,
        "bucle.commit": version.commit,
        "bucle.run": version.run,
    }
    if version.run:
        with contextlib.suppress(tracking.NoSuchRun):
            labels["org.opencontainers.image.revision"] = tracking.run_by_id(project, version.run).code_commit
    return {key: value for key, value in labels.items() if value}


def _package_files(project: Project, package: Package) -> dict[str, bytes]:
    inside = {name: project.blobs.get(digest) for name, digest in package.files.items()}
    inside[registry.MANIFEST] = project.blobs.get(package.digest)
    return {f"package/{package.digest}/{name}": content for name, content in inside.items()}


def _check_free(folder: Path) -> None:
    """Raises: FolderTaken: it holds what no context holds, so it may be somebody's work."""
    names = {one.name for one in folder.iterdir()} if folder.is_dir() else {"a file"} if folder.exists() else set()
    if (names and "Dockerfile" not in names) or names - {"Dockerfile", "requirements.lock", WHEELS, "package"}:
        raise FolderTaken(
            f"{folder} is not empty: it has {', '.join(sorted(names))}.",
            why="A build context holds nothing but what goes into the image.",
            fix="Name a new folder.",
            at=str(folder),
        )


def _write(folder: Path, files: Mapping[str, bytes], at: int) -> None:
    """Write files whose bytes, modes and instants are the same whoever writes them; what else was there goes."""
    for old in [*folder.rglob("*")]:
        if old.is_file() and old.relative_to(folder).as_posix() not in files:
            old.unlink()
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o644)
        os.utime(target, (at, at))
    for one in sorted((found for found in folder.rglob("*") if found.is_dir()), reverse=True):
        if not any(one.iterdir()):
            one.rmdir()
            continue
        one.chmod(0o755)
        os.utime(one, (at, at))
