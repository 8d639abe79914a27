"""Moving in from W&B: a log that the real one wrote, whole, cut, flipped, resumed."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import math
import shutil
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.doors.migrate import BadSource, UnknownSchema, WandbFolder
from bucle.doors.migrate.wandb_log import WandbLog
from bucle.ground.core.protobuf import BadProtobuf, fields
from bucle.ground.project import Project
from bucle.line import tracking
from doors.migrate.conftest import HERE, Carry


def log_of(folder: Path) -> Path:
    return next(iter(folder.glob("*/run-*.wandb")))


def only_run(project: Project) -> tracking.WholeRun:
    (run,) = tracking.runs(project)
    return tracking.whole_runs(project, [run.id])[0]


def test_a_run_comes_with_config_history_summary_and_files(project: Project, wandb_folder: Path, carry: Carry) -> None:
    report = carry(WandbFolder(wandb_folder))
    assert report.is_sound
    assert report.left == {}
    run = only_run(project)
    assert (run.name, run.status) == ("quiet-fox-3", "failed")
    assert tracking.experiment(project, id=run.experiment_id).name == "digits"
    assert run.params == {
        "lr": "0.02",
        "layers": "[16, 32]",
        "optimizer.name": "adam",
        "optimizer.betas": "[0.9, 0.999]",
        "seed": "null",
    }
    loss = run.curves["loss"]
    assert loss.steps.tolist() == list(range(0, 300, 2))
    assert loss.values[1] == 0.5
    assert run.curves["nested.acc"].count == 150
    assert math.isnan(run.curves["nan"].values[0])
    assert run.curves["top"].values.tolist() == [math.inf]
    assert run.curves["flag"].values.tolist() == [1.0]
    assert run.curves["val/loss"].values.tolist() == [0.5]
    assert run.curves["best"].values.tolist() == [0.98]
    assert any(key.startswith("system/") for key in run.curves)
    assert run.tags["baseline"] == run.tags["cnn"] == "true"
    assert run.tags["mlflow.note.content"] == "first try\nof many"
    assert run.tags["wandb.summary.verdict"] == "fine"
    assert (run.tags["wandb.group"], run.tags["wandb.job_type"], run.tags["wandb.exit_code"]) == ("g1", "train", "3")
    owner = f"run/{run.id}"
    assert tracking.get_artifact(project, owner, "output.log").read_text() == "a line that was printed\n"
    others = tracking.get_artifact(project, owner, "wandb/history.jsonl").read_text().splitlines()
    assert {json.loads(line)["key"] for line in others} == {"hist._type", "hist.values", "hist.bins", "said"}


def test_moving_in_twice_changes_nothing(project: Project, wandb_folder: Path, carry: Carry) -> None:
    first, second = carry(WandbFolder(wandb_folder)), carry(WandbFolder(wandb_folder.parent))
    assert (first.new_runs, second.new_runs, second.is_sound) == (1, 0, True)
    assert len(tracking.runs(project)) == 1


def test_a_log_cut_short_gives_what_stood_before_and_tells_it(
    project: Project, wandb_folder: Path, carry: Carry
) -> None:
    log = log_of(wandb_folder)
    log.write_bytes(log.read_bytes()[:30_000])
    report = carry(WandbFolder(wandb_folder))
    (fault,) = report.faults
    assert "ends within a record" in fault.what
    assert not report.is_sound
    run = only_run(project)
    assert run.status == "killed"
    assert 10 < run.curves["loss"].count < 150


def test_a_flipped_bit_gives_what_stood_before_and_tells_where(
    project: Project, wandb_folder: Path, carry: Carry
) -> None:
    log = log_of(wandb_folder)
    data = bytearray(log.read_bytes())
    data[40_000] ^= 4
    log.write_bytes(data)
    report = carry(WandbFolder(wandb_folder))
    (fault,) = report.faults
    assert "checksum" in fault.what
    assert "byte" in fault.what
    assert only_run(project).curves["loss"].count > 50


LOG = next(iter((HERE / "wandb").glob("*/run-*.wandb")))
RECORDS = list(WandbLog(LOG).records())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(7, LOG.stat().st_size - 1), flip=st.integers(1, 255))
def test_any_flip_gives_a_beginning_of_the_records_and_is_told(tmp_path: Path, place: int, flip: int) -> None:
    damaged = bytearray(LOG.read_bytes())
    damaged[place] ^= flip
    found, damage = read(tmp_path, bytes(damaged))
    assert found == RECORDS[: len(found)]
    assert damage or found == RECORDS  # the few bytes at the end of a block mean nothing


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(7, LOG.stat().st_size - 1))
def test_any_cut_gives_a_beginning_of_the_records(tmp_path: Path, length: int) -> None:
    found, _ = read(tmp_path, LOG.read_bytes()[:length])
    assert found == RECORDS[: len(found)]
    assert len(found) < len(RECORDS)


def read(folder: Path, data: bytes) -> tuple[list[bytes], str]:
    file = folder / "run-x.wandb"
    file.write_bytes(data)
    log = WandbLog(file)
    return list(log.records()), log.damage


def test_records_framed_by_the_book_are_read_back(tmp_path: Path) -> None:
    records = [bytes([number % 256]) * (number * 997) for number in range(120)]
    assert read(tmp_path, framed(records)) == (records, "")


@given(st.binary(max_size=300))
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with contextlib.suppress(BadProtobuf):
        assert all(number > 0 for number, _ in fields(data))


def test_a_run_that_was_resumed_is_one_run(project: Project, wandb_folder: Path, carry: Carry) -> None:
    """Two folders of one id, as W&B leaves them: the second one's log goes on after the first one's."""
    before = log_of(wandb_folder).parent
    after = Path(shutil.copytree(before, before.with_name("offline-run-20991231_000000-later")))
    first, second = log_of(wandb_folder).read_bytes(), (after / log_of(wandb_folder).name)
    records = list(WandbLog(log_of(wandb_folder)).records())
    (before / second.name).write_bytes(framed(records[:100]))
    second.write_bytes(framed(records[:2] + records[100:]))
    assert len(first) > 0
    report = carry(WandbFolder(wandb_folder))
    assert (report.runs, report.is_sound) == (1, True)
    assert only_run(project).curves["loss"].count == 150


def framed(records: list[bytes]) -> bytes:
    """Records as W&B frames them."""
    out = bytearray(struct.pack("<4sHB", b":W&B", 0xBEE1, 0))
    for record in records:
        rest, kind_first = record, True
        while rest or kind_first:
            left = 32768 - len(out) % 32768
            if left < 7:
                out += bytes(left)
                continue
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[kind_first, not rest]
            out += struct.pack("<IHB", zlib.crc32(piece, zlib.crc32(bytes([kind]))), len(piece), kind) + piece
            kind_first = False
    return bytes(out)


def field(number: int, value: bytes | int) -> bytes:
    """One field of a message."""

    def varint(given: int) -> bytes:
        out = bytearray()
        while True:
            given, low = given >> 7, given & 0x7F
            out.append(low | (0x80 if given else 0))
            if not given:
                return bytes(out)

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def test_circumstances_and_files_of_artifacts_come_along(project: Project, tmp_path: Path, carry: Carry) -> None:
    weights = tmp_path / "staging"
    weights.write_bytes(b"weights")
    git = field(1, b"https://example.org/x.git") + field(2, b"abc123")
    environment = field(2, b"CPython 3.11") + field(6, b"train.py") + field(13, b"ana") + field(9, git)
    digest = base64.b64encode(hashlib.md5(b"weights", usedforsecurity=False).digest())
    good = field(1, b"model.bin") + field(2, digest) + field(6, str(weights).encode())
    forged = field(1, b"passwd") + field(2, b"AAAAAAAAAAAAAAAAAAAAAA==") + field(6, b"/etc/passwd")
    artifact = field(5, b"net") + field(12, field(4, good) + field(4, forged))
    records = [field(17, field(1, b"abcd1234") + field(3, b"nets")), field(26, environment), field(8, artifact)]
    folder = tmp_path / "wandb" / "run-1-abcd1234"
    folder.mkdir(parents=True)
    (folder / "run-abcd1234.wandb").write_bytes(framed([*records, field(18, field(1, 0))]))
    report = carry(WandbFolder(tmp_path))
    run = only_run(project)
    assert (run.status, run.actor, run.circumstances.code_commit) == ("finished", "ana", "abc123")
    files = tracking.run_by_id(project, run.id).artifacts
    assert set(files) == {"artifacts/net/model.bin", "wandb/environment.json"}
    assert report.left == {"files of artifacts that are not on this machine any more": 1}


def test_links_are_followed_only_when_told_so(project: Project, wandb_folder: Path, carry: Carry) -> None:
    outside = wandb_folder.parent / "checkpoint.bin"
    outside.write_bytes(b"weights")
    (log_of(wandb_folder).parent / "files" / "checkpoint.bin").symlink_to(outside)
    first = carry(WandbFolder(wandb_folder))
    assert [told for told in first.left if "--follow-links" in told]
    second = carry(WandbFolder(wandb_folder, follow_links=True))
    assert second.left == {}
    owner = f"run/{only_run(project).id}"
    assert tracking.get_artifact(project, owner, "checkpoint.bin").read_bytes() == b"weights"


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="no run of W&B"):
        WandbFolder(tmp_path)
    with pytest.raises(BadSource, match="no folder"):
        WandbFolder(tmp_path / "wandb")


@pytest.mark.parametrize("start", [b"", b"short", b"SQLite format 3", b":W&B\xe1\xbe\x07"])
def test_a_file_that_is_no_log_of_this_form_is_told(tmp_path: Path, start: bytes) -> None:
    file = tmp_path / "run-x.wandb"
    file.write_bytes(start)
    with pytest.raises(UnknownSchema):
        WandbLog(file)
