"""Package: a model with all that is needed to answer, under one digest, without a database and without pickle."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from bucle.ground.core import BadName, Record, check_name, decode, digest_of, encode, short, suggest, to_builtins
from bucle.ground.project import Project
from bucle.ground.store import BlobMissing, Blobs, write_atomically
from bucle.line.registry.errors import BadFeature, BadPackageFile, BadRequest, NoSuchPackage, PackageDamaged
from bucle.line.registry.graph import read_signature
from bucle.line.registry.signature import Field, Signature

__all__ = ["MANIFEST", "MODEL", "Package", "load_package", "pack", "read_package", "stage_package"]

MODEL = "model.onnx"
"""The file in a package that holds the ONNX model."""

MANIFEST = "manifest.json"
"""The file in a staged package that names all others; its digest is the package's."""


class Package(Record, frozen=True):
    """A model that can be served as it is.

    Attributes:
        digest: of the manifest, which is everything below; equal packages, equal digests.
        files: name -> blob digest: `model.onnx`, `profile.json`, …
        signature: what the ONNX model takes and gives.
        request: what a client sends; `signature.inputs` when there are no feature views.
        features: the feature views that add columns, pinned as `name@digest`.
        instant: the request column that says at which instant the prediction is made; empty means the server's clock.
        entity: the request column that says which row this is; empty when there is none.
        runtime: what runs the model.
    """

    digest: str
    files: dict[str, str]
    signature: Signature
    request: Signature
    features: tuple[str, ...] = ()
    instant: str = ""
    entity: str = ""
    runtime: Literal["onnx"] = "onnx"


def pack(
    project: Project,
    onnx: bytes,
    *,
    request: Signature | None = None,
    features: Iterable[str] = (),
    instant: str = "",
    entity: str = "",
    files: Mapping[str, bytes] | None = None,
) -> Package:
    """Make a package of an ONNX model. The same arguments give the same digest.

    Args:
        onnx: a serialized, self-contained model of standard operators.
        request: what a client sends, when that is not just the model's inputs; its outputs may be left out.
        features: pinned feature views, `name@digest`.
        instant: a column of `request` of type string or int.
        entity: a column of `request`.
        files: more files that travel along, e.g. `profile.json`.
    Raises:
        BadOnnx: the model cannot be served.
        BadRequest: `request` lacks what the model needs, or `instant` or `entity` is not in it.
        BadPackageFile: a file has a bad or reserved name, or is a pickle.
        BadFeature: a view is not pinned.
    Cost: one load of the model; one blob a file.
    """
    signature = read_signature(onnx)
    pinned = tuple(_pinned(view) for view in features)
    asked = _request(signature, request, needs_all=not pinned)
    for role, column in (("instant", instant), ("entity", entity)):
        _check_column(asked, column, role)
    extra = {_file_name(name, content): content for name, content in (files or {}).items()}
    manifest = {
        "files": {name: project.blobs.put(content) for name, content in {**extra, MODEL: onnx}.items()},
        "signature": to_builtins(signature),
        "request": to_builtins(asked),
        "features": pinned,
        "instant": instant,
        "entity": entity,
        "runtime": "onnx",
    }
    content = encode(manifest)
    project.blobs.put(content)
    return _package_of(content)


def load_package(project: Project, digest: str) -> Package:
    """The package of a digest.

    Raises:
        NoSuchPackage: there is none.
        BlobCorrupt: its manifest was damaged.
    """
    try:
        return _package_of(project.blobs.get(digest))
    except BlobMissing as error:
        raise NoSuchPackage(
            f"There is no package {short(digest)}.",
            why="It was never made here, or its blob was removed.",
            fix="Run `bucle audit verify`; make it again with `bucle run`.",
        ) from error


