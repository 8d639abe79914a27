"""Debt: what nobody declared, nobody uses, or only repeats what holds anyway; told from the record alone.

Who reads a table by hand is not on record, and neither is who calls an endpoint; so neither is judged.

Source: D. Sculley et al.: "Hidden Technical Debt in Machine Learning Systems", NIPS 2015.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from bucle.ground.core import BucleError, NotFound, make_ref
from bucle.ground.project import Project
from bucle.line import contracts, data, deploy, features, pipelines, registry, serving, sources
from bucle.loop.policy import Policy, policy_of
from bucle.loop.readiness.finding import Finding
from bucle.loop.readiness.settings import look_at_settings

__all__ = ["look_at_debt"]

_GONE = ("archived", "rejected")


def look_at_debt(project: Project) -> list[Finding]:
    """Every debt that can be told truly from what is on record.

    Raises:
        ModuleFailed: a module cannot be imported.
    Cost: a read of all uses, executions and versions.
    """
    policies, versions = dict(_policies(project)), registry.versions(project)
    tables = set(data.tables(project)) if data.log(project, limit=1) else set()
    return [
        *_consumers(project),
        *_unread(project, tables, policies),
        *_undescribed(project, tables),
        *_never_run(project, policies),
        *_unused_views(project, versions),
        *_unused_inputs(project, versions),
        *look_at_settings(project),
        *_lost_policies(policies, versions, tables),
        *_lost_contracts(project, tables),
        *_dry_sources(project),
        *_aliases(versions),
        *_silent(project),
    ]


def _policies(project: Project) -> Iterator[tuple[str, Policy]]:
    """The policies that can be read; the others are told with the definitions."""
    for name in project.config.names("loop"):
        try:
            yield name, policy_of(project, name)
        except BucleError:
            continue


def _consumers(project: Project) -> Iterator[Finding]:
    """Trainings that read a table whose record does not name what for."""
    readers = defaultdict[tuple[str, str], set[str]](set)
    for use in data.uses(project):
        if use.allowed:
            readers[use.table, use.purpose].add(use.reader or use.actor)
    held = data.each_in_force(project, {table for table, _ in readers})
    for (table, purpose), known in sorted(readers.items()):
        one = held[table]
        if isinstance(one, data.InForce) and purpose and purpose in one.record.purposes:
            continue
        told = f"for {purpose!r}" if purpose else "without telling what for"
        yield _debt(
            "consumer",
            make_ref("table", table),
            f"{len(known)} trainings read it {told}, which its record does not declare.",
            f"bucle data describe {table} --purpose {purpose or 'PURPOSE'}",
        )


def _unread(project: Project, tables: set[str], policies: Mapping[str, Policy]) -> Iterator[Finding]:
    used = {use.table for use in data.uses(project)}
    timed = [view for view in _views(project).values() if isinstance(view, features.FeatureView)]
    used |= {source.table for view in timed for source in view.sources}
    used |= {table for policy in policies.values() for table in (*policy.tables, policy.labels.table)}
    for table in sorted(tables - used - {serving.PREDICTIONS}):
        if not table.endswith(contracts.QUARANTINE):
            yield _debt(
                "table",
                make_ref("table", table),
                "No training has read it, and no view and no policy names it.",
                f"See what it holds, and whether it is still landed: bucle data show {table}",
            )


def _undescribed(project: Project, tables: set[str]) -> Iterator[Finding]:
    ours = {table for table in tables if table != serving.PREDICTIONS and not table.endswith(contracts.QUARANTINE)}
    for table, held in sorted(data.each_in_force(project, ours).items()):
        if isinstance(held, data.BadDataset):
            yield _debt("record", make_ref("table", table), held.what, held.fix)
            continue
        missing = [
            name for name, value in (("description", held.record.description), ("owner", held.owner)) if not value
        ]
        if missing:
            yield _debt(
                "record",
                make_ref("table", table),
                f"Its record has no {' and no '.join(missing)}.",
                f"bucle data describe {table} {' '.join(f'--{name} TEXT' for name in missing)}",
            )


def _never_run(project: Project, policies: Mapping[str, Policy]) -> Iterator[Finding]:
    ran = {one.pipeline for one in pipelines.executions(project)} | {one.pipeline for one in policies.values()}
    for name, one in sorted(pipelines.pipelines_of(project).items()):
        if name not in ran:
            yield _debt(
                "pipeline", f"{one.source.file.name}:{name}", "Nobody has run it.", f"bucle run {name}, or remove it"
            )


def _views(project: Project) -> dict[str, features.View]:
    return features.views_of(project.modules())


def _live(project: Project, versions: list[registry.ModelVersion]) -> dict[str, registry.Package]:
    """Package of every version that is neither archived nor rejected."""
    live = [one for one in versions if one.kind == "package" and one.stage not in _GONE]
    found = dict[str, registry.Package]()
    for one in live:
        try:
            found[one.ref] = registry.load_package(project, one.digest)
        except NotFound:
            continue
    return found


def _unused_views(project: Project, versions: list[registry.ModelVersion]) -> Iterator[Finding]:
    packages = _live(project, versions)
    pinned = {pin.partition("@")[0] for package in packages.values() for pin in package.features}
    for name, view in sorted(_views(project).items()) if packages else ():
        if name not in pinned:
            yield _debt(
                "feature",
                view.ref,
                f"None of the {len(packages)} versions in use takes this view.",
                f"Remove the view {name}, or train a version with it.",
            )


def _unused_inputs(project: Project, versions: list[registry.ModelVersion]) -> Iterator[Finding]:
    """Features of a view that is in use, which no version takes and no other view reads."""
    packages, views = _live(project, versions), _views(project)
    taken = {field.name for package in packages.values() for field in package.signature.inputs}
    taken |= {name for view in views.values() if isinstance(view, features.RequestView) for name in view.inputs}
    pinned = {pin.partition("@")[0] for package in packages.values() for pin in package.features}
    for name in sorted(pinned & set(views)):
        idle = sorted(set(views[name].schema) - taken)
        if idle:
            yield _debt(
                "feature",
                views[name].ref,
                f"No version in use takes {', '.join(idle)}, which it computes for every answer.",
                f"Take {', '.join(idle)} out of the view {name}.",
            )


def _lost_policies(
    policies: Mapping[str, Policy], versions: list[registry.ModelVersion], tables: set[str]
) -> Iterator[Finding]:
    known = {one.model for one in versions}
    for name, policy in policies.items():
        where = f"[loop.{name}]"
        if name not in known:
            yield _debt(
                "policy", where, f"No version of {name} is registered.", f"bucle loop request {name}, or remove {where}"
            )
        for table in sorted({*policy.tables, policy.labels.table} - tables):
            yield _debt("policy", where, f"There is no table {table!r}.", f"bucle data add FILE --table {table}")


def _lost_contracts(project: Project, tables: set[str]) -> Iterator[Finding]:
    for path in sorted((project.root / "contracts").glob("*.yaml")):
        if path.stem not in tables:
            yield _debt(
                "contract",
                f"contracts/{path.name}",
                f"There is no table {path.stem!r} on main.",
                f"bucle data add FILE --table {path.stem}, or remove the file",
            )


def _dry_sources(project: Project) -> Iterator[Finding]:
    try:
        known = sources.statuses(project)
    except BucleError as error:
        yield _debt("source", "sources", error.what, error.fix)
        return
    for one in known:
        if one.landed is None:
            yield _debt("source", f"sources/{one.name}.yaml", "It was never pulled.", f"bucle sources run {one.name}")


def _aliases(versions: list[registry.ModelVersion]) -> Iterator[Finding]:
    for one in versions:
        for alias in one.aliases if one.stage in _GONE else ():
            name = f"{one.model}@{one.version}"
            yield _debt(
                "alias",
                one.ref,
                f"The alias {alias!r} names a version that is {one.stage}.",
                f"bucle model alias {name} {alias} --remove",
            )


def _silent(project: Project) -> Iterator[Finding]:
    for name in deploy.endpoints(project):
        if not serving.collected_segments(project, name) and not serving.live(project, name)[0].height:
            yield _debt(
                "endpoint",
                make_ref("endpoint", name),
                "It has routes, and nobody has asked it anything yet.",
                f"bucle predict {name} FILE",
            )


def _debt(what: str, where: str, detail: str, fix: str) -> Finding:
    return Finding(about="debt", what=what, where=where, state="warning", detail=detail, fix=fix)
