"""A DVC project from a stranger: nothing is run, no other file comes along, and no file of it ends the process."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from bucle.ground.core import BucleError
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.data import BadDvcProject

CONTENT = b"hello"
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
OUT = f"outs:\n- md5: {MD5}\n  hash: md5\n  path: a\n"
NINES = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
BOMB = f"a0: &a0 [x, x, x]\n{NINES}"
STAGE = "stages:\n  s: {cmd: x}\n"

WRONG: dict[str, dict[str, str]] = {
    "bomb as a path": {"a.dvc": BOMB + OUT.replace("path: a", "path: *a9")},
    "bomb as a folder": {"a.dvc": f"{BOMB}wdir: *a9\n{OUT}"},
    "bomb as a command": {"dvc.yaml": f"{BOMB}stages:\n  s:\n    cmd: *a9\n"},
    "in itself": {"a.dvc": "outs: &a\n- *a\n"},
    "deep": {"a.dvc": "a: " + "[" * 100_000},
    "no list": {"a.dvc": "outs: 5\n"},
    "no paths": {"dvc.yaml": "stages:\n  s:\n    deps: 5\n"},
    "no mapping": {"dvc.yaml": STAGE, "dvc.lock": "stages: [1]\n"},
    "no output": {"dvc.yaml": STAGE, "dvc.lock": "stages: {s: {outs: [1]}}\n"},
    "no path": {"dvc.yaml": STAGE, "dvc.lock": "stages: {s: {deps: [{a: b}]}}\n"},
    "no date": {"a.dvc": OUT.replace("path: a", "path: 2020-13-45")},
    "long number": {"a.dvc": OUT.replace("path: a", f"path: {'9' * 10_000}")},
}


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """A DVC project whose cache has one content."""
    kept = tmp_path / "far" / ".dvc" / "cache" / "files" / "md5" / MD5[:2] / MD5[2:]
    kept.parent.mkdir(parents=True)
    kept.write_bytes(CONTENT)
    return tmp_path / "far"


@pytest.mark.parametrize("told", WRONG.values(), ids=WRONG)
def test_what_cannot_be_understood_is_said(project: Project, far: Path, told: dict[str, str]) -> None:
    for name, text in told.items():
        (far / name).write_text(text)
    with pytest.raises(BadDvcProject):
        data.import_dvc(project, far)
    assert data.log(project) == []


def test_anchors_that_are_no_bomb_are_read(project: Project, far: Path) -> None:
    (far / "a.dvc").write_text(f"meta: &m {{by: ana}}\nmore: [*m, *m]\n{OUT}")
    data.import_dvc(project, far)
    assert data.read_file(project, "far/a") == CONTENT


@pytest.mark.parametrize("path", ["../../x", "/etc/x", "a/../../x", "", "."])
def test_a_folder_lists_nothing_outside_of_itself(project: Project, far: Path, path: str) -> None:
    listed = json.dumps([{"md5": MD5, "relpath": path}]).encode()
    named = hashlib.md5(listed, usedforsecurity=False).hexdigest()
    kept = far / ".dvc" / "cache" / "files" / "md5" / named[:2] / f"{named[2:]}.dir"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(listed)
    (far / "d.dvc").write_text(f"outs:\n- md5: {named}.dir\n  hash: md5\n  path: d\n")
    with pytest.raises(BucleError):
        data.import_dvc(project, far)
    assert data.log(project) == []


@pytest.mark.parametrize("named", ["secret", "linked/secret", "params.yaml"])
def test_no_file_from_elsewhere_comes_along_by_a_link(project: Project, far: Path, tmp_path: Path, named: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "secret").write_text("a key")
    (far / "linked").symlink_to(tmp_path / "home")
    (far / "secret").symlink_to(tmp_path / "home" / "secret")
    (far / "params.yaml").symlink_to(tmp_path / "home" / "secret")
    if named != "params.yaml":
        (far / "params.yaml").unlink()
    (far / "dvc.yaml").write_text(f"stages:\n  s: {{cmd: x, deps: [{named}]}}\n")
    with pytest.raises(BadDvcProject, match="leads out"):
        data.import_dvc(project, far)
    assert data.log(project) == []