def stage_package(project: Project, digest: str, folder: Path) -> Path:
    """Write a package into `folder/<digest>`, for a server that has no database. Whole or not at all; again is free.

    Returns:
        The folder of the package, checked byte by byte.
    Raises:
        NoSuchPackage: there is none.
        BlobMissing, BlobCorrupt: one of its files is gone or damaged.
        DiskFull: nothing was written.
    """
    package = load_package(project, digest)
    target = folder / digest
    if _is_whole(target):
        return target
    fresh = folder / f"{digest}.{uuid.uuid4().hex[:8]}.partial"
    try:
        _write_files(project.blobs, package, fresh)
        _swap_in(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def read_package(folder: Path) -> Package:
    """A staged package, every byte checked; needs no project.

    Args:
        folder: what `stage_package` returned; its name is the package's digest.
    Raises:
        NoSuchPackage: there is none.
        PackageDamaged: a file is missing or has other bytes than the manifest says.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoSuchPackage(
            f"There is no package in {folder}.", why=f"It has no {MANIFEST}.", fix="Deploy the version again."
        ) from error
    if digest_of(content) != folder.name:
        raise _damaged(folder / MANIFEST)
    package = _package_of(content)
    for name, digest in package.files.items():
        file = folder / name
        if not file.is_file() or digest_of(file.read_bytes()) != digest:
            raise _damaged(file)
    return package


def _package_of(content: bytes) -> Package:
    manifest = decode(content, dict[str, Any], what="package manifest")
    return decode(encode({**manifest, "digest": digest_of(content)}), Package, what="package manifest")


def _write_files(blobs: Blobs, package: Package, folder: Path) -> None:
    for name, digest in package.files.items():
        write_atomically(folder / name, blobs.get(digest))
    write_atomically(folder / MANIFEST, blobs.get(package.digest))


def _swap_in(fresh: Path, target: Path) -> None:
    """Put a folder in its place; one that another process put there meanwhile is as good."""
    try:
        fresh.rename(target)
    except OSError:
        if _is_whole(target):
            return
        spoilt = target.with_name(f"{fresh.name}.spoilt")
        target.rename(spoilt)
        fresh.rename(target)
        shutil.rmtree(spoilt, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    try:
        read_package(folder)
    except (NoSuchPackage, PackageDamaged):
        return False
    return True


def _damaged(file: Path) -> PackageDamaged:
    return PackageDamaged(
        f"{file} has other bytes than its package says.",
        why="A disk fault or an edit by hand; its answers could not be trusted.",
        fix="Deploy the version again: it is written anew from the store.",
        at=str(file),
    )


def _request(signature: Signature, given: Signature | None, *, needs_all: bool) -> Signature:
    if given is None:
        return signature
    names = [field.name for field in given.inputs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadRequest(f"The request has {twice[0]!r} twice.", fix="Give each column once.", at=twice[0])
    for needed in signature.inputs:
        _check_input(needed, given, must_be_there=needs_all)
    return Signature(inputs=tuple(_completed(f, signature) for f in given.inputs), outputs=signature.outputs)


def _check_input(needed: Field, given: Signature, *, must_be_there: bool) -> None:
    found = given.input(needed.name)
    if found is None and must_be_there:
        raise BadRequest(
            f"The model takes {needed.name!r}, which the request does not have.",
            why="There is no feature view that could add it.",
            fix=suggest(needed.name, [f.name for f in given.inputs]) or f"Add {needed.name!r} to the request.",
            at=needed.name,
        )
    if found is not None and found.type != needed.type and {found.type, needed.type} != {"int", "float"}:
        raise BadRequest(
            f"The request sends {needed.name!r} as {found.type}, the model takes {needed.type}.",
            fix=f"Declare {needed.name!r} as {needed.type}.",
            at=needed.name,
        )


def _completed(field: Field, signature: Signature) -> Field:
    """A request field with the tensor's own dtype and shape where the model takes it directly."""
    taken = signature.input(field.name)
    if taken is None:
        return field
    return Field(name=field.name, type=field.type, nullable=field.nullable, dtype=taken.dtype, shape=taken.shape)


def _check_column(request: Signature, column: str, role: str) -> None:
    if not column:
        return
    field = request.input(column)
    if field is None:
        names = [f.name for f in request.inputs]
        raise BadRequest(
            f"The {role} column {column!r} is not in the request.",
            fix=suggest(column, names) or f"Choose one of {', '.join(names)}.",
            at=column,
        )
    if role == "instant" and field.type not in ("string", "int"):
        raise BadRequest(
            f"The instant column {column!r} is a {field.type}.",
            why="An instant is sent as ISO 8601 text, or as microseconds since 1970.",
            fix=f"Declare {column!r} as string or int.",
            at=column,
        )


def _pinned(view: str) -> str:
    name, at, digest = view.partition("@")
    try:
        return f"{check_name(name, 'feature view')}@{check_name(digest, 'digest')}"
    except BadName as error:
        raise BadFeature(
            f"The feature view {view!r} is not pinned." if not at else f"{view!r} names no feature view.",
            why="A view may change; a package answers the same for ever only with the digest it was trained with.",
            fix="Write name@digest, e.g. carrier_delay@4f1c….",
            at=view,
        ) from error


def _file_name(name: str, content: bytes) -> str:
    check_name(name, "file in a package")
    if name in (MODEL, MANIFEST):
        raise BadPackageFile(f"A package writes {name} itself.", fix="Choose another name.", at=name)
    if len(content) > 2 and content[0] == 0x80 and content[1] in range(2, 6) and content[-1:] == b".":
        raise BadPackageFile(
            f"{name} is a Python pickle.",
            why="Opening a pickle runs whatever code is in it, so none may reach a server.",
            fix="Write it as JSON, Arrow or ONNX.",
            at=name,
        )
    return name
