"""What the records of a W&B run say, read by their fields' numbers in W&B's published messages."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from bucle.doors.migrate.protobuf import Value, double_of, signed, text_of
from bucle.ground.core.protobuf import fields

__all__ = ["WandbRun"]

_NUMBERS = (int, float)
_JSON = 16
"""The field of a value as JSON, in every kind of item."""


class WandbRun:
    """A run as its log tells it, record by record.

    Attributes:
        id, entity, project, name, notes, group, job_type, sweep, host, user, commit, remote: texts; empty: not told.
        tags: words.
        config: settings by dotted name.
        points: keys, steps, instants and values of everything that is a number.
        others: everything in the history that is none: step, instant, key, value.
        summary: by dotted name.
        environment: about the machine and the program.
        files: what the run saved, by path.
        artifacts: name -> path -> local file and base64 MD5.
        started_ms, last_ms: milliseconds since 1970; None when not told.
        exit_code: None when it never ended.
    """

    def __init__(self) -> None:
        self.id = self.entity = self.project = self.name = self.notes = self.group = self.job_type = self.sweep = ""
        self.host = self.user = self.commit = self.remote = ""
        self.tags = list[str]()
        self.config = dict[str, Any]()
        self.points: tuple[list[str], list[int], list[int], list[float]] = ([], [], [], [])
        self.others = list[dict[str, Any]]()
        self.summary = dict[str, Any]()
        self.environment = dict[str, Any]()
        self.files = set[str]()
        self.artifacts = dict[str, dict[str, tuple[str, str]]]()
        self.started_ms: int | None = None
        self.last_ms: int | None = None
        self.exit_code: int | None = None
        self._stats = 0

    def take(self, record: bytes) -> None:
        """One more record.

        Raises:
            BadProtobuf: it is no message.
        """
        for number, value in fields(record):
            if isinstance(value, bytes) and number in _READERS:
                _READERS[number](self, value)

    def _take_run(self, message: bytes) -> None:
        for number, value in fields(message):
            if number in _TEXTS:
                setattr(self, _TEXTS[number], text_of(value))
            elif number == 4:
                self._take_config(_bytes(value))
            elif number == 5:
                self._take_summary(_bytes(value))
            elif number == 10:
                self.tags.append(text_of(value))
            elif number == 17 and self.started_ms is None:
                self.started_ms = self.last_ms = _millis(_bytes(value))
            elif number == 21:
                self._take_git(_bytes(value))
        self.tags = list(dict.fromkeys(self.tags))

    def _take_config(self, message: bytes) -> None:
        _update(self.config, message)
        self.config = {key: value for key, value in self.config.items() if key.split(".")[0] != "_wandb"}

    def _take_summary(self, message: bytes) -> None:
        _update(self.summary, message)

    def _take_history(self, message: bytes) -> None:
        items, step = dict[str, Any](), None
        for number, value in fields(message):
            if number == 1:
                key, given = _item(_bytes(value))
                items[key] = given
            elif number == 2:
                step = next((signed(given) for field, given in fields(_bytes(value)) if field == 1), 0)
        at = items.pop("_timestamp", None)
        given_step = items.pop("_step", None)
        step = int(given_step) if step is None and isinstance(given_step, _NUMBERS) else step or 0
        items.pop("_runtime", None)
        instant = int(at * 1000) if isinstance(at, _NUMBERS) and math.isfinite(at) else self.last_ms or 0
        self._saw(instant)
        for key, value in items.items():
            if isinstance(value, _NUMBERS):
                self._point(key, step, instant, float(value))
            else:
                self.others.append({"step": step, "at": instant, "key": key, "value": value})

    def _take_stats(self, message: bytes) -> None:
        """What the machine did meanwhile, as `system/…`; it has no step of its own."""
        items, instant = dict[str, Any](), self.last_ms or 0
        for number, value in fields(message):
            if number == 2:
                instant = _millis(_bytes(value))
            elif number == 3:
                key, given = _item(_bytes(value))
                items[key] = given
        self._saw(instant)
        for key, given in items.items():
            if isinstance(given, _NUMBERS):
                self._point(f"system/{key}", self._stats, instant, float(given))
        self._stats += 1

    def _take_files(self, message: bytes) -> None:
        for _, value in fields(message):
            self.files |= {text_of(path) for field, path in fields(_bytes(value)) if field == 1}

    def _take_exit(self, message: bytes) -> None:
        self.exit_code = 0
        for number, value in fields(message):
            if number == 1:
                self.exit_code = signed(value)
            elif number == 2 and self.started_ms is not None:
                self._saw(self.started_ms + 1000 * signed(value))

    def _take_environment(self, message: bytes) -> None:
        for number, value in fields(message):
            if number == 5:
                self.environment.setdefault("args", []).append(text_of(value))
            elif number == 9:
                self._take_git(_bytes(value))
            elif number in _ENVIRONMENT:
                self.environment[_ENVIRONMENT[number]] = text_of(value)
        self.user = self.environment.get("username", self.user)
        self.host = self.environment.get("host", self.host)

    def _take_git(self, message: bytes) -> None:
        for number, value in fields(message):
            if number in (1, 2):
                setattr(self, "remote" if number == 1 else "commit", text_of(value))

    def _take_artifact(self, message: bytes) -> None:
        name, entries = "", dict[str, tuple[str, str]]()
        for number, value in fields(message):
            if number == 5:
                name = text_of(value)
            elif number == 12:
                entries |= dict(_entries(_bytes(value)))
        if name:
            self.artifacts.setdefault(name, {}).update(entries)

    def _point(self, key: str, step: int, at: int, value: float) -> None:
        keys, steps, instants, values = self.points
        keys.append(key)
        steps.append(step)
        instants.append(at)
        values.append(value)

    def _saw(self, instant: int) -> None:
        self.last_ms = max(self.last_ms or instant, instant)


_READERS: dict[int, Callable[[WandbRun, bytes], None]] = {
    2: WandbRun._take_history,
    3: WandbRun._take_summary,
    5: WandbRun._take_config,
    6: WandbRun._take_files,
    7: WandbRun._take_stats,
    8: WandbRun._take_artifact,
    17: WandbRun._take_run,
    18: WandbRun._take_exit,
    26: WandbRun._take_environment,
}
_TEXTS = {
    1: "id", 2: "entity", 3: "project", 6: "group", 7: "job_type", 8: "name", 9: "notes", 12: "sweep", 13: "host",
}  # fmt: skip
_ENVIRONMENT = {
    1: "os", 2: "python", 4: "docker", 6: "program", 7: "code_path", 10: "email", 11: "root", 12: "host",
    13: "username", 14: "executable", 15: "colab", 16: "cpu_count", 17: "cpu_count_logical", 18: "gpu_type",
    19: "gpu_count", 25: "cuda_version",
}  # fmt: skip


def _update(known: dict[str, Any], message: bytes) -> None:
    """Settings or summary after some changes; a nested value stands under a dotted name of its own."""
    for number, value in fields(message):
        if number not in (1, 2):
            continue
        key, given = _item(_bytes(value))
        for old in [one for one in known if one == key or one.startswith(f"{key}.")]:
            del known[old]
        if number == 1:
            known.update(_flat(key, given))


def _flat(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {key: value}
    return {name: one for part, inner in value.items() for name, one in _flat(f"{key}.{part}", inner).items()}


def _item(message: bytes) -> tuple[str, Any]:
    """A key, dotted when it is nested, and its value."""
    keys, value = list[str](), None
    for number, given in fields(message):
        if number in (1, 2):
            keys.append(text_of(given))
        elif number == _JSON:
            value = _json(text_of(given))
        elif number == 4:
            value = bool(given)
        elif number == 5:
            value = (int(given) >> 1) ^ -(int(given) & 1) if isinstance(given, int) else None
        elif number == 6:
            value = double_of(given)
        elif number == 7:
            value = text_of(given)
        elif number == 8:
            value = _json(text_of(given))
    return ".".join(keys), value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _entries(manifest: bytes) -> Iterator[tuple[str, tuple[str, str]]]:
    """Path, local file and base64 MD5 of what lies on this machine."""
    for number, value in fields(manifest):
        if number == 4:
            found = {field: text_of(one) for field, one in fields(_bytes(value)) if field in (1, 2, 6)}
            if found.get(1) and found.get(6):
                yield found[1], (found[6], found.get(2, ""))


def _millis(timestamp: bytes) -> int:
    found = dict(fields(timestamp))
    return 1000 * signed(found.get(1, 0)) + signed(found.get(2, 0)) // 1_000_000


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""
