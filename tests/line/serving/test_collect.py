from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bucle.ground.project import Project
from bucle.line import data, serving
from bucle.line.serving import PREDICTIONS, Prediction, PredictionLog, SegmentDamaged

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def prediction(at: int) -> Prediction:
    return Prediction(
        request_id=f"r{at}",
        at=NOON,
        endpoint="flights",
        model="delay",
        version=1,
        package="ab" * 32,
        arm="champion",
        routing_key="",
        status="ok",
        error="",
        latency_us=5,
        rows=1,
        ids=["f"],
        instants=[NOON + timedelta(days=at)],
        request={"hour": [1.0]},
        features={},
        outputs={"probability": [0.5]},
        score="probability",
    )


def write(project: Project, numbers: range, segments: int = 1) -> None:
    folder = serving.endpoint_folder(project.state, "flights") / "log"
    for part in range(segments):
        log = PredictionLog(folder, max_bytes=1 << 20, max_age_s=60)
        for at in numbers[part::segments]:
            log.append(prediction(at))
        log.rotate()


def ids(project: Project) -> list[str]:
    return sorted(data.scan(project, PREDICTIONS, columns=["request_id"])["request_id"].to_list())


def test_segments_move_into_the_table_with_one_event_and_their_names(any_project: Project) -> None:
    write(any_project, range(10), segments=3)
    assert serving.collect(any_project, "flights") == 10
    assert ids(any_project) == sorted(f"r{at}" for at in range(10))
    assert [segment.rows for segment in serving.collected_segments(any_project, "flights")] == [4, 3, 3]
    assert len(any_project.ledger.events(kinds=["data.committed"])) == 1
    assert serving.collect(any_project, "flights") == 0
    assert any_project.ledger.size() == 1


def test_a_segment_left_behind_by_a_crash_after_the_commit_is_not_moved_again(project: Project) -> None:
    write(project, range(5))
    folder = serving.endpoint_folder(project.state, "flights") / "log"
    segment = next(folder.glob("*.seg"))
    content = segment.read_bytes()
    serving.collect(project, "flights")
    segment.write_bytes(content)
    assert serving.collect(project, "flights") == 0
    assert not segment.exists()
    assert len(ids(project)) == 5


COLLECT = """
import os, signal, sys, threading, time
from bucle.ground.project import Project
from bucle.line import serving
project = Project.open(sys.argv[1])
if float(sys.argv[2]) >= 0:
    threading.Timer(float(sys.argv[2]), os.kill, (os.getpid(), signal.SIGKILL)).start()
serving.collect(project, "flights")
os._exit(0)
"""


def collector(project: Project, kill_after_s: float = -1) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", COLLECT, str(project.root), str(kill_after_s)])


def test_collectors_at_the_same_time_move_each_prediction_once(project: Project) -> None:
    write(project, range(60), segments=6)
    collectors = [collector(project) for _ in range(3)]
    assert [each.wait(timeout=120) for each in collectors] == [0, 0, 0]
    assert ids(project) == sorted(f"r{at}" for at in range(60))


@pytest.mark.parametrize("delay", [0.0, 0.02])
def test_a_collector_killed_at_work_loses_and_doubles_nothing(project: Project, delay: float) -> None:
    write(project, range(40), segments=4)
    collector(project, delay).wait(timeout=60)
    serving.collect(project, "flights")
    assert ids(project) == sorted(f"r{at}" for at in range(40))


@pytest.mark.full
def test_twenty_collectors_killed_at_work_lose_and_double_nothing(project: Project) -> None:
    for turn in range(20):
        write(project, range(turn * 40, turn * 40 + 40), segments=4)
        collector(project, turn * 0.01).wait(timeout=60)
    serving.collect(project, "flights")
    assert ids(project) == sorted(f"r{at}" for at in range(800))


def test_a_damaged_segment_is_named_and_nothing_of_it_moved(project: Project) -> None:
    write(project, range(5))
    segment = next((serving.endpoint_folder(project.state, "flights") / "log").glob("*.seg"))
    content = bytearray(segment.read_bytes())
    content[60] ^= 1
    segment.write_bytes(bytes(content))
    with pytest.raises(SegmentDamaged, match=segment.name):
        serving.collect(project, "flights")
    assert segment.exists()
    assert project.ledger.size() == 0


def test_predictions_are_found_by_their_instant_and_counted_once(project: Project) -> None:
    write(project, range(10))
    write(project, range(10))
    serving.collect(project, "flights")
    found = serving.predictions(
        project, "flights", since=NOON + timedelta(days=2), until=NOON + timedelta(days=5), columns=["request_id"]
    )
    assert found["request_id"].to_list() == ["r2", "r3", "r4"]
    assert serving.predictions(project, "other").height == 0


def test_before_anything_was_collected_there_are_no_predictions(project: Project) -> None:
    assert dict(serving.predictions(project, "flights").schema) == serving.PREDICTION_COLUMNS


def test_what_is_not_collected_yet_can_be_read(project: Project) -> None:
    write(project, range(3))
    frame, cursor = serving.live(project, "flights")
    assert frame["request_id"].to_list() == ["r0", "r1", "r2"]
    assert serving.live(project, "flights", cursor)[0].height == 0


def test_a_running_endpoint_gives_up_its_segment_to_be_collected(
    running: Any, rows: dict[str, list[object]], project: Project, folder: Path
) -> None:
    running.infer("flights", rows, request_id="a")
    assert serving.collect(project, "flights", rotate=False) == 0
    assert serving.collect(project, "flights") == 3
    running.infer("flights", rows, request_id="b")
    assert serving.collect(project, "flights") == 3
    assert [path.name for path in (folder / "log").iterdir()] == ["collect.lock"]
