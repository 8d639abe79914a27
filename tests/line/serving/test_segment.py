from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.line.serving import (
    PREDICTION_COLUMNS,
    LogUnwritable,
    Prediction,
    PredictionLog,
    SegmentDamaged,
    closed_segments,
    frame_of,
    read_live,
    read_segments,
)

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
GOLDEN = Path(__file__).parent / "golden"


def prediction(at: int, *, rows: int = 2, failed: bool = False) -> Prediction:
    return Prediction(
        request_id=f"r{at}",
        at=NOON + timedelta(seconds=at),
        endpoint="flights",
        model="delay",
        version=3,
        package="ab" * 32,
        arm="canary" if failed else "champion",
        routing_key=f"r{at}",
        status="error" if failed else "ok",
        error="it broke" if failed else "",
        latency_us=1234,
        rows=rows,
        ids=[f"flight-{at}-{row}" for row in range(rows)],
        instants=[NOON] * rows,
        request={"hour": [5.5] * rows, "carrier": ["UA", None][:rows]},
        features={"rain": [0.25] * rows},
        outputs={} if failed else {"label": [1] * rows, "probability": [0.75] * rows},
        score="probability",
    )


def log(folder: Path, **limits: float) -> PredictionLog:
    return PredictionLog(folder, max_bytes=int(limits.get("max_bytes", 1 << 20)), max_age_s=limits.get("max_age_s", 60))


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    writer, made = log(tmp_path), [prediction(at, failed=at % 3 == 0) for at in range(10)]
    for each in made:
        writer.append(each)
    assert read_segments(tmp_path) == made


def test_a_segment_is_closed_when_it_is_rotated_and_not_before(tmp_path: Path) -> None:
    writer = log(tmp_path)
    writer.append(prediction(1))
    assert closed_segments(tmp_path) == []
    writer.rotate()
    assert len(closed_segments(tmp_path)) == 1


def test_a_large_or_old_segment_is_closed_by_itself(tmp_path: Path) -> None:
    large = log(tmp_path / "large", max_bytes=100)
    large.append(prediction(1))
    assert len(closed_segments(tmp_path / "large")) == 1
    old = log(tmp_path / "old", max_age_s=0)
    old.append(prediction(1))
    old.tend()
    assert len(closed_segments(tmp_path / "old")) == 1


def whole_segment(folder: Path, count: int) -> Path:
    writer = log(folder)
    for at in range(count):
        writer.append(prediction(at))
    writer.rotate()
    return closed_segments(folder)[0]


@given(cut=st.floats(0, 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_a_segment_cut_anywhere_gives_every_whole_prediction(tmp_path: Path, cut: float) -> None:
    shutil.rmtree(tmp_path / "cut", ignore_errors=True)
    path = whole_segment(tmp_path / "cut", 5)
    data = path.read_bytes()
    size = (len(data) - 8) // 5
    keep = int(cut * len(data))
    path.write_bytes(data[:keep])
    assert read_segments(path.parent) == [prediction(at) for at in range(max(0, keep - 8) // size)]


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
def test_one_flipped_bit_anywhere_is_found_and_the_file_named(tmp_path: Path, place: float, bit: int) -> None:
    shutil.rmtree(tmp_path / "flip", ignore_errors=True)
    path = whole_segment(tmp_path / "flip", 4)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(bytes(data))
    with pytest.raises(SegmentDamaged, match=path.name):
        read_segments(path.parent)


def test_zeros_that_a_power_cut_left_at_the_end_are_no_damage(tmp_path: Path) -> None:
    path = whole_segment(tmp_path, 3)
    path.write_bytes(path.read_bytes() + bytes(500))
    assert len(read_segments(tmp_path)) == 3


def test_the_live_reader_goes_on_where_it_stopped_also_over_collected_segments(tmp_path: Path) -> None:
    writer = log(tmp_path)
    writer.append(prediction(1))
    first, cursor = read_live(tmp_path)
    writer.append(prediction(2))
    second, cursor = read_live(tmp_path, cursor)
    writer.rotate()
    closed_segments(tmp_path)[0].unlink()
    writer.append(prediction(3))
    third, cursor = read_live(tmp_path, cursor)
    assert [[p.request_id for p in found] for found in (first, second, third)] == [["r1"], ["r2"], ["r3"]]
    assert read_live(tmp_path, cursor) == ([], cursor)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_refuses_the_prediction_whole_and_the_log_goes_on_afterwards(tmp_path: Path) -> None:
    writer = log(tmp_path)
    writer.append(prediction(1))
    size = closed_or_open(tmp_path).stat().st_size
    with files_no_larger_than(size + 50), pytest.raises(LogUnwritable):
        writer.append(prediction(2))
    assert closed_or_open(tmp_path).stat().st_size == size
    writer.append(prediction(3))
    assert [p.request_id for p in read_segments(tmp_path)] == ["r1", "r3"]


def closed_or_open(folder: Path) -> Path:
    return next(folder.glob("*.seg"))


def test_a_segment_of_a_dead_process_counts_as_closed(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        log(tmp_path).append(prediction(1))
        os._exit(0)
    os.waitpid(pid, 0)
    assert len(closed_segments(tmp_path)) == 1


def test_a_segment_written_by_the_first_version_is_still_read() -> None:
    assert read_segments(GOLDEN) == [prediction(1), prediction(2, failed=True)]


def test_the_frame_has_a_row_for_each_predicted_row() -> None:
    frame = frame_of([prediction(1), prediction(2, rows=1, failed=True)])
    assert dict(frame.schema) == PREDICTION_COLUMNS
    assert frame["prediction_id"].to_list() == ["r1/0", "r1/1", "r2/0"]
    assert frame["score"].to_list() == [0.75, 0.75, None]
    assert frame["entity"].to_list() == ["flight-1-0", "flight-1-1", "flight-2-0"]
    assert frame["request"].to_list()[:2] == ['{"hour":5.5,"carrier":"UA"}', '{"hour":5.5,"carrier":null}']
    assert frame["instant"].to_list() == [NOON] * 3
    assert frame.filter(pl.col("status") == "error")["error"].to_list() == ["it broke"]


def test_the_score_of_several_probabilities_is_the_last() -> None:
    import msgspec

    two = msgspec.structs.replace(prediction(1), outputs={"probability": [[0.1, 0.9], [0.8, 0.2]]})
    assert frame_of([two])["score"].to_list() == [0.9, 0.2]


def test_a_frame_of_nothing_has_the_columns_all_the_same() -> None:
    assert dict(frame_of([]).schema) == PREDICTION_COLUMNS
