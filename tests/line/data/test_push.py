"""Push and pull: what arrives is what was there, only what is lacking goes, and nothing is ever half there."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buckets import REGION, client_of
from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.files import packs_of
from bucle.line.files.far import FarPacks

WORKER = str(Path(__file__).with_name("pusher.py"))
TOML = '[project]\nname = "{name}"\n[store.s3]\nendpoint = "{endpoint}"\nregion = "{region}"\nretry_s = 2.0\n'

Make = Callable[..., Project]


@pytest.fixture
def make(
    tmp_path: Path, clock: SimulatedClock, s3_server: str, credentials: None, migrated_file: Path
) -> Iterator[Make]:
    """Makes projects that reach the server."""
    opened = []

    def project(name: str, more: str = "") -> Project:
        root = tmp_path / name
        (root / ".bucle").mkdir(parents=True)
        toml = TOML.format(name=name, endpoint=s3_server, region=REGION)
        (root / "bucle.toml").write_text(toml if not more else more + "\n" + toml)
        shutil.copy(migrated_file, root / ".bucle" / "bucle.db")
        opened.append(Project.open(root, clock=clock, actor=name))
        return opened[-1]

    yield project
    for one in opened:
        one.close()


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place to push to."""
    return str(tmp_path / "far") if request.param == "folder" else f"s3://{request.getfixturevalue('bucket')}/team"


def noise(seed: int, count: int) -> bytes:
    return random.Random(seed).randbytes(count)


