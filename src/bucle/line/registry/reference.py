"""Reference: a model that lives elsewhere, e.g. a foundation model of a provider, by name, version and licence."""

from __future__ import annotations

from bucle.ground.core import Record, decode
from bucle.ground.project import Project
from bucle.line.registry.errors import NotPackaged
from bucle.line.registry.version import ModelVersion

__all__ = ["Reference", "reference"]


class Reference(Record, frozen=True):
    """What is known of a model whose bytes are not here; its digest is that of this record.

    Attributes:
        provider: who offers it, e.g. `huggingface`, or the scheme of an address, e.g. `s3`.
        id: how it is called there.
        version: the revision, snapshot or date that pins it; empty when the provider pins nothing.
        licence: under which it may be used, an SPDX identifier where there is one.
        hash: of its weights when they were seen, e.g. `sha256:…`.
    """

    provider: str
    id: str
    version: str = ""
    licence: str = ""
    hash: str = ""


def reference(project: Project, version: ModelVersion) -> Reference:
    """What a version of kind `reference` refers to.

    Raises:
        NotPackaged: it is a version of another kind.
        BlobMissing, BlobCorrupt: the record is gone.
    """
    if version.kind != "reference":
        raise NotPackaged(
            f"{version.ref} is no reference but {version.kind}.",
            why="Its content is in this project.",
            fix=f"See: bucle model show {version.model}@{version.version}",
        )
    return decode(project.blobs.get(version.digest), Reference, what="reference")
