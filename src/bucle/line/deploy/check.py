"""Check: what must hold before traffic moves."""

from __future__ import annotations

from collections.abc import Sequence

from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.deploy.errors import BadShare, IncompatibleRequest, NotDeployable
from bucle.line.registry import ModelVersion
from bucle.line.serving import Arm

__all__ = ["check_request", "check_stage", "checked_share", "not_deployable"]


def checked_share(steps: Sequence[float], share: float | None) -> float:
    """The share to begin with. Raises: BadShare: the shares make no sense."""
    if any(not 0 < step <= 1 for step in steps) or list(steps) != sorted(set(steps)):
        raise BadShare(
            f"The steps {list(steps)} make no rollout.", why="They rise, each > 0 and <= 1.", fix="E.g. 0.05 0.25 0.5"
        )
    first = share if share is not None else (steps[0] if steps else 1.0)
    if not 0 < first <= 1:
        raise BadShare(f"A rollout cannot begin with a share of {first}.", fix="Choose more than 0 and at most 1.")
    return float(first)


def check_stage(version: ModelVersion) -> None:
    """Raises: NotDeployable: the version's stage keeps it from traffic. NotPackaged: nothing here can serve it."""
    registry.check_packaged(version)
    if version.stage not in registry.DEPLOYABLE:
        raise not_deployable(version)


def check_request(project: Project, champion: Arm, candidate: ModelVersion) -> None:
    """Clients go on sending what the champion wants; the candidate must be content. Raises: IncompatibleRequest."""
    sent = {field.name: field.type for field in registry.load_package(project, champion.package).request.inputs}
    for field in registry.load_package(project, candidate.digest).request.inputs:
        if sent.get(field.name) != field.type:
            has = f"as {sent[field.name]}" if field.name in sent else "not at all"
            raise IncompatibleRequest(
                f"{candidate.ref} wants {field.name!r} as {field.type}; clients of {champion.model}@{champion.version} "
                f"send it {has}.",
                why="A canary answers the champion's requests.",
                fix="Deploy it to an endpoint of its own, or all at once: --share 1",
                at=field.name,
            )


def not_deployable(version: ModelVersion) -> NotDeployable:
    """The version is in the wrong stage."""
    return NotDeployable(
        f"{version.ref} is {version.stage} and cannot get traffic.",
        why=f"Only versions that are {' or '.join(registry.DEPLOYABLE)} are deployable.",
        fix=f"See what it lacks: bucle gate show {version.model}@{version.version}",
    )
