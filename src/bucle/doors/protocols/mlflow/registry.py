"""Registered models, their versions, aliases, stages and prompts.

MLflow's stages are Bucle's: `None` is registered, `Staging` validated, `Production` production, `Archived` archived. A
rejected version shows as `Archived`, and its status message says that it was rejected. A call that a model's policy
guards goes through `loop.promotion` and is refused with what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from bucle import loop
from bucle.doors.protocols.mlflow.artifacts import sent_file
from bucle.doors.protocols.mlflow.errors import invalid
from bucle.doors.protocols.mlflow.experiments import check_page_size
from bucle.doors.protocols.mlflow.locations import model_root, run_root, safe_path
from bucle.doors.protocols.mlflow.sources import Source, prompt_source, read_source
from bucle.doors.protocols.mlflow.trees import file_of, tree_root
from bucle.doors.protocols.mlflow.wire import Answer, Body, Call, Json, KeyValue, Route, lean, millis, pairs, required
from bucle.ground.core import decode
from bucle.ground.project import Project
from bucle.line import registry, tracking
from bucle.line.registry import Model, ModelVersion, Stage

__all__ = ["ROUTES", "shown_model", "shown_version"]

STAGES: dict[Stage, str] = {
    "registered": "None",
    "validated": "Staging",
    "production": "Production",
    "archived": "Archived",
    "rejected": "Archived",
}
_OF_WIRE: dict[str, Stage] = {"none": "registered", "staging": "validated", "production": "production",
                              "archived": "archived"}  # fmt: skip
ACTIVE = ("validated", "production")
STATUSES = {"READY": "READY", "PENDING": "PENDING_REGISTRATION", "FAILED": "FAILED_REGISTRATION"}
VERSIONS_TAG = "mlflow.modelVersions"
REJECTED = "Rejected in Bucle: it did not pass its gates, or somebody said no."


class CreateModel(Body):
    """A new model or prompt."""

    name: str = ""
    tags: list[KeyValue] = []
    description: str = ""


class NamedModel(Body):
    """A model by its name."""

    name: str = ""


class UpdateModel(Body):
    """Another description."""

    name: str = ""
    description: str = ""


class RenameModel(Body):
    """Another name."""

    name: str = ""
    new_name: str = ""


class SearchModels(Body):
    """Which models are wanted."""

    filter: str = ""
    max_results: int = 100
    order_by: list[str] = []
    page_token: str = ""


class LatestVersions(Body):
    """The stages whose newest version is wanted."""

    name: str = ""
    stages: list[str] = []


class ModelTag(Body):
    """A tag of a model."""

    name: str = ""
    key: str = ""
    value: str = ""


class ModelAlias(Body):
    """An alias of a model."""

    name: str = ""
    alias: str = ""
    version: str = ""


class CreateVersion(Body):
    """A new version."""

    name: str = ""
    source: str = ""
    run_id: str = ""
    tags: list[KeyValue] = []
    run_link: str = ""
    description: str = ""
    model_id: str = ""


class NamedVersion(Body):
    """A version by its number."""

    name: str = ""
    version: str = ""


class UpdateVersion(Body):
    """Another description."""

    name: str = ""
    version: str = ""
    description: str = ""


class MoveVersion(Body):
    """Another stage."""

    name: str = ""
    version: str = ""
    stage: str = ""
    archive_existing_versions: bool = False


class SearchVersions(Body):
    """Which versions are wanted."""

    filter: str = ""
    max_results: int = registry.MOST_VERSIONS
    order_by: list[str] = []
    page_token: str = ""


class VersionTag(Body):
    """A tag of a version."""

    name: str = ""
    version: str = ""
    key: str = ""
    value: str = ""


def shown_model(model: Model, latest: Iterable[ModelVersion]) -> Json:
    """A model as the wire has it, with the newest version of each stage."""
    newest = {STAGES[one.stage]: one for one in sorted(latest, key=lambda one: one.version)}
    return lean(
        {
            "name": model.name,
            "creation_timestamp": millis(model.created_at),
            "last_updated_timestamp": millis(model.updated_at),
            "user_id": model.owner,
            "description": model.description or None,
            "latest_versions": [shown_version(one) for one in newest.values()] or None,
            "tags": pairs(model.tags) or None,
            "aliases": [{"alias": alias, "version": str(number)} for alias, number in model.aliases.items()] or None,
        }
    )


def shown_version(version: ModelVersion) -> Json:
    """A version as the wire has it."""
    return lean(
        {
            "name": version.model,
            "version": str(version.version),
            "creation_timestamp": millis(version.created_at),
            "last_updated_timestamp": millis(version.updated_at),
            "user_id": version.author,
            "current_stage": STAGES[version.stage],
            "description": version.description,
            "source": version.source or tree_root(version.digest),
            "run_id": version.run,
            "status": STATUSES[version.status],
            "status_message": (REJECTED if version.stage == "rejected" else version.status_message) or None,
            "tags": pairs(version.tags) or None,
            "run_link": version.run_link,
            "aliases": list(version.aliases) or None,
            "model_id": version.model_id or None,
        }
    )


def create_model(body: CreateModel, project: Project) -> Json:
    """A new model or prompt."""
    made = registry.create_model(
        project, required("name", body.name), description=body.description, tags=_texts(body.tags)
    )
    return {"registered_model": shown_model(made, ())}


def get_model(body: NamedModel, project: Project) -> Json:
    """One model."""
    return {"registered_model": _with_latest(project, [registry.model(project, required("name", body.name))])[0]}


def rename_model(body: RenameModel, project: Project) -> Json:
    """Another name for a model, its versions and aliases."""
    name, to = required("name", body.name), required("new_name", body.new_name)
    return {"registered_model": _with_latest(project, [loop.rename_model(project, name, to)])[0]}


def update_model(body: UpdateModel, project: Project) -> Json:
    """Another description."""
    made = registry.describe_model(project, required("name", body.name), description=body.description)
    return {"registered_model": _with_latest(project, [made])[0]}


def delete_model(body: NamedModel, project: Project) -> Json:
    """Take a model away with all its versions."""
    loop.delete_model(project, required("name", body.name))
    return {}


def search_models(body: SearchModels, project: Project) -> Json:
    """A page of models."""
    page = registry.search_models(
        project,
        filter=body.filter,
        order_by=body.order_by,
        limit=check_page_size(body.max_results, registry.MOST_MODELS),
        token=body.page_token,
    )
    found = _with_latest(project, page.items)
    return lean({"registered_models": found or None, "next_page_token": page.token or None})


def latest_versions(body: LatestVersions, project: Project) -> Json:
    """The newest version of each stage asked for, of every stage when none is named."""
    name = registry.model(project, required("name", body.name)).name
    wanted = {STAGES[_stage(stage)] for stage in body.stages} or set(STAGES.values())
    newest = {STAGES[one.stage]: one for one in registry.latest_versions(project, [name])[name]}
    found = [shown_version(one) for stage, one in newest.items() if stage in wanted]
    return lean({"model_versions": found or None})


def set_model_tag(body: ModelTag, project: Project) -> Json:
    """Write a tag on a model."""
    registry.set_model_tag(project, required("name", body.name), required("key", body.key), body.value)
    return {}


def delete_model_tag(body: ModelTag, project: Project) -> Json:
    """Take a tag off a model."""
    registry.delete_model_tag(project, required("name", body.name), required("key", body.key))
    return {}


def set_alias(body: ModelAlias, project: Project) -> Json:
    """Let an alias name a version, when the model's policy has nothing against it."""
    name, alias = required("name", body.name), required("alias", body.alias)
    loop.set_alias(project, name, alias, _number(required("version", body.version)), reason="asked for through MLflow")
    return {}


