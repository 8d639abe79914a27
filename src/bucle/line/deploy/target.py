"""Target: where an endpoint runs. One protocol, one implementation for each kind of place."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line import registry, serving
from bucle.line.deploy.route import routes as desired_routes
from bucle.line.serving import Routes

__all__ = ["Applied", "LocalTarget", "Target", "apply"]


class Applied(Record, frozen=True):
    """What `apply` came to.

    Attributes:
        endpoint: which endpoint.
        generation: of the routes in force there.
        answering: whether a process answers by them; False when none runs.
        staged: digests of the packages that lie ready.
    """

    endpoint: str
    generation: int
    answering: bool
    staged: tuple[str, ...]


class Target(Protocol):
    """A place where an endpoint runs.

    Laws: `roll_to` may be called again after any crash and comes to the same; it never puts an older generation in
    force; when it returns `answering`, every request that comes after is answered by these routes or newer ones.
    """

    def roll_to(self, project: Project, routes: Routes) -> Applied:
        """Bring routes into force: packages first, then the routes, then wait until they answer."""
        ...


class LocalTarget:
    """This machine: files in the project's state, and a process that reads them.

    Args:
        start: start the endpoint's process when none runs.
        host: where it listens then.
        port: 0 lets the system choose.
        command: what to start instead of `python -m bucle.line.serving`.
        stay: whether a started process goes on when this one ends.
    """

    def __init__(
        self,
        *,
        start: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        command: Sequence[str] = (),
        stay: bool = True,
    ) -> None:
        self._start = start
        self._host = host
        self._port = port
        self._command = tuple(command)
        self._stay = stay

    def roll_to(self, project: Project, routes: Routes) -> Applied:
        """Bring routes into force here; see `Target.roll_to`.

        Raises:
            DiskFull, BlobCorrupt: the old routes stand.
            EndpointFailed: the process did not start, or cannot load them; it goes on with the old ones.
        """
        folder = serving.endpoint_folder(project.state, routes.endpoint)
        packages = sorted({arm.package for arm in (*routes.arms, *routes.shadows)})
        with _alone(folder):
            for digest in packages:
                registry.stage_package(project, digest, folder / "packages")
            generation = _write(folder, routes)
            answering = self._bring_into_force(project, routes.endpoint, generation)
            if answering and generation == routes.generation:
                _tidy(folder / "packages", packages)
        return Applied(endpoint=routes.endpoint, generation=generation, answering=answering, staged=tuple(packages))

    def _bring_into_force(self, project: Project, endpoint: str, generation: int) -> bool:
        process = serving.find_process(project.state, endpoint)
        if process is None and self._start:
            process = serving.start_process(
                project.root, endpoint, host=self._host, port=self._port, command=self._command, stay=self._stay
            )
        if process is None:
            return False
        told = serving.ask(process, "/bucle/reload")
        return bool(told["generation"] >= generation)


def apply(project: Project, endpoint: str, target: Target) -> Applied:
    """Make a place serve what the ledger says it should. Again, after a crash or for good measure, is free.

    Raises:
        NotFound: nothing was ever deployed to the endpoint.
        EndpointFailed: the place did not follow; it goes on with what it had.
    """
    return target.roll_to(project, desired_routes(project, endpoint))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One at a time for an endpoint; the kernel gives the lock back when its holder dies."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "apply.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(folder: Path, routes: Routes) -> int:
    """Write the routes unless newer ones stand there, and return the generation that stands there then."""
    try:
        standing = serving.load_routes(folder)
    except serving.NoRoutes:
        standing = None
    if standing is not None and (standing.generation > routes.generation or standing == routes):
        return standing.generation
    serving.save_routes(folder, routes)
    return routes.generation


def _tidy(packages: Path, wanted: Sequence[str]) -> None:
    """Remove packages that no route names any more; they are in the store if they are needed again."""
    for folder in packages.iterdir():
        if folder.name not in wanted:
            shutil.rmtree(folder, ignore_errors=True)
