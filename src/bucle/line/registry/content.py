"""Content: what a version is bound to, as a digest, and the blobs it stands for.

The digest of a version is that of a small text which names every byte: a package's manifest, the tree of files
(path -> digest of the file), the description of a reference, or a prompt's text itself. But for prompts that text is a
blob too, so whoever has the digest has the content.
"""

from __future__ import annotations

from bucle.ground.core import Record, decode, digest_of, encode, make_ref, short
from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.errors import NoSuchPackage, NotPackaged
from bucle.line.registry.package import MANIFEST, Package, load_package
from bucle.line.registry.reference import Reference
from bucle.line.registry.version import Kind, ModelVersion

__all__ = [
    "Content",
    "TreeFile",
    "blobs_of",
    "check_packaged",
    "files_content",
    "files_of",
    "package_content",
    "package_of",
    "prompt_content",
    "reference_content",
    "tree",
]


class Content(Record, frozen=True):
    """What a version will be bound to.

    Attributes:
        kind: what it is.
        digest: its name.
        edges: source, target and kind of what it came from; an empty target is the version itself.
    """

    kind: Kind
    digest: str
    edges: tuple[tuple[str, str, str], ...] = ()


class TreeFile(Record, frozen=True):
    """A file of a version.

    Attributes:
        digest: of its blob.
        size_bytes: how long it is; None where nobody wrote it down.
    """

    digest: str
    size_bytes: int | None = None


def package_content(package: Package) -> Content:
    """An ONNX package."""
    packed = make_ref("package", package.digest)
    parts = tuple((make_ref("blob", digest), packed, "contains") for digest in package.files.values())
    views = tuple((make_ref("view", view), "", "uses") for view in package.features)
    return Content(kind="package", digest=package.digest, edges=((packed, "", "packaged"), *parts, *views))


def files_content(project: Project, owner: str, path: str = "") -> Content:
    """The files of a run or logged model as they are now: what becomes of them there does not change the version.

    The digest is the one `tracking.tree_digest` gives the folder.

    Args:
        owner: `run/ID`, `logged-model/m-…`.
        path: of a folder, or of one file; empty for everything.
    """
    with project.database.reading() as connection:
        files = store.artifact_files(connection, owner, path)
    digest = project.blobs.put(encode(sorted([name, size, blob] for name, (size, blob) in files.items())))
    packed = make_ref("tree", digest)
    parts = tuple((make_ref("blob", blob), packed, "contains") for blob in sorted({blob for _, blob in files.values()}))
    return Content(kind="files", digest=digest, edges=((packed, "", "packaged"), *parts))


def prompt_content(text: str) -> Content:
    """A prompt's text, which stands in a tag of its version."""
    return Content(kind="prompt", digest=digest_of(text.encode()))


def reference_content(project: Project, reference: Reference) -> Content:
    """A model that lives elsewhere."""
    return Content(kind="reference", digest=project.blobs.put(encode(reference)))


def package_of(project: Project, version: ModelVersion) -> Package:
    """The package of a version that can be served.

    Raises:
        NotPackaged: it is a version of another kind.
        NoSuchPackage: its manifest is gone.
    """
    return load_package(project, check_packaged(version).digest)


def check_packaged(version: ModelVersion) -> ModelVersion:
    """The version itself when it is a package.

    Raises:
        NotPackaged: it is a version of another kind.
    """
    if version.kind == "package":
        return version
    raise NotPackaged(
        f"{version.ref} is {_spoken(version.kind)}, not an ONNX package.",
        why="Only a package answers anywhere, without the libraries that made it.",
        fix="Convert the model to ONNX and register that: bucle model register MODEL FILE.onnx",
        at=version.ref,
    )


def files_of(project: Project, version: ModelVersion) -> dict[str, str]:
    """The files of a version, path -> digest; none for prompts and references.

    Raises:
        NoSuchPackage, BlobMissing: the list of them is gone.
    """
    return {path: file.digest for path, file in _files(project, version.kind, version.digest).items()}


def blobs_of(project: Project, version: ModelVersion) -> list[str]:
    """Every blob a version needs, the one that names the others last.

    Raises:
        NoSuchPackage, BlobMissing: the list of them is gone.
    """
    files = sorted(set(files_of(project, version).values()) - {version.digest})
    return files if version.kind == "prompt" else [*files, version.digest]


def tree(project: Project, digest: str) -> dict[str, TreeFile]:
    """The files of whatever version has this digest, by path.

    Raises:
        NoSuchPackage: no version has it, or it has no files.
    """
    with project.database.reading() as connection:
        kind = store.kind_of_digest(connection, digest)
    if kind in ("package", "files"):
        return _files(project, kind, digest)
    raise NoSuchPackage(
        f"No version here has the files {short(digest)}.",
        why="It was deleted, or belongs to another project.",
        fix="See the versions there are: bucle model versions",
        at=digest[:64],
    )


def _files(project: Project, kind: str, digest: str) -> dict[str, TreeFile]:
    if kind == "package":
        files = {**load_package(project, digest).files, MANIFEST: digest}
        return {path: TreeFile(digest=blob) for path, blob in files.items()}
    if kind == "files":
        listed = decode(project.blobs.get(digest), list[tuple[str, int, str]], what="tree of files")
        return {path: TreeFile(digest=blob, size_bytes=size) for path, size, blob in listed}
    return {}


def _spoken(kind: Kind) -> str:
    names = {"files": "a folder of files", "prompt": "a prompt", "reference": "a reference to a model elsewhere"}
    return names.get(kind, kind)