def folder_of(tmp_path: Path, name: str, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        target = tmp_path / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return tmp_path / name


def contents(project: Project, at: str = "main") -> dict[str, bytes]:
    return {path: data.read_file(project, path, at) for path in data.files(project, at)}


FILES = {"a": b"1", "empty": b"", "sub/b": noise(1, 5000), "big": noise(2, 5 << 20), "same": b"1"}


def test_what_is_pulled_is_what_was_pushed(make: Make, place: str, tmp_path: Path) -> None:
    ana, eva = make("ana"), make("eva")
    data.commit(ana, {}, files={"blob.txt": b"kept as a blob"}, message="a blob")
    data.add_files(ana, folder_of(tmp_path, "f", FILES))
    data.add_remote(ana, "origin", place)
    pushed = data.push(ana)
    assert pushed.sent_bytes > 5 << 20
    assert data.push(ana).sent_bytes == 0
    told: list[tuple[int, int]] = []
    pulled = data.pull(eva, place, tell=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 0
    assert contents(eva) == contents(ana) == {"blob.txt": b"kept as a blob", **{f"f/{p}": c for p, c in FILES.items()}}
    assert pulled.files == 6
    assert data.verify_files(eva) == []
    again = data.pull(eva, place)
    assert (again.fetched_bytes, again.commit) == (0, pulled.commit)
    (head,) = data.remote_heads(ana)
    assert (head.branch, head.author) == ("main", "ana")


def test_only_what_is_lacking_goes(make: Make, place: str, tmp_path: Path) -> None:
    ana, eva = make("ana"), make("eva")
    big = bytearray(noise(3, 24 << 20))
    folder = folder_of(tmp_path, "f", {"big": bytes(big)} | {f"{n}": noise(n, 3000) for n in range(50)})
    data.add_files(ana, folder)
    data.push(ana, place)
    data.pull(eva, place)
    big[12 << 20] ^= 1
    (folder / "big").write_bytes(big)
    (folder / "7").write_bytes(b"changed")
    data.add_files(ana, folder)
    assert data.push(ana, place).sent_bytes < 8 << 20
    assert data.pull(eva, place).fetched_bytes < 8 << 20
    assert contents(eva) == contents(ana)
    # The other way, from a project whose packs are cut differently.
    (folder / "8").write_bytes(b"by eva")
    data.checkout(eva, tmp_path / "g", "f")
    (tmp_path / "g" / "8").write_bytes(b"by eva")
    data.add_files(eva, tmp_path / "g", "f")
    assert data.push(eva, place).sent_bytes < 100_000
    assert data.pull(ana, place).fetched_bytes < 100_000
    assert contents(ana) == contents(eva)


def test_branches_that_parted_are_not_written_over(make: Make, place: str, tmp_path: Path) -> None:
    ana, eva = make("ana"), make("eva")
    data.add_files(ana, folder_of(tmp_path, "f", {"a": b"1"}))
    data.push(ana, place)
    data.pull(eva, place)
    data.add_files(ana, folder_of(tmp_path, "f", {"b": b"ana"}))
    data.add_files(eva, folder_of(tmp_path, "g", {"c": b"eva"}))
    data.push(ana, place)
    with pytest.raises(data.RemoteMoved):
        data.push(eva, place)
    with pytest.raises(data.RemoteMoved):
        data.pull(eva, place)
    assert set(data.files(eva)) == {"f/a", "g/c"}
    data.pull(eva, place, into="theirs")
    data.merge(eva, "theirs", message="both")
    assert set(data.files(eva)) == {"f/a", "f/b", "g/c"}
    data.push(eva, place)
    data.pull(ana, place)
    assert contents(ana) == contents(eva)
    data.push(ana, place, force=True)


def test_what_is_not_there_is_a_plain_error(make: Make, place: str) -> None:
    ana = make("ana")
    with pytest.raises(data.NoSuchRemote, match="origin"):
        data.push(ana)
    with pytest.raises(data.NothingThere):
        data.pull(ana, place)
    with pytest.raises(data.BadRemote):
        data.add_remote(ana, "x", "s3://key:secret@bucket")
    data.add_remote(ana, "x", place)
    assert [one.name for one in data.remotes(ana)] == ["x"]
    data.remove_remote(ana, "x")
    assert data.remotes(ana) == []


def damaged(place: str, s3_server: str, ending: str) -> None:
    """Flip a byte in the first object with this ending."""
    if not place.startswith("s3://"):
        path = next(Path(place).rglob(f"*{ending}"))
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
        return
    bucket, client = place.split("/")[2], client_of(s3_server)
    found = next(o["Key"] for o in client.list_objects_v2(Bucket=bucket)["Contents"] if o["Key"].endswith(ending))
    body = client.get_object(Bucket=bucket, Key=found)["Body"].read()
    client.put_object(Bucket=bucket, Key=found, Body=bytes([body[0] ^ 1]) + body[1:])


@pytest.mark.parametrize("ending", [".pack", ".list"])
def test_damage_there_is_found_by_a_pull(make: Make, place: str, tmp_path: Path, s3_server: str, ending: str) -> None:
    ana, eva = make("ana"), make("eva")
    data.add_files(ana, folder_of(tmp_path, "f", FILES))
    data.push(ana, place)
    damaged(place, s3_server, ending)
    with pytest.raises(data.PackDamaged):
        data.pull(eva, place)
    assert data.log(eva) == []
    assert list((eva.state / "files" / "packs").glob("*.p*")) == []


def test_two_pushes_at_once_leave_a_whole_remote(make: Make, place: str, tmp_path: Path, s3_server: str) -> None:
    ana, eva = make("ana"), make("eva")
    files = {f"{n}": noise(n, 40_000) for n in range(60)} | {"big": noise(5, 9 << 20)}
    data.add_files(ana, folder_of(tmp_path, "f", files))
    running = [subprocess.Popen([sys.executable, WORKER, str(ana.root), place, branch]) for branch in ("main", "main")]
    assert [one.wait(timeout=120) for one in running] == [0, 0]
    data.pull(eva, place)
    assert contents(eva) == contents(ana)


@pytest.mark.parametrize("share", [0.3, pytest.param(0.6, marks=pytest.mark.full), 0.95])
def test_a_push_killed_anywhere_leaves_nothing_half_there(make: Make, place: str, tmp_path: Path, share: float) -> None:
    ana, eva = make("ana"), make("eva")
    data.add_files(ana, folder_of(tmp_path, "f", {"a": b"first"}))
    for remote in (place, f"{place}/trial"):
        data.push(ana, remote)
    more = {f"{n}": noise(n, 9000) for n in range(20)}
    data.add_files(ana, folder_of(tmp_path, "f", more | {"big": noise(6, 4 << 20)}))
    trial = [sys.executable, WORKER, str(ana.root), f"{place}/trial", "main"]
    lines = int(subprocess.check_output(trial))
    dead = subprocess.run([sys.executable, WORKER, str(ana.root), place, "main", str(int(lines * share))], check=False)
    assert dead.returncode == -signal.SIGKILL
    data.pull(eva, place)
    assert contents(eva) in ({"f/a": b"first"}, contents(ana))
    data.push(ana, place)
    data.pull(eva, place)
    assert contents(eva) == contents(ana)
    assert data.verify_files(eva) == []


def test_a_pull_killed_in_the_middle_is_finished_by_the_next(make: Make, place: str, tmp_path: Path) -> None:
    ana, eva = make("ana"), make("eva")
    data.add_files(ana, folder_of(tmp_path, "f", FILES))
    data.add_files(ana, folder_of(tmp_path, "g", {"b": noise(8, 4 << 20)}))
    data.push(ana, place)
    fetch, came = FarPacks.fetch, []

    def dies(self: FarPacks, name: str, folder: Path) -> int:
        if came:
            raise KeyboardInterrupt
        came.append(name)
        return fetch(self, name, folder)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FarPacks, "fetch", dies)
        with pytest.raises(KeyboardInterrupt):
            data.pull(eva, place)
    assert data.log(eva) == []
    whole = data.push(ana, place).size_bytes
    assert data.pull(eva, place).fetched_bytes < whole
    assert contents(eva) == contents(ana)


def test_packs_of_a_project_in_a_bucket_lie_there_and_are_fetched_when_missing(
    make: Make, bucket: str, tmp_path: Path
) -> None:
    ana = make("ana", f'[store]\nblobs = "s3://{bucket}/blobs"')
    data.add_files(ana, folder_of(tmp_path, "f", FILES))
    before = contents(ana)
    packs = ana.state / "files" / "packs"
    for pack in packs.glob("*.pack"):
        pack.unlink()
    root, clock = ana.root, ana.clock
    ana.close()
    again = Project.open(root, clock=clock, actor="ana")
    assert contents(again) == before
    assert len(list(packs.glob("*.pack"))) == 1
    for pack in packs.glob("*.pack"):
        pack.unlink()
    packs_of(again).refresh()
    (tmp_path / "f" / "a").write_bytes(b"2")
    data.add_files(again, tmp_path / "f")
    assert data.checkout(again, tmp_path / "g", "f").commit == data.resolve(again).id
    assert data.verify_files(again) == []
    data.sweep(again)
    assert data.status(again, tmp_path / "g", "f").unchanged == len(FILES)
    again.close()
