"""The gates a project asks for, read from `bucle.toml` and written so that they can be read again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

import msgspec

from bucle.ground.core import decode, encode, suggest
from bucle.line.gates.calibration import Calibration
from bucle.line.gates.champion import ChampionChallenger
from bucle.line.gates.check import Gate
from bucle.line.gates.errors import BadGate
from bucle.line.gates.minimum import MinimumMetric
from bucle.line.gates.slices import Slices
from bucle.line.gates.support import Support

__all__ = ["GATES", "gates_of", "policy_bytes", "read_policy"]

GATES: Mapping[str, type[Gate]] = {
    "minimum": MinimumMetric,
    "champion": ChampionChallenger,
    "slices": Slices,
    "calibration": Calibration,
    "support": Support,
}
"""The gates that come with Bucle; a package adds its own under the entry point group `bucle.gates`."""


def gates_of(config: Mapping[str, Any]) -> tuple[Gate, ...]:
    """The gates of a table of `bucle.toml`.

    Args:
        config: kind -> the gate's settings, or a list of them for several of a kind:
            `{"champion": {"margin": 0.005}, "minimum": [{"metric": "auc", "minimum": 0.6}, …]}`.
    Raises:
        BadGate: an unknown gate or setting, or a value of the wrong type, with the near miss.
    Example:
        >>> gates_of({"calibration": {"max_ece": 0.03}})[0].max_ece
        0.03
    """
    listed = {kind: given if isinstance(given, Sequence) else [given] for kind, given in config.items()}
    return tuple(_gate(kind, settings) for kind, given in listed.items() for settings in given)


def policy_bytes(gates: Iterable[Gate]) -> bytes:
    """The gates as canonical JSON, each with its kind."""
    return encode([msgspec.to_builtins(gate) for gate in gates])


def read_policy(content: bytes) -> tuple[Gate, ...]:
    """The gates that `policy_bytes` wrote."""
    items = decode(content, list[dict[str, Any]], what="gate policy")
    return tuple(_gate(str(item.pop("gate", "")), item) for item in items)


def _gate(kind: str, settings: Any) -> Gate:
    if not isinstance(settings, Mapping):
        raise BadGate(
            f"The gate {kind!r} is given as {settings!r}.",
            why="A gate is a table of settings.",
            fix=f"Write [….gates.{kind}] and its settings below.",
            at=kind,
        )
    wanted = _kind(kind)
    try:
        return msgspec.convert({**settings, "gate": kind}, wanted)
    except msgspec.ValidationError as error:
        raise _explain(error, kind, wanted) from error


def _kind(name: str) -> type[Gate]:
    if name in GATES:
        return GATES[name]
    others = {entry.name: entry for entry in entry_points(group="bucle.gates")}
    if name in others:
        loaded: type[Gate] = others[name].load()
        return loaded
    known = [*GATES, *others]
    raise BadGate(
        f"There is no gate {name!r}.",
        why=f"Gates: {', '.join(known)}.",
        fix=suggest(name, known) or f"Remove {name!r}.",
        at=name,
    )


def _explain(error: msgspec.ValidationError, kind: str, wanted: type[Gate]) -> BadGate:
    fields = msgspec.structs.fields(wanted)  # type: ignore[arg-type]  # a gate is a Struct; the protocol cannot say so
    allowed = [field.name for field in fields]
    unknown = re.search(r"unknown field `([^`]+)`", str(error))
    if unknown is None:
        return BadGate(f"The gate {kind!r}: {error}.", why=f"It may have: {', '.join(allowed)}.", at=kind)
    return BadGate(
        f"The gate {kind!r} has no setting {unknown.group(1)!r}.",
        why=f"It may have: {', '.join(allowed)}.",
        fix=suggest(unknown.group(1), allowed) or f"Remove {unknown.group(1)!r}.",
        at=f"{kind}.{unknown.group(1)}",
    )
