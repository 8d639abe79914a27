"""Copying: a version becomes a version of another model, here or in another project, with the very same bytes."""

from __future__ import annotations

from bucle.ground.core import make_ref
from bucle.ground.project import Project
from bucle.ground.store import BlobCorrupt
from bucle.line.registry.content import Content, blobs_of
from bucle.line.registry.register import copy_into
from bucle.line.registry.version import ModelVersion, version

__all__ = ["copy_version"]


def copy_version(
    source: Project,
    model: str,
    version_or_alias: int | str,
    target: Project,
    as_name: str = "",
    *,
    actor: str = "",
    reason: str = "",
) -> ModelVersion:
    """Give another project, or another model of this one, a version with the same digest. Again: nothing happens.

    The blobs are read, checked and written over; description, tags and metrics go along, stage and aliases do not: the
    other project judges for itself. Both ledgers tell of it, the target's with the entry of the source's ledger.

    Args:
        as_name: the model's name there; the same unless given. It is made when it is not there.
        actor: who copies; the source project's actor unless given. Not the author of the version, who stays the same.
    Raises:
        NoSuchModel, NoSuchVersion: there is no such version.
        BlobMissing, BlobCorrupt: a byte of it is gone or damaged; nothing was registered.
    Cost: one read and, for what the target lacks, one write of every blob.
    """
    found, name, who = version(source, model, version_or_alias), as_name or model, actor or source.actor
    for digest in blobs_of(source, found):
        _carry(source, target, digest)
    here = source.root == target.root
    origin = found.ref if here else make_ref("project", source.name)
    content = Content(kind=found.kind, digest=found.digest, edges=((origin, "", "copied"),))
    entry = source.ledger.events(kinds=["registry.version_registered"], subject=found.ref, limit=1)
    told = {"project": source.name, "version": found.ref, "entry": entry[0].leaf if entry else ""}
    made = copy_into(target, name, found, content, actor=who, told=told, reason=reason)
    if not here:
        source.ledger.record(
            "registry.version_copied",
            subject=found.ref,
            actor=who,
            reason=reason,
            data={"project": target.name, "to": made.ref, "digest": found.digest},
        )
    return made


def _carry(source: Project, target: Project, digest: str) -> None:
    if target.blobs.has(digest):
        return
    if target.blobs.put_file(source.blobs.path(digest)) != digest:
        raise BlobCorrupt(f"Blob {digest[:12]} came out otherwise.", fix="Run `bucle audit verify` on both projects.")
