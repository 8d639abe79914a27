"""Sources: what a client says a version is made of, found among what Bucle keeps.

`runs:/…`, `models:/…` and addresses of our own artifacts become the files as they are at that moment, under one digest.
Addresses of other stores are kept by reference, for the client to read; nothing on this machine can be named, and this
server fetches from none of them.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import msgspec

from bucle.doors.protocols.mlflow.errors import MlflowError, invalid
from bucle.doors.protocols.mlflow.locations import (
    OURS,
    check_location,
    model_root,
    owner_and_path,
    run_root,
    safe_path,
)
from bucle.ground.project import Project
from bucle.line import registry, tracking
from bucle.line.registry import Content, ModelVersion, Reference

__all__ = ["PROMPT_SOURCES", "Source", "prompt_source", "read_source"]

PROMPT_SOURCES = ("dummy-source", "prompt-template")
"""What MLflow's senders give as the source of a prompt, which has none."""

PROXY = "/api/2.0/mlflow-artifacts/artifacts/"


class Source(msgspec.Struct, frozen=True):
    """What a version will be made of.

    Attributes:
        uri: as the version shows it.
        content: what it is bound to.
        run_id: the run it came from, or empty.
        model_id: the logged model it came from, or empty.
        author: who made it, as far as the run knows.
        origin: the version it is a copy of.
    """

    uri: str
    content: Content
    run_id: str = ""
    model_id: str = ""
    author: str = ""
    origin: ModelVersion | None = None


def prompt_source(uri: str, text: str) -> Source:
    """The source of a prompt's version.

    Raises:
        MlflowError: the client names a real place, which nobody would ever read.
    """
    if uri not in PROMPT_SOURCES:
        raise invalid(f"Invalid prompt source: {uri[:200]!r}. The source of a prompt is {' or '.join(PROMPT_SOURCES)}.")
    return Source(uri=uri, content=registry.prompt_content(text))


def read_source(project: Project, uri: str, run_id: str, model_id: str) -> Source:
    """What a source stands for now.

    Args:
        uri: as the client gave it.
        run_id, model_id: what the client says it came from; empty when it says nothing.
    Raises:
        MlflowError: it leads to this machine's files, out of its root, or to another run or model than the client says.
        NotFound: it names a model, version or logged model that is not there.
    """
    check_location(uri, "model version source", by_name=True)
    parts, asked = urlsplit(uri), _Asked(uri=uri, run_id=run_id, model_id=model_id)
    if parts.scheme in ("runs", "models") and parts.netloc:
        raise invalid(f"Invalid model version source: {uri[:200]!r} must not name a host; it is looked up here.")
    if parts.scheme == "models":
        return _of_model(project, asked, unquote(parts.path).strip("/"))
    if parts.scheme == "runs":
        run, _, path = safe_path(parts.path.strip("/")).partition("/")
        return _of_owner(project, asked, f"run/{run}", path)
    proxied = _proxied(parts.scheme, parts.path)
    if proxied:
        owner, path = owner_and_path(proxied)
        return _of_owner(project, asked, owner, path)
    return _made(asked, _elsewhere(project, uri), run_id=run_id)


class _Asked(msgspec.Struct, frozen=True):
    """What the client says: an address, and what it came from; empty when it says nothing."""

    uri: str
    run_id: str
    model_id: str


def _of_owner(project: Project, asked: _Asked, owner: str, path: str) -> Source:
    kind, _, id_ = owner.partition("/")
    if kind == "logged-model":
        return _of_logged(project, asked, id_, path)
    if kind != "run":
        raise invalid(f"Invalid model version source: {asked.uri[:200]!r} is no run and no model.")
    if asked.run_id and asked.run_id != id_:
        raise _mismatch(asked, "run_id")
    try:
        run = tracking.run_by_id(project, id_)
    except tracking.NoSuchRun:
        # Clients register what a run of another server made; there is nothing here to bind the version to.
        return _made(asked, _elsewhere(project, asked.uri), run_id=id_)
    if _is_remote(run_root(project, run)):
        return _made(asked, _elsewhere(project, asked.uri), run_id=id_, author=run.actor)
    tracking.seal(project, [id_])
    return _made(asked, registry.files_content(project, owner, path), run_id=id_, author=run.actor)


def _of_logged(project: Project, asked: _Asked, id_: str, path: str) -> Source:
    if asked.model_id and asked.model_id != id_:
        raise _mismatch(asked, "model_id")
    model = tracking.logged_model(project, id_)
    run = asked.run_id or model.run_id
    if model.run_id:
        tracking.seal(project, [model.run_id])
    remote = _is_remote(model_root(project, model))
    content = _elsewhere(project, asked.uri) if remote else registry.files_content(project, model.ref, path)
    return _made(asked, content, run_id=run, model_id=id_, author=model.actor)


def _of_model(project: Project, asked: _Asked, path: str) -> Source:
    """`m-ID`, `NAME/VERSION`, `NAME@ALIAS`; of a version no single file can be taken."""
    head, _, rest = path.partition("/")
    if head.startswith("m-") and "@" not in head and not rest:
        return _of_logged(project, asked, head, "")
    name, at, alias = head.partition("@")
    found = registry.version(project, name, alias if at else _number_or_alias(rest))
    if found.kind == "prompt":
        raise invalid(f"Invalid model version source: {asked.uri[:200]!r}. A prompt is no source of a model.")
    if (asked.run_id and asked.run_id != found.run) or (asked.model_id and asked.model_id != found.model_id):
        raise invalid(
            f"Invalid model version source: {asked.uri[:200]!r}. The run_id and model_id request parameters must match "
            "the referenced model version."
        )
    return Source(
        uri=f"models:/{found.model}/{found.version}",
        content=Content(kind=found.kind, digest=found.digest, edges=((found.ref, "", "copied"),)),
        run_id=found.run,
        model_id=found.model_id,
        author=found.author,
        origin=found,
    )


def _made(asked: _Asked, content: Content, *, run_id: str, model_id: str = "", author: str = "") -> Source:
    return Source(uri=asked.uri, content=content, run_id=run_id, model_id=model_id or asked.model_id, author=author)


def _number_or_alias(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text or registry.LATEST


def _proxied(scheme: str, path: str) -> str:
    """The path within the artifact proxy that an address names; empty when it is another place."""
    if scheme == OURS:
        return path.strip("/")
    _, found, rest = path.partition(PROXY)
    return rest.strip("/") if found and scheme in ("http", "https") else ""


def _elsewhere(project: Project, uri: str) -> Content:
    return registry.reference_content(project, Reference(provider=urlsplit(uri).scheme, id=uri))


def _is_remote(root: str) -> bool:
    """Whether files lie in a store of others."""
    return urlsplit(root).scheme != OURS


def _mismatch(asked: _Asked, field: str) -> MlflowError:
    return invalid(
        f"Invalid model version source: {asked.uri[:200]!r}. The {field} request parameter must identify the "
        "resource that contains the source."
    )
