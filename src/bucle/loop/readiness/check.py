"""Check: definitions, debt and score of a project, looked at once."""

from __future__ import annotations

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line import registry
from bucle.loop.readiness.attest import attestations
from bucle.loop.readiness.debt import look_at_debt
from bucle.loop.readiness.definitions import Definition, definitions_of, look_at_definitions
from bucle.loop.readiness.evidence import Evidence
from bucle.loop.readiness.finding import Finding
from bucle.loop.readiness.rubric import TESTS
from bucle.loop.readiness.score import Score, band_of, score

__all__ = ["Readiness", "check", "scored"]


class Readiness(Record, frozen=True):
    """How far a project is fit for production.

    Attributes:
        project: its name.
        definitions: every step, pipeline and feature view.
        findings: what was looked at, definitions first, then debt.
        scores: the ML Test Score of each model.
        score: the least of them; 0 where no model is registered.
        means: the paper's interpretation of it.
    """

    project: str
    definitions: tuple[Definition, ...]
    findings: tuple[Finding, ...]
    scores: tuple[Score, ...]
    score: float
    means: str

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings about definitions that are not `ok`."""
        return tuple(one for one in self.findings if one.about == "definition" and one.state != "ok")


def check(project: Project, model: str | None = None) -> Readiness:
    """Look at everything the project defines, and at what is on record.

    Args:
        model: score only this one; every model that has a version unless given.
    Raises:
        ModuleFailed: a module of the project cannot be imported.
        NoSuchModel: there is no such model.
        GitFailed: git cannot tell what changed.
    """
    definitions = definitions_of(project)
    findings = [*look_at_definitions(project, definitions), *look_at_debt(project)]
    scores = scored(project, model)
    least = min((one.score for one in scores), default=0.0)
    return Readiness(
        project=project.name,
        definitions=tuple(definitions),
        findings=tuple(findings),
        scores=scores,
        score=least,
        means=band_of(least),
    )


def scored(project: Project, model: str | None = None) -> tuple[Score, ...]:
    """The score of one model, or of every model that has a version; errors as for `check`."""
    known = [registry.model(project, model)] if model else registry.models(project)
    names = [one.name for one in known if one.latest and registry.versions(project, one.name)]
    return tuple(score(TESTS, Evidence(project, name), attestations(project, name)) for name in names)
