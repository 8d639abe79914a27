"""DVC projects come in with the bytes of their MD5s and go out so that DVC takes them for its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from bucle.ground.project import Project
from bucle.line import data
from line.data.dvc_projects import DVC2, DVC3

BOTH = pytest.mark.parametrize("written", [DVC3, DVC2], ids=["dvc3", "dvc2"])
DVC = os.environ.get("BUCLE_TEST_DVC") or shutil.which("dvc")


def lay(folder: Path, files: Mapping[str, bytes]) -> Path:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


def outside(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if not path.startswith((".dvc/", ".git"))}


def contents(project: Project, below: str) -> dict[str, bytes]:
    tree = [path for path in data.files(project) if path.startswith(f"{below}/")]
    return {path.removeprefix(f"{below}/"): data.read_file(project, path) for path in tree}


@BOTH
def test_an_import_has_all_that_dvc_keeps(project: Project, tmp_path: Path, written: dict[str, bytes]) -> None:
    made = data.import_dvc(project, lay(tmp_path / "old", written))
    assert contents(project, "old") == outside(written)
    (stage,) = made.stages
    assert (stage.name, stage.command, stage.deps) == ("train", ("python3 train.py",), ("data", "train.py"))
    assert "model.txt" in stage.outs
    assert stage.params == ({"train.lr": 0.1} if "dvc.lock" in written else {})  # the second was never run
    assert {"data", "plain.txt"} <= set(made.outputs)
    again = data.import_dvc(project, tmp_path / "old")
    assert again.commit == made.commit


@BOTH
def test_contents_come_from_the_cache_when_the_workspace_was_changed(
    project: Project, tmp_path: Path, written: dict[str, bytes]
) -> None:
    old = lay(tmp_path / "old", written)
    shutil.rmtree(old / "data")
    (old / "plain.txt").write_bytes(b"edited, and DVC was not told")
    (old / "model.txt").unlink(missing_ok=True)
    data.import_dvc(project, old)
    # DVC 2 kept text of two files that differ in line ends alone once, so which of them comes out is not told.
    found = {path: content.replace(b"\r\n", b"\n") for path, content in contents(project, "old").items()}
    assert found == {path: content.replace(b"\r\n", b"\n") for path, content in outside(written).items()}


def test_contents_come_from_a_remote_and_are_compared(project: Project, tmp_path: Path) -> None:
    old = lay(tmp_path / "old", DVC3)
    shutil.move(old / ".dvc" / "cache", tmp_path / "far")
    other, store = "['remote \"other\"']\n    url = gs://nothing\n", "['remote \"store\"']\n    url = ../../far\n"
    (old / ".dvc" / "config").write_text(f"[core]\n    remote = store\n{other}{store}")
    for gone in ("plain.txt", "model.txt"):
        (old / gone).unlink()
    shutil.rmtree(old / "data")
    data.import_dvc(project, old)
    assert contents(project, "old") == outside(DVC3)
    for one in (tmp_path / "far").rglob("*"):
        if one.is_file() and one.read_bytes() == DVC3["plain.txt"]:
            one.write_bytes(b"damaged")
    with pytest.raises(data.BadDvcProject, match=r"plain\.txt"):
        data.import_dvc(project, old, "again")
    assert contents(project, "again") == {}


def test_what_lies_outside_of_the_project_is_left_alone(project: Project, tmp_path: Path) -> None:
    old = lay(tmp_path / "old", DVC3)
    (tmp_path / "secret").write_bytes(b"secret")
    md5 = hashlib.md5(b"secret").hexdigest()
    for number, path in enumerate(["../secret", str(tmp_path / "secret"), "remote://store/x"]):
        told = {"outs": [{"md5": md5, "hash": "md5", "path": path}]}
        (old / f"evil{number}.dvc").write_text(yaml.safe_dump(told))
    data.import_dvc(project, old)
    assert b"secret" not in contents(project, "old").values()


@pytest.mark.parametrize("text", ["- a list", "outs: [", "\x00", "!!python/object/apply:os.system ['true']"])
def test_what_cannot_be_understood_is_refused(project: Project, tmp_path: Path, text: str) -> None:
    old = lay(tmp_path / "old", DVC3)
    (old / "data.dvc").write_text(text)
    with pytest.raises(data.BadDvcProject, match=r"data\.dvc"):
        data.import_dvc(project, old)
    with pytest.raises(data.BadDvcProject):
        data.import_dvc(project, tmp_path)


@BOTH
def test_an_export_is_what_was_imported(project: Project, tmp_path: Path, written: dict[str, bytes]) -> None:
    old = lay(tmp_path / "old", written)
    data.import_dvc(project, old)
    done = data.export_dvc(project, tmp_path / "new", "old")
    new = tmp_path / "new"
    assert {path: (new / path).read_bytes() for path in outside(written)} == outside(written)
    # DVC keeps metrics too, to be found when a stage was run before; their description says it does not.
    cached = {p for p in written if p.startswith(".dvc/cache/") and written[p] != written.get("metrics.json")}
    found = {p.relative_to(new).as_posix() for p in (new / ".dvc" / "cache").rglob("*") if p.is_file()}
    assert found == cached
    assert done.objects == len(cached)
    for path in cached:
        if path.endswith(".dir"):
            assert (new / path).read_bytes() == written[path]


def test_files_that_dvc_never_saw_get_descriptions(project: Project, tmp_path: Path) -> None:
    data.commit(project, {}, files={"images/a": b"1", "images/ü/b": b"2", "list.csv": b"x"}, message="1")
    done = data.export_dvc(project, tmp_path / "new", remote=str(tmp_path / "far"))
    assert done.outputs == ("images", "list.csv")
    other = data.import_dvc(project, tmp_path / "new", "again")
    assert other.files == 3 + 2
    assert contents(project, "again")["images/ü/b"] == b"2"
    assert data.export_dvc(project, tmp_path / "new", "again").outputs == done.outputs


@pytest.mark.full
@pytest.mark.skipif(DVC is None, reason="dvc is not installed; name it in BUCLE_TEST_DVC")
@pytest.mark.parametrize("kind", ["imported", "new"])
def test_dvc_itself_takes_an_export_for_its_own(project: Project, tmp_path: Path, kind: str) -> None:
    files = outside(DVC3) if kind == "imported" else {"images/a": b"1", "images/ü/b": b"2", "list.csv": b"x"}
    if kind == "imported":
        data.import_dvc(project, lay(tmp_path / "old", DVC3), "x")
    else:
        data.commit(project, {}, files={f"x/{path}": content for path, content in files.items()}, message="1")
    new = tmp_path / "new"
    done = data.export_dvc(project, new, "x", remote=str(tmp_path / "far"))

    def dvc(*words: str) -> str:
        env = {**os.environ, "DVC_NO_ANALYTICS": "1"}
        return subprocess.run([str(DVC), *words], cwd=new, env=env, check=True, capture_output=True, text=True).stdout

    assert "up to date" in dvc("status")
    assert "No changes" in dvc("data", "status")
    for bring in (("checkout",), ("pull",)):
        for output in done.outputs:
            if (new / f"{output}.dvc").exists() or output == "model.txt":
                shutil.rmtree(new / output) if (new / output).is_dir() else (new / output).unlink()
        if bring == ("pull",):
            shutil.rmtree(new / ".dvc" / "cache")
        dvc(*bring)
        assert "up to date" in dvc("status")
        assert {path: (new / path).read_bytes() for path in files} == files


CHAIN: dict[str, bytes] = {
    ".dvc/config": b"",
    "dvc.yaml": (
        b"stages:\n"
        b"  last:\n    cmd: cat middle/a.txt middle/b.txt > deep/end.txt\n    deps: [middle]\n"
        b"    outs: [deep/end.txt]\n"
        b"  split:\n    wdir: work\n    cmd:\n    - mkdir -p ../middle\n    - head -1 ../begin.txt > ../middle/a.txt\n"
        b"    - tail -1 ../begin.txt > ../middle/b.txt\n    deps: [../begin.txt]\n    outs: [../middle]\n"
    ),
    "work/keep": b"",
    "begin.txt": b"one\ntwo\n",
}


def test_the_stages_of_an_imported_project_run_again_in_their_order(project: Project, tmp_path: Path) -> None:
    data.add_files(project, lay(tmp_path / "old", CHAIN), "old")
    first = data.reproduce_dvc(project, "old")
    assert [(one.stage, one.path, one.outcome) for one in first.made] == [
        ("split", "middle", "new"),
        ("last", "deep/end.txt", "new"),
    ]
    assert first.made[1].got == hashlib.md5(b"one\ntwo\n", usedforsecurity=False).hexdigest()
    assert not list(project.state.glob("dvc-*"))


def test_an_output_that_comes_out_otherwise_is_named(project: Project, tmp_path: Path) -> None:
    data.import_dvc(project, lay(tmp_path / "old", DVC3))
    found = data.reproduce_dvc(project, "old")
    assert found.is_identical
    assert {one.outcome for one in found.made} == {"same"}
    code = DVC3["train.py"] + b"open('model.txt', 'a').write('more')\n"
    data.import_dvc(project, lay(tmp_path / "new", {**DVC3, "train.py": code}))
    again = data.reproduce_dvc(project, "new")
    assert [one.path for one in again.made if one.outcome == "different"] == ["model.txt"]


def test_a_stage_that_fails_and_a_circle_are_told(project: Project, tmp_path: Path) -> None:
    wrong = {**CHAIN, "dvc.yaml": b"stages:\n  s:\n    cmd: echo no such thing; exit 3\n    outs: [x]\n"}
    data.add_files(project, lay(tmp_path / "wrong", wrong), "wrong")
    with pytest.raises(data.DvcStageFailed, match="status 3: no such thing"):
        data.reproduce_dvc(project, "wrong")
    circle = (
        b"stages:\n  a:\n    cmd: 'true'\n    deps: [y]\n    outs: [x]\n"
        b"  b:\n    cmd: 'true'\n    deps: [x]\n    outs: [y]\n"
    )
    data.add_files(project, lay(tmp_path / "circle", {**CHAIN, "dvc.yaml": circle}), "circle")
    with pytest.raises(data.BadDvcProject, match="wait for each other"):
        data.reproduce_dvc(project, "circle")
    assert not list(project.state.glob("dvc-*"))
