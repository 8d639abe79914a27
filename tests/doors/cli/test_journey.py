"""From an empty folder to a traced prediction, through the installed program; then every reading command on it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from doors.cli.typed import PROGRAM, Bucle, Said

Journey = dict[str, Any]

READING = [
    "status",
    "data list",
    "data show samples",
    "data log --limit 5",
    "data diff main main",
    "data check later.csv --table samples",
    "data branch list",
    "data files",
    "data verify",
    "feature list",
    "feature show shape",
    "feature check",
    "run --list",
    "runs list --limit 5",
    "runs experiments",
    "model list",
    "model show tumours@1",
    "model versions tumours",
    "model history tumours",
    "gate list",
    "gate show tumours@1",
    "gate explain tumours@1",
    "deploy list",
    "deploy show tumours",
    "deploy history tumours",
    "monitor show tumours",
    "monitor windows tumours",
    "monitor signals",
    "monitor check",
    "loop list",
    "loop show tumours",
    "loop history tumours",
    "replay tumours --set retrain.on=[]",
    "audit list --kind data.*",
    "audit show 0",
    "audit lineage model/tumours@1",
    "config show",
    "why tumours@1",
    "reproduce tumours@1",
    "env show",
    "env show tumours@1",
    "env list",
    "env diff tumours@1",
    "config get loop.tumours.retrain",
    "config check",
    "db status",
    "doctor",
]


@pytest.mark.parametrize(
    "step", ["init", "run", "register", "judge", "roll", "serve", "predict", "trace", "later", "verify"]
)
def test_every_step_of_the_first_ten_minutes_ends_well(journey: Journey, step: str) -> None:
    said: Said = journey[step]
    assert (said.status, "error[" in said.err) == (0, False), said.err


def test_each_step_names_the_next_one(journey: Journey) -> None:
    execution = journey["run"].record["id"]
    assert "next: cd tumours && bucle run train" in journey["init"].err
    assert "next: bucle gate judge tumours@1" in journey["register"].err
    assert "next: bucle deploy roll tumours tumours@1" in journey["judge"].err
    assert "next: bucle serve tumours --detach" in journey["roll"].err
    assert "next: bucle predict tumours FILE" in journey["serve"].err
    assert execution


def test_a_step_is_shown_as_it_goes(journey: Journey, bucle: Bucle) -> None:
    said = bucle("run", "train", "--project", str(journey["folder"]), "-p", f"commit={_commit(journey)}")
    assert said.status == 0
    assert [word in said.err for word in ("examples", "fit", "package", "cached")] == [True] * 4


def _commit(journey: Journey) -> str:
    return str(journey["run"].record["params"]["commit"])


def test_a_prediction_is_traced_to_its_data_and_made_again_bit_for_bit(journey: Journey) -> None:
    said: Said = journey["trace"]
    assert f"data        {_commit(journey)[:12]}  samples.csv" in said.out
    assert "Bit for bit the same." in said.err
    assert "False" not in said.out


def test_columns_that_nobody_asks_for_are_not_sent(journey: Journey, bucle: Bucle) -> None:
    path = journey["folder"] / "later.csv"
    said = bucle("predict", "tumours", str(path), "--project", str(journey["folder"]))
    assert "not sent, since nobody asks for it: malignant, known_at" in said.err
    assert len(said.out.splitlines()) == 1 + 169


@pytest.mark.parametrize("command", READING)
def test_a_reading_command_gives_exactly_one_json_document(journey: Journey, bucle: Bucle, command: str) -> None:
    arguments = [word.replace("later.csv", str(journey["folder"] / "later.csv")) for word in command.split()]
    said = bucle(*arguments, "--project", str(journey["folder"]), "--json")
    assert said.status == 0, said.out
    assert said.record is not None
    assert said.err == ""


@pytest.mark.parametrize("command", ["status", "model show tumours@1", "gate show tumours@1", "deploy show tumours"])
def test_people_get_a_table(journey: Journey, bucle: Bucle, command: str) -> None:
    said = bucle(*command.split(), "--project", str(journey["folder"]))
    assert said.status == 0
    assert "tumours" in said.out
    assert not said.out.lstrip().startswith(("{", "["))


def test_a_missing_column_is_named_with_its_near_miss(journey: Journey, bucle: Bucle, tmp_path: Path) -> None:
    text = (journey["folder"] / "later.csv").read_text().replace("mean_area", "mean_aera", 1)
    (tmp_path / "odd.csv").write_text(text)
    said = bucle("predict", "tumours", str(tmp_path / "odd.csv"), "--project", str(journey["folder"]))
    assert said.status == 2
    assert "no column 'mean_area'. Did you mean 'mean_aera'?" in said.err


def test_a_thing_that_is_not_there_is_answered_with_the_near_miss(journey: Journey, bucle: Bucle) -> None:
    where = ["--project", str(journey["folder"])]
    for command in ("model show tumors", "loop show tumors", "serve tumors", "deploy show tumors", "run trian",
                    "feature show shap", "config get server.prt", "data show sampels"):  # fmt: skip
        said = bucle(*command.split(), *where)
        assert (command, said.status) == (command, 3)
        assert "Did you mean" in said.err


def test_up_shows_the_project_and_ends_well_on_ctrl_c(journey: Journey) -> None:
    process = subprocess.Popen(
        [str(PROGRAM), "up", "--port", "0", "--no-loop"], cwd=journey["folder"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    url = process.stdout.readline().split()[1]
    assert httpx.get(f"{url}/health", trust_env=False).text == "OK"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (0, False)


def test_a_reader_that_goes_away_ends_a_command_in_silence(journey: Journey) -> None:
    process = subprocess.Popen(
        [str(PROGRAM), "audit", "list", "--json"], cwd=journey["folder"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == b""


def test_rows_are_read_from_standard_input(journey: Journey) -> None:
    rows = b"\n".join((journey["folder"] / "later.csv").read_bytes().splitlines()[:3])
    done = subprocess.run(
        [str(PROGRAM), "predict", "tumours", "-", "--id", "mine", "--json"], cwd=journey["folder"], input=rows,
        capture_output=True, timeout=60, check=True, env={**os.environ, "BUCLE_ACTOR": "ana"},
    )  # fmt: skip
    assert b'"prediction":"mine/1"' in done.stdout


def test_the_loop_takes_a_request_and_turns_once(journey: Journey, bucle: Bucle) -> None:
    where = ["--project", str(journey["folder"])]
    assert bucle("loop", "request", "tumours", "--reason", "new lab", "-p", "strength=0.5", *where).status == 0
    turned = bucle("loop", "run", "--once", "--json", *where)
    assert [one["decision"]["kind"] for one in turned.record][:2] == ["retrain", "judge"]
    cycle = bucle("loop", "cycle", "tumours", "1", *where)
    assert (cycle.status, "manual: new lab" in cycle.out) == (0, True)


def test_another_policy_is_read_from_a_file(journey: Journey, bucle: Bucle, tmp_path: Path) -> None:
    where = ["--project", str(journey["folder"])]
    (tmp_path / "other.toml").write_text('[loop.tumours.retrain]\non = ["data"]\n')
    (tmp_path / "odd.toml").write_text("[retrain]\nonn = []\n")
    assert bucle("replay", "tumours", str(tmp_path / "other.toml"), *where, "--json").status == 0
    odd = bucle("replay", "tumours", str(tmp_path / "odd.toml"), *where)
    assert (odd.status, "'onn'" in odd.err) == (2, True)
    assert bucle("replay", "tumours", str(tmp_path / "none.toml"), *where).status == 3
