"""Assessments: what people and programs said about a trace."""

from __future__ import annotations

import re
from typing import Any

from bucle.doors.protocols.mlflow.errors import invalid
from bucle.doors.protocols.mlflow.trace_json import AssessmentBody, assessment_of, shown_assessment, value_of
from bucle.doors.protocols.mlflow.wire import Body, Json, Route
from bucle.ground.project import Project
from bucle.line import tracing

__all__ = ["ROUTES"]

PATH = "/api/3.0/mlflow/traces/{trace_id}/assessments"


class CreateAssessment(Body):
    """A new assessment."""

    trace_id: str = ""
    assessment: AssessmentBody | None = None


class UpdateAssessment(Body):
    """What of an assessment changes: the fields the mask names."""

    trace_id: str = ""
    assessment_id: str = ""
    assessment: AssessmentBody | None = None
    update_mask: str = ""


class NamedAssessment(Body):
    """An assessment by its id."""

    trace_id: str = ""
    assessment_id: str = ""


def create(body: CreateAssessment, project: Project) -> Json:
    """Keep an assessment."""
    if body.assessment is None:
        raise invalid("Missing value for required parameter 'assessment'.")
    given = assessment_of(body.assessment, body.trace_id, project.clock.now())
    return {"assessment": shown_assessment(tracing.log_assessment(project, given))}


def get(body: NamedAssessment, project: Project) -> Json:
    """One assessment."""
    return {"assessment": shown_assessment(tracing.assessment(project, body.trace_id, body.assessment_id))}


def update(body: UpdateAssessment, project: Project) -> Json:
    """Change the fields the mask names."""
    if body.assessment is None:
        raise invalid("Missing value for required parameter 'assessment'.")
    mask = {_snake(path) for path in body.update_mask.split(",") if path}
    if not mask:
        raise invalid("Missing value for required parameter 'update_mask'.")
    given, changes = body.assessment, dict[str, Any]()
    if mask & {"feedback", "expectation"}:
        if sum(part is not None for part in (given.feedback, given.expectation)) != 1:
            raise invalid("Exactly one of `expectation` or `feedback` should be specified.")
        changes["kind"], changes["value"], changes["error"] = value_of(given)
    if "assessment_name" in mask:
        changes["name"] = given.assessment_name
    if "rationale" in mask:
        changes["rationale"] = given.rationale or ""
    if "metadata" in mask:
        changes["metadata"] = given.metadata
    changed = tracing.update_assessment(project, body.trace_id, body.assessment_id, **changes)
    return {"assessment": shown_assessment(changed)}


def delete(body: NamedAssessment, project: Project) -> Json:
    """Take an assessment back."""
    tracing.delete_assessment(project, body.trace_id, body.assessment_id)
    return {}


ROUTES = (
    Route("POST", PATH, CreateAssessment, create),
    Route("GET", f"{PATH}/{{assessment_id}}", NamedAssessment, get),
    Route("PATCH", f"{PATH}/{{assessment_id}}", UpdateAssessment, update),
    Route("DELETE", f"{PATH}/{{assessment_id}}", NamedAssessment, delete),
)


def _snake(name: str) -> str:
    """A field's name; protobuf's JSON writes masks in camel case."""
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name.strip())