def delete_alias(body: ModelAlias, project: Project) -> Json:
    """Take an alias away."""
    name, alias = required("name", body.name), required("alias", body.alias)
    loop.set_alias(project, name, alias, None, reason="asked for through MLflow")
    return {}


def get_by_alias(body: ModelAlias, project: Project) -> Json:
    """The version an alias names; `latest` is the greatest number."""
    name, alias = required("name", body.name), required("alias", body.alias)
    try:
        found = registry.version(project, name, _alias(alias))
    except registry.NoSuchVersion as error:
        # MLflow calls this a bad parameter, not a thing that is missing, and its clients look for that.
        raise invalid(f"Registered model alias {alias[:80]} not found.") from error
    return {"model_version": shown_version(found)}


def create_version(body: CreateVersion, project: Project) -> Json:
    """The next version of a model or prompt, bound to what its source holds now."""
    name, uri, tags = required("name", body.name), required("source", body.source), _texts(body.tags)
    registry.model(project, name)
    if tags.get(registry.IS_PROMPT, "").lower() == "true":
        source = prompt_source(uri, tags.get(registry.PROMPT_TEXT, ""))
    else:
        source = read_source(project, uri, body.run_id, body.model_id)
    made = registry.create_version(
        project,
        name,
        source.content,
        source=source.uri,
        run=source.run_id or body.run_id,
        model_id=source.model_id,
        run_link=body.run_link,
        description=body.description,
        tags=tags,
        metrics=_metrics(project, source),
        author=source.author,
        reason="registered through MLflow",
    )
    if source.model_id and source.origin is None:
        _mark(project, source.model_id, made)
    return {"model_version": shown_version(made)}


