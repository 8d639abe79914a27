"""The frame: exit statuses, near misses, one JSON document."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bucle.doors.cli import status
from bucle.doors.cli.verb import Verb
from bucle.ground.core import (
    BucleError,
    ConfigError,
    NotAllowed,
    NotFound,
    Refused,
    StateError,
    StoreError,
    UserError,
)
from bucle.version import __version__
from doors.cli.typed import PROGRAM, Bucle


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (BucleError, 1),
        (StoreError, 1),
        (UserError, 2),
        (ConfigError, 2),
        (NotFound, 3),
        (NotAllowed, 4),
        (Refused, 5),
        (StateError, 6),
    ],
)
def test_each_kind_of_error_has_its_exit_status_and_three_sentences(
    bucle: Bucle, monkeypatch: pytest.MonkeyPatch, kind: type[BucleError], expected: int
) -> None:
    _raising(monkeypatch, kind("It broke.", why="For a test.", fix="Mend it."))
    said = bucle("status")
    assert said.status == expected
    assert said.err == f"error[{kind.code}] It broke.\n  why: For a test.\n  fix: Mend it.\n"
    assert bucle("status", "--json").record == {
        "error": {"code": kind.code, "what": "It broke.", "why": "For a test.", "fix": "Mend it.", "at": ""}
    }


def test_what_nobody_foresaw_is_an_error_without_a_traceback(bucle: Bucle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUCLE_DEBUG", raising=False)
    _raising(monkeypatch, ZeroDivisionError("by zero"))
    said = bucle("status")
    assert said.status == 1
    assert "error[BU1623] ZeroDivisionError: by zero" in said.err
    assert "Traceback" not in said.err


def test_with_debug_set_it_is_raised_as_it_is(bucle: Bucle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCLE_DEBUG", "1")
    _raising(monkeypatch, ZeroDivisionError("by zero"))
    with pytest.raises(ZeroDivisionError):
        bucle("status")


def test_ctrl_c_gives_130(bucle: Bucle, monkeypatch: pytest.MonkeyPatch) -> None:
    _raising(monkeypatch, KeyboardInterrupt())
    said = bucle("status")
    assert (said.status, said.err) == (130, "")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("modl list", "There is no command 'modl'. Did you mean 'model'?"),
        ("model lst", "Did you mean 'list'?"),
        ("--project . status", "'--project' stands where a command should."),
        ("data", "the following arguments are required: VERB"),
        ("data list --jsn", "unrecognized arguments: --jsn"),
        ("audit list --since yesterday", "'yesterday' is no instant"),
        ("audit list --limit 0", "'0' is no whole number from 1 on"),
        ("deploy shift x 2", "'2' is no share between 0 and 1"),
        ("run train -p rounds", "'rounds' is no name=value"),
        ("replay m --set on", "'on' is no name=value"),
    ],
)
def test_wrong_use_gives_2_and_names_what_is_wrong(bucle: Bucle, command: str, words: str) -> None:
    said = bucle(*command.split())
    assert said.status == 2
    assert words in said.err
    assert bucle(*command.split(), "--json").record["error"]["code"] == "BU1601"


def test_outside_a_project_a_command_says_how_to_make_one(bucle: Bucle, tmp_path: Path) -> None:
    said = bucle("model", "list", "--project", str(tmp_path))
    assert said.status == 3
    assert "bucle init" in said.err


def test_a_wrong_key_in_the_settings_is_wrong_use(bucle: Bucle, empty: Path) -> None:
    (empty / "bucle.toml").write_text('[project]\nnam = "x"\n')
    said = bucle("data", "list", "--project", str(empty))
    assert said.status == 2
    assert "name" in said.err


def test_an_empty_project_is_answered_with_what_fills_it(bucle: Bucle, empty: Path) -> None:
    for command in ("data list", "model list", "gate list", "deploy list", "runs list", "run --list", "loop list"):
        said = bucle(*command.split(), "--project", str(empty))
        assert (command, said.status, said.out) == (command, 0, "")
        assert "next: " in said.err
        assert bucle(*command.split(), "--project", str(empty), "--json").record == []


def test_the_overview_names_every_group(bucle: Bucle) -> None:
    said = bucle("--help")
    assert said.status == 0
    assert all(word in said.out for word in ("Start", "Data and features", "Production", "The loop", "Trust"))
    assert bucle().out == said.out


def test_the_version_is_the_packages(bucle: Bucle) -> None:
    assert bucle("--version").out == f"bucle {__version__}\n"


def test_the_overview_survives_a_reader_that_goes_away() -> None:
    with subprocess.Popen([str(PROGRAM), "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 0


def _raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(options: object, terminal: object) -> None:
        raise error

    monkeypatch.setattr(status, "VERBS", (Verb("", "fails", fail),))
