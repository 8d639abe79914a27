from __future__ import annotations

from pathlib import Path

import pytest
from onnx import parser

from bucle.ground.core import SimulatedClock
from doors.cli.typed import Bucle
from loop.answered import FIRST, ONNX, SECOND, TOML, Answers


@pytest.fixture
def answered(root: Path, clock: SimulatedClock) -> Path:
    """Two windows of answers; in the second the truth of the south is the opposite."""
    made = Answers(root, clock)
    made.give(FIRST)
    made.give(SECOND, broken="south")
    made.project.close()
    return root


def test_two_windows_are_compared(bucle: Bucle, answered: Path) -> None:
    windows = [f"{one.since.isoformat()}..{one.until.isoformat()}" for one in (FIRST, SECOND)]
    asked = ["monitor", "compare", "m", "--window", windows[0], "--window", windows[1], "--project", str(answered)]
    said = bucle(*asked)
    assert said.status == 0, said.err
    assert "region=south fares otherwise than before" in said.out
    found = bucle(*asked, "--by", "region", "--loss", "brier", "--json").record
    assert (list(found["slices"]), found["loss"], found["causes"][0]["kind"]) == (["region"], "brier", "data")
    assert bucle(*asked, "--by", "regoin").status == 3


@pytest.mark.parametrize("given", [["x"], ["2013-01-02..2013-01-01"], ["2013-01-01..2013-01-02"], []])
def test_windows_that_are_none_are_wrong_use(bucle: Bucle, answered: Path, given: list[str]) -> None:
    windows = [word for one in given for word in ("--window", one)]
    assert bucle("monitor", "compare", "m", *windows, "--project", str(answered)).status == 2


def test_versions_without_held_out_rows_say_so(bucle: Bucle, empty: Path) -> None:
    (empty / "bucle.toml").write_text(TOML)
    (empty / "m.onnx").write_bytes(parser.parse_model(ONNX).SerializeToString())
    where = ["--project", str(empty)]
    for name in ("m", "other"):
        assert bucle("model", "register", name, str(empty / "m.onnx"), *where).status == 0
    said = bucle("model", "compare", "m@1", "m@1", *where)
    assert (said.status, "no rows to judge model/m@1 on" in said.out) == (0, True)
    assert bucle("model", "compare", "other@1", "other@1", *where).status == 3  # no policy: nobody knows the label
