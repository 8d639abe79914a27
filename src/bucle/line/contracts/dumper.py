"""Records as YAML for people: short lists on a line, what is as by default left out, and read back the same."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from bucle.ground.core import Record, to_builtins

__all__ = ["yaml_text"]

_BREAKS = frozenset("\x85\u2028\u2029\ufeff")
"""Characters that YAML's plain and single-quoted texts take for ends of lines."""


def yaml_text(record: Record) -> str:
    """A record as YAML, without what is as by default."""
    return yaml.dump(_bare(record), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Lists of plain values on one line; texts with odd ends of lines in double quotes, where they are escaped."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> Any:
        """A list; one of plain values reads better on a line."""
        plain = all(isinstance(one, bool | int | float | str) for one in sequence)
        return super().represent_sequence(tag, sequence, flow_style=True if plain else flow_style)

    def represent_scalar(self, tag: str, value: Any, style: str | None = None) -> Any:
        """A plain value."""
        odd = isinstance(value, str) and not _BREAKS.isdisjoint(value)
        return super().represent_scalar(tag, value, style='"' if odd else style)


def _bare(record: Record) -> dict[str, Any]:
    kept = dict[str, Any]()
    for field in msgspec.structs.fields(record):
        value = getattr(record, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if isinstance(value, Record):
            kept[field.name] = _bare(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Record):
            kept[field.name] = [_bare(one) for one in value]
        elif value != default or isinstance(value, bool) != isinstance(default, bool):
            kept[field.name] = to_builtins(value)
    return kept
