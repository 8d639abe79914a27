"""The stages of an imported DVC project, run again apart; what they give is compared with what DVC wrote down."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.checkout import checkout
from bucle.line.data.dvcfile import DvcOutput, DvcStage, DvcWorkspace, manifest, read_dvc
from bucle.line.data.dvcstore import hashed, md5_of, md5_of_list
from bucle.line.data.errors import BadDvcProject, DvcStageFailed

__all__ = ["DvcMade", "DvcReproduction", "reproduce_dvc"]

_LAST_WORDS = 2000


class DvcMade(Record, frozen=True):
    """An output of a stage that was run again.

    Attributes:
        stage: which.
        path: of the output, within the DVC project.
        recorded: its MD5 in dvc.lock; '' when the stage was never run before.
        got: its MD5 now; '' when nothing was written.
        outcome: `same`, `different`, or `new` when nothing was recorded.
    """

    stage: str
    path: str
    recorded: str
    got: str
    outcome: Literal["same", "different", "new"]


class DvcReproduction(Record, frozen=True):
    """What running a DVC project's stages again gave.

    Attributes:
        path: where the project lies in the tree.
        at: the commit or branch it was taken from.
        made: each output, in the order of the stages.
    """

    path: str
    at: str
    made: tuple[DvcMade, ...]

    @property
    def is_identical(self) -> bool:
        """Whether every output that was recorded came out the same."""
        return all(one.outcome != "different" for one in self.made)


def reproduce_dvc(
    project: Project, path: str, *, at: str = MAIN, report: Callable[[str], None] | None = None
) -> DvcReproduction:
    """Run the stages of an imported DVC project in a folder of its own, each after those whose outputs it reads.

    The folder holds what the commit has and no output of a stage; it is removed in the end. The commands are those of
    dvc.lock, or of dvc.yaml where a stage was never run: whoever may write the tree says what is run here.

    Args:
        path: where the project lies in the tree.
        at: a branch or commit.
        report: told the name of each stage before it runs.
    Raises:
        NoSuchFile: the tree has nothing there.
        BadDvcProject: it cannot be understood, or its stages wait for each other.
        DvcStageFailed: a command failed.
    Cost: as the stages take.
    """
    with tempfile.TemporaryDirectory(prefix="dvc-", dir=project.state) as scratch:
        root = Path(scratch) / "project"
        checkout(project, root, path, at=at)
        (root / ".dvc").mkdir(exist_ok=True)
        found = read_dvc(root)
        recorded = {one.path: one for one in found.outputs}
        stages = _ordered(found)
        for stage in stages:
            for out in stage.outs:
                _remove(root / out)
        made = list[DvcMade]()
        for stage in stages:
            if report:
                report(stage.name)
            _run(root, stage)
            made += [_made(root, stage, out, recorded.get(out)) for out in stage.outs]
    return DvcReproduction(path=path, at=at, made=tuple(made))


def _ordered(found: DvcWorkspace) -> list[DvcStage]:
    """Each stage after those that write what it reads.

    Raises:
        BadDvcProject: some wait for each other.
    """
    waiting, done, ordered = list(found.stages), set[str](), list[DvcStage]()
    written = {stage.name: stage.outs for stage in found.stages}
    while waiting:
        ready = [one for one in waiting if not _waits(one, written, done)]
        if not ready:
            raise BadDvcProject(
                f"The stages {', '.join(one.name for one in waiting)} wait for each other.",
                why="Each reads what another writes.",
                fix="Mend dvc.yaml until `dvc dag` draws it.",
                at=waiting[0].name,
            )
        ordered += ready
        done |= {one.name for one in ready}
        waiting = [one for one in waiting if one.name not in done]
    return ordered


def _waits(stage: DvcStage, written: Mapping[str, Iterable[str]], done: set[str]) -> bool:
    others = (out for name, outs in written.items() if name not in done and name != stage.name for out in outs)
    return any(_overlap(out, dep) for out in others for dep in stage.deps)


def _overlap(one: str, other: str) -> bool:
    """Whether a path lies in the other, or is it."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _run(root: Path, stage: DvcStage) -> None:
    """Carry out a stage's commands, and end all they started.

    Raises:
        DvcStageFailed: one failed.
    """
    for out in stage.outs:
        (root / out).parent.mkdir(parents=True, exist_ok=True)
    for command in stage.command:
        with subprocess.Popen(  # noqa: S602  DVC's commands are lines of a shell
            command,
            shell=True,
            cwd=root / stage.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate()
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode != 0:
            raise DvcStageFailed(
                f"The stage {stage.name} failed with status {process.returncode}: "
                f"{said.decode(errors='replace').strip()[-_LAST_WORDS:]}",
                why=f"It ran: {command}",
                fix="Install what it needs here, and see that it reads nothing from outside of the project.",
                at=stage.name,
            )


def _made(root: Path, stage: DvcStage, path: str, recorded: DvcOutput | None) -> DvcMade:
    before, got = recorded.md5 if recorded else "", _md5(root / path, is_legacy=bool(recorded and recorded.is_legacy))
    outcome: Literal["same", "different", "new"] = "same" if before == got else "different"
    return DvcMade(stage=stage.name, path=path, recorded=before, got=got, outcome=outcome if before else "new")


def _md5(path: Path, *, is_legacy: bool) -> str:
    if path.is_dir():
        return md5_of_list(manifest(hashed(path, is_legacy=is_legacy)))
    return md5_of(path, is_legacy=is_legacy) if path.is_file() else ""
