"""Settings: what `bucle.toml` says in vain: values that hold anyway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bucle.ground.core import ProjectSection, S3Section, Section, ServerSection, StoreSection, to_builtins
from bucle.ground.project import Project
from bucle.line import monitoring, serving
from bucle.loop.place import PipelinesSection
from bucle.loop.policy import Policy, RetrainPolicy, RolloutPolicy
from bucle.loop.readiness.finding import Finding

__all__ = ["look_at_settings"]

_SECTIONS: dict[str, type[Section]] = {
    "project": ProjectSection,
    "store": StoreSection,
    "store.s3": S3Section,
    "server": ServerSection,
    "pipelines": PipelinesSection,
    "serving": serving.ServingSection,
    "monitoring": monitoring.Rules,
    "monitoring.guard": monitoring.GuardRules,
}


def look_at_settings(project: Project) -> Iterator[Finding]:
    """Settings that could be left out."""
    sections = dict(_SECTIONS)
    for name in project.config.names("loop"):
        sections |= {
            f"loop.{name}": Policy,
            f"loop.{name}.retrain": RetrainPolicy,
            f"loop.{name}.rollout": RolloutPolicy,
        }
    for path, kind in sections.items():
        same = _defaults(project.config.given(path), kind)
        if same:
            detail = f"{', '.join(same)}: written as by default."
            yield _setting(path, detail, f"Remove {', '.join(same)} from [{path}].")


def _defaults(given: Mapping[str, Any], kind: type[Section]) -> list[str]:
    """The keys whose value is the default's, in the file's order."""
    known = {field.name: field.default for field in msgspec.structs.fields(kind)}
    plain = {name: to_builtins(value) for name, value in known.items() if value is not msgspec.NODEFAULT}
    return [name for name, value in given.items() if name in plain and _same(value, plain[name])]


def _same(given: Any, default: Any) -> bool:
    """Equal as settings: a list as TOML gives it is a tuple of the record."""
    return not isinstance(given, dict) and type(given) is type(default) and bool(given == default)


def _setting(path: str, detail: str, fix: str) -> Finding:
    return Finding(about="debt", what="setting", where=f"[{path}]", state="warning", detail=detail, fix=fix)
