"""What folders of files cost over the work that cannot be avoided: many small files, one large one, one byte changed.

    python benchmarks/files.py [--files 1000,10000] [--large-mb 64,256] [--rounds 5] [--tree 1000000] [--dvc PATH]

`--dvc` names an executable of DVC, which then does the same beside. `--tree` is a tree of so many paths.

CPU ratios are of CPU seconds of this process and its threads, the lowest of some rounds; the yardstick is measured in
the same rounds. `cp` is run as a program; the add of a large file is forced to the disk, so `cp` is shown with and
without `sync`.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

from bucle.ground.project import Project
from bucle.line import data


class Cost:
    """The lowest CPU and wall seconds of what was run."""

    def __init__(self) -> None:
        self.cpu_s = self.wall_s = float("inf")

    def run(self, what: Callable[[], object]) -> None:
        cpu, wall = used_s(), time.perf_counter()
        what()
        self.cpu_s = min(self.cpu_s, used_s() - cpu)
        self.wall_s = min(self.wall_s, time.perf_counter() - wall)


def used_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def scan(folder: str) -> int:
    found, todo = 0, [folder]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                else:
                    found += entry.stat(follow_symlinks=False).st_size
    return found


def read_all(folder: str) -> None:
    todo = [folder]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                else:
                    with open(entry.path, "rb", buffering=0) as file:  # noqa: PTH123  the yardstick is the quickest way
                        blake3(file.read()).digest()


def show(what: str, ours: float, yardstick: float, limit: float, of: str) -> None:
    ratio = ours / yardstick
    print(f"{what:<44} {ours * 1000:9.1f} ms {yardstick * 1000:9.1f} ms {ratio:7.2f}x  <= {limit}x {of}")


def opened(folder: Path, name: str) -> Project:
    root = folder / name
    root.mkdir()
    (root / "bucle.toml").write_text(f'[project]\nname = "{name}"\n')
    return Project.open(root, actor="bench")


def small(folder: Path, count: int, rounds: int) -> None:
    files = folder / "small"
    for number in range(count):
        target = files / f"{number % 100:02d}" / f"{number:06d}.bin"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(os.urandom(4096))
    time.sleep(0.1)
    limit, bare, add, again, first, status, out = (Cost() for _ in range(7))
    for number in range(rounds):
        project = opened(folder, f"small-{number}")
        limit.run(lambda: read_all(str(files)))
        add.run(lambda p=project: data.add_files(p, files))
        bare.run(lambda: scan(str(files)))
        first.run(lambda p=project: data.status(p, files))
        status.run(lambda p=project: data.status(p, files))
        again.run(lambda p=project: data.add_files(p, files))
        out.run(lambda p=project, n=number: data.checkout(p, folder / f"out-{n}", "small"))
        project.close()
    show(f"add {count:,} files of 4 KB, CPU", add.cpu_s, limit.cpu_s, 3, "read + blake3, CPU")
    show("the same, wall, fsync included", add.wall_s, limit.wall_s, 3, "read + blake3, wall")
    show("the first status after an add, CPU", first.cpu_s, bare.cpu_s, 2, "scandir + stat, CPU")
    show("status, nothing changed, CPU", status.cpu_s, bare.cpu_s, 2, "scandir + stat, CPU")
    show("add again, nothing changed, CPU", again.cpu_s, bare.cpu_s, 3, "scandir + stat, CPU")
    show("checkout of all, CPU", out.cpu_s, limit.cpu_s, 10, "read + blake3, CPU (no bar: for the record)")


def large(folder: Path, size_mb: int, rounds: int) -> None:
    files = folder / "large"
    files.mkdir()
    target, copy = files / "big.bin", folder / "copy.bin"
    target.write_bytes(os.urandom(size_mb << 20))
    subprocess.run(["sync", str(target)], check=True)
    cp, synced, add, changed = Cost(), Cost(), Cost(), Cost()
    for number in range(rounds):
        project = opened(folder, f"large-{number}")
        cp.run(lambda: subprocess.run(["cp", str(target), str(copy)], check=True))
        copy.unlink()
        synced.run(lambda: subprocess.run(["sh", "-c", f"cp {target} {copy} && sync {copy}"], check=True))
        copy.unlink()
        add.run(lambda p=project: data.add_files(p, files))
        before = kept(project)
        with target.open("r+b") as file:
            file.seek((size_mb << 20) * 2 // 3 + number)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        changed.run(lambda p=project: data.add_files(p, files))
        new = kept(project) - before
        project.close()
        shutil.rmtree(folder / f"large-{number}")
    show(f"add {size_mb} MB, wall, fsync included", add.wall_s, cp.wall_s, 1.3, "cp, wall, not synced")
    show("the same", add.wall_s, synced.wall_s, 1.3, "cp && sync, wall")
    show("the same, CPU", add.cpu_s, cp.cpu_s, 3, "cp, CPU (no bar: for the record)")
    show("add again, one byte changed, wall", changed.wall_s, cp.wall_s, 1.3, "cp, wall, not synced")
    print(f"{'one byte changed stores':<44} {new / (1 << 20):9.2f} MB  <= 8 MB")


def kept(project: Project) -> int:
    return sum(path.stat().st_size for path in (project.state / "files" / "packs").glob("*.pack"))


def dvc(folder: Path, files: Path, program: str, count: int) -> None:
    """DVC on the same files: add, status, add again after one change, checkout; each once, since it takes long."""
    root = folder / f"dvc-{files.name}"
    root.mkdir()
    env = {**os.environ, "DVC_NO_ANALYTICS": "1"}

    def run(*words: str) -> Callable[[], object]:
        return lambda: subprocess.run([program, *words], cwd=root, env=env, check=True, capture_output=True)

    run("init", "--no-scm", "-q")()
    subprocess.run(["cp", "-r", str(files), str(root / "x")], check=True)
    project = opened(folder, f"beside-{files.name}")
    ours, theirs = Cost(), Cost()
    theirs.run(run("add", "-q", "x"))
    ours.run(lambda: data.add_files(project, files, "x"))
    show(f"dvc: add of {count:,} files, CPU", ours.cpu_s, theirs.cpu_s, 0.1, "dvc, CPU")
    ours, theirs = Cost(), Cost()
    theirs.run(run("status", "-q"))
    ours.run(lambda: data.status(project, files, "x"))
    show("dvc: status, nothing changed, CPU", ours.cpu_s, theirs.cpu_s, 0.25, "dvc, CPU")
    shutil.rmtree(root / "x")
    ours, theirs = Cost(), Cost()
    theirs.run(run("checkout", "-q"))
    ours.run(lambda: data.checkout(project, folder / f"out-{files.name}", "x"))
    show("dvc: checkout of all, CPU", ours.cpu_s, theirs.cpu_s, 0.25, "dvc, CPU")
    project.close()
    shutil.rmtree(root)


def tree(folder: Path, count: int) -> None:
    """A tree of very many paths: what a branch costs, and a commit of one file more."""
    project, entry = opened(folder, "tree"), files_of(count)
    made = build_commit(project, entry)
    cost, before = Cost(), sum(one.stat().st_size for one in project.state.rglob("*") if one.is_file())
    cost.run(lambda: data.create_branch(project, "other", made))
    print(f"{f'a branch of {count:,} files':<44} {cost.cpu_s * 1000:9.1f} ms CPU")
    cost = Cost()
    cost.run(lambda: data.commit(project, {}, files={"images/new.png": b"x"}, branch="other", message="one more"))
    after = sum(one.stat().st_size for one in project.state.rglob("*") if one.is_file())
    print(
        f"{'a commit of one file to it':<44} {cost.cpu_s * 1000:9.1f} ms CPU, {(after - before) / 1024:9.1f} KB written"
    )
    project.close()


def files_of(count: int) -> dict[str, data.FileEntry]:
    one = blake3(b"").hexdigest()
    return {f"images/{n % 1000:03d}/{n:07d}.png": data.FileEntry(digest=one, size_bytes=0) for n in range(count)}


def build_commit(project: Project, entries: dict[str, data.FileEntry]) -> str:
    """The tree made visible by the way an add takes, without a million files on the disk."""
    from bucle.line.data.add import publish_files

    project.blobs.put(b"")
    return publish_files(project, dict(entries), None, branch="main", message="many", key=None).id


def numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",") if one]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=numbers, default=[10_000])
    parser.add_argument("--large-mb", type=numbers, default=[256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tree", type=int, default=0)
    parser.add_argument("--dvc", default="")
    options = parser.parse_args()
    for count in options.files:
        with tempfile.TemporaryDirectory() as folder:
            small(Path(folder), count, options.rounds)
            if options.dvc:
                dvc(Path(folder), Path(folder) / "small", options.dvc, count)
    for size_mb in options.large_mb:
        with tempfile.TemporaryDirectory() as folder:
            large(Path(folder), size_mb, options.rounds)
            if options.dvc:
                dvc(Path(folder), Path(folder) / "large", options.dvc, 1)
    if options.tree:
        with tempfile.TemporaryDirectory() as folder:
            tree(Path(folder), options.tree)


if __name__ == "__main__":
    main()