def get_version(body: NamedVersion, project: Project) -> Json:
    """One version."""
    return {"model_version": shown_version(_version(project, body.name, body.version))}


def update_version(body: UpdateVersion, project: Project) -> Json:
    """Another description."""
    name, number = required("name", body.name), _number(required("version", body.version))
    return {"model_version": shown_version(registry.describe_version(project, name, number, body.description))}


def delete_version(body: NamedVersion, project: Project) -> Json:
    """Take a version away."""
    loop.delete_version(project, required("name", body.name), _number(required("version", body.version)))
    return {}


def move_version(body: MoveVersion, project: Project) -> Json:
    """Another stage, by the shortest way the registry allows, when the model's policy has nothing against it."""
    found, stage = _version(project, body.name, body.version), _stage(required("stage", body.stage))
    if body.archive_existing_versions and stage not in ACTIVE:
        raise invalid(
            f"Model version transition cannot archive existing model versions because {body.stage[:40]!r} is not an "
            "Active stage. Valid stages are Staging and Production."
        )
    if STAGES[found.stage] != STAGES[stage] or body.archive_existing_versions:
        found = loop.move(
            project,
            found.model,
            found.version,
            stage,
            reason="asked for through MLflow",
            archive_others=body.archive_existing_versions,
        )
    return {"model_version": shown_version(found)}


def search_versions(body: SearchVersions, project: Project) -> Json:
    """A page of versions."""
    page = registry.search_versions(
        project,
        filter=body.filter,
        order_by=body.order_by,
        limit=check_page_size(body.max_results, registry.MOST_VERSIONS),
        token=body.page_token,
    )
    found = [shown_version(one) for one in page.items]
    return lean({"model_versions": found or None, "next_page_token": page.token or None})


def download_uri(body: NamedVersion, project: Project) -> Json:
    """Where a version's files are to be read."""
    return {"artifact_uri": _place(project, _version(project, body.name, body.version))}


def set_version_tag(body: VersionTag, project: Project) -> Json:
    """Write a tag on a version."""
    name, number = required("name", body.name), _number(required("version", body.version))
    registry.set_version_tag(project, name, number, required("key", body.key), body.value)
    return {}


def delete_version_tag(body: VersionTag, project: Project) -> Json:
    """Take a tag off a version."""
    name, number = required("name", body.name), _number(required("version", body.version))
    registry.delete_version_tag(project, name, number, required("key", body.key))
    return {}


def get_version_file(call: Call, project: Project) -> Answer:
    """A version's file, for a browser."""
    name, number, path = (required(field, call.query.get(field, [""])[0]) for field in ("name", "version", "path"))
    found = _version(project, name, number)
    path = safe_path(path)
    return sent_file(file_of(project, f"trees/{found.digest}/{path}"), path.rpartition("/")[2])


def _with_latest(project: Project, models: Sequence[Model]) -> list[Json]:
    latest = registry.latest_versions(project, [model.name for model in models])
    return [shown_model(model, latest[model.name]) for model in models]


def _version(project: Project, name: str, version: str) -> ModelVersion:
    return registry.version(project, required("name", name), _number(required("version", version)))


def _number(text: str) -> int:
    """A version as a number; one that nothing can have is looked for in vain."""
    try:
        number = int(text)
    except ValueError as error:
        raise invalid(f"Parameter 'version' must be an integer, got {text[:40]!r}.") from error
    return number if 0 < number < 2**31 else 0


