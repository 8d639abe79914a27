"""`bucle replay`: another policy over recorded history."""

from __future__ import annotations

import tomllib
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import pair
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    from bucle import loop
    from bucle.ground.project import Project

__all__ = ["VERBS"]


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model")
    parser.add_argument(
        "policy", nargs="?", default="", metavar="POLICY.toml", help="the other policy: what stands under [loop.MODEL]"
    )
    parser.add_argument(
        "--set", dest="changes", action="append", type=_change, default=[], metavar="KEY=VALUE",
        help="one setting of it, as TOML, e.g. retrain.on=[] or rollout.steps=[0.5]",
    )  # fmt: skip


def _change(text: str) -> dict[str, Any]:
    """`retrain.on=[]` as `{"retrain": {"on": []}}`; a word without quotes is a text."""
    key, value = pair(text)
    for written in (value, f'"{value}"'):
        try:
            return tomllib.loads(f"{key} = {written}")
        except tomllib.TOMLDecodeError:
            continue
    raise ArgumentTypeError(f"{text!r} is no KEY=VALUE with a TOML value")


def _run(options: Namespace, terminal: Terminal) -> None:
    from bucle import loop
    from bucle.loop.engine import KINDS

    with terminal.project() as project:
        policy = _other(project, options)
        found = loop.replay(policy, project.ledger.events(kinds=KINDS))
    terminal.show(found, told=_counts(found))
    rows = [
        {"since": one.since, "until": one.until, "served": one.version, "auc": one.auc,
         "would have served": _version(one.other_version), "its auc": one.other_auc}
        for one in found.windows
    ]  # fmt: skip
    terminal.tell_table(rows, title="window by window")
    terminal.tell_table([{"assumed": one} for one in found.assumptions], title="what nobody recorded")
    terminal.next(f"bucle loop history {options.model}")


def _counts(found: loop.Replay) -> list[dict[str, Any]]:
    kinds = sorted({*found.recorded, *found.replayed})
    return [
        {"decision": kind, "recorded": found.recorded.get(kind, 0), "replayed": found.replayed.get(kind, 0)}
        for kind in kinds
    ]


def _version(number: int) -> str:
    from bucle.loop.replay import UNRECORDED

    return f"{number} (never trained)" if number > UNRECORDED else str(number)


def _other(project: Project, options: Namespace) -> loop.Policy:
    """The project's policy with what the file and `--set` change.

    Raises:
        NoSuchLoop: there is no such loop.
        ConfigError, BadPolicy: a key or a value makes no sense.
    """
    from bucle import loop
    from bucle.ground.core import Config, to_builtins
    from bucle.loop.policy import checked, replace_names

    settings: dict[str, Any] = to_builtins(loop.policy_of(project, options.model))
    for changes in [_read(Path(options.policy), options.model) if options.policy else {}, *options.changes]:
        settings = _merged(settings, changes)
    config = Config({"loop": {options.model: settings}}, options.policy or "--set")
    return checked(replace_names(config.section(f"loop.{options.model}", loop.Policy), options.model))


def _read(path: Path, model: str) -> dict[str, Any]:
    """A policy's table: the whole file, or its `[loop.MODEL]`."""
    from bucle.ground.core import ConfigError, NotFound

    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}.", fix="Name a TOML file.", at=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", fix="Mend that line.", at=str(path)) from error
    table = read.get("loop", {}).get(model, read)
    return dict(table)


def _merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with changes laid over them, table by table."""
    both = dict(settings)
    for name, value in changes.items():
        known = both.get(name)
        both[name] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return both


VERBS: tuple[Verb, ...] = (
    Verb("", "another policy over recorded history, side by side", _run, _arguments,
         "bucle replay tumours --set retrain.on=[]"),
)  # fmt: skip