def _alias(text: str) -> str:
    """An alias, or `latest`; a number is none.

    Raises:
        MlflowError: it reads as a version.
    """
    if text.isdecimal():
        raise invalid(f"Registered model alias {text[:80]} not found.")
    return text


def _stage(text: str) -> Stage:
    stage = _OF_WIRE.get(text.lower())
    if stage is None:
        raise invalid(
            f"Invalid Model Version stage: {text[:40]}. Value must be one of None, Staging, Production, Archived."
        )
    return stage


def _texts(given: list[KeyValue]) -> dict[str, str]:
    return {required("tags.key", one.key): one.value for one in given}


def _mark(project: Project, model_id: str, made: ModelVersion) -> None:
    """Write on a logged model which versions were registered from it, as MLflow's own server does."""
    known = decode(tracking.logged_model(project, model_id).tags.get(VERSIONS_TAG, "[]"), list[dict[str, str]])
    mine = {"name": made.model, "version": str(made.version)}
    if mine not in known:
        tracking.set_model_tags(project, model_id, {VERSIONS_TAG: json.dumps([*known, mine])})


def _metrics(project: Project, source: Source) -> dict[str, float]:
    """What the version scored, as its origin, its logged model or its run says."""
    if source.origin is not None:
        return source.origin.metrics
    if source.model_id:
        points = tracking.logged_model(project, source.model_id).metrics
        return {point.key: point.value for point in points}
    return {}


def _place(project: Project, version: ModelVersion) -> str:
    """Where to read a version: its own files, its run's when it was registered before they came, or elsewhere."""
    if version.kind == "package" or (version.kind == "files" and registry.files_of(project, version)):
        return tree_root(version.digest)
    if version.kind == "reference":
        address = registry.reference(project, version).id
        return address if ":" in address else version.source
    if version.kind == "prompt":
        return version.source
    if version.model_id:
        return model_root(project, tracking.logged_model(project, version.model_id))
    _, _, path = version.source.removeprefix("runs:/").partition("/")
    root = run_root(project, tracking.run_by_id(project, version.run))
    return f"{root}/{path}" if version.source.startswith("runs:/") and path else version.source


_MODELS, _VERSIONS = "/api/2.0/mlflow/registered-models", "/api/2.0/mlflow/model-versions"

ROUTES = (
    Route("POST", f"{_MODELS}/create", CreateModel, create_model),
    Route("GET", f"{_MODELS}/get", NamedModel, get_model),
    Route("POST", f"{_MODELS}/rename", RenameModel, rename_model),
    Route("PATCH", f"{_MODELS}/update", UpdateModel, update_model),
    Route("DELETE", f"{_MODELS}/delete", NamedModel, delete_model),
    Route("GET", f"{_MODELS}/search", SearchModels, search_models),
    Route("POST", f"{_MODELS}/get-latest-versions", LatestVersions, latest_versions),
    Route("GET", f"{_MODELS}/get-latest-versions", LatestVersions, latest_versions),
    Route("POST", f"{_MODELS}/set-tag", ModelTag, set_model_tag),
    Route("DELETE", f"{_MODELS}/delete-tag", ModelTag, delete_model_tag),
    Route("POST", f"{_MODELS}/alias", ModelAlias, set_alias),
    Route("DELETE", f"{_MODELS}/alias", ModelAlias, delete_alias),
    Route("GET", f"{_MODELS}/alias", ModelAlias, get_by_alias),
    Route("POST", f"{_VERSIONS}/create", CreateVersion, create_version),
    Route("GET", f"{_VERSIONS}/get", NamedVersion, get_version),
    Route("PATCH", f"{_VERSIONS}/update", UpdateVersion, update_version),
    Route("DELETE", f"{_VERSIONS}/delete", NamedVersion, delete_version),
    Route("GET", f"{_VERSIONS}/search", SearchVersions, search_versions),
    Route("GET", f"{_VERSIONS}/get-download-uri", NamedVersion, download_uri),
    Route("POST", f"{_VERSIONS}/set-tag", VersionTag, set_version_tag),
    Route("DELETE", f"{_VERSIONS}/delete-tag", VersionTag, delete_version_tag),
    Route("POST", f"{_VERSIONS}/transition-stage", MoveVersion, move_version),
    Route("GET", "/model-versions/get-artifact", Call, get_version_file),
)
