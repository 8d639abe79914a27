"""`bucle runs`: found by filters, shown in columns, compared, watched, taken elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import bucle as package
from bucle.ground.project import Project
from bucle.line import tracking
from doors.cli.typed import PROGRAM, Bucle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with three runs of two experiments."""
    root = tmp_path_factory.mktemp("runs")
    (root / "bucle.toml").write_text('[project]\nname = "runs"\n')
    project = Project.open(root, actor="ana")
    for number, kind in enumerate(("tree", "forest")):
        with package.run(
            "flights", project=project, name=kind, params={"kind": kind, "seed": 1}, console="none"
        ) as run:
            for step in range(101):
                run.log({"auc": 0.5 + step / 400 + number / 10, "loss": abs(step - 50) / 50 + number})
    with tracking.start(project, "other", params={"kind": "tree"}) as live:
        live.log_metrics({"auc": 0.99})
    project.close()
    return root


def _ids(folder: Path) -> dict[str, str]:
    project = Project.open(folder)
    found = {one.name if one.experiment == "flights" else "other": one.id for one in tracking.runs(project)}
    project.close()
    return found


def test_runs_are_found_and_ordered(bucle: Bucle, folder: Path) -> None:
    ids = _ids(folder)

    def found(*words: str) -> list[str]:
        said = bucle("runs", "list", "--project", str(folder), "--json", *words)
        assert said.status == 0, said.out
        return [one["id"] for one in said.record]

    assert found() == [ids["other"], ids["forest"], ids["tree"]]
    assert found("--experiment", "flights", "--order", "metrics.auc ASC") == [ids["tree"], ids["forest"]]
    assert found("--where", "metrics.auc > 0.8") == [ids["other"], ids["forest"]]
    assert found("--where", "params.kind = 'tree' AND min.loss < 0.5") == [ids["tree"]]
    assert found("--status", "failed") == []
    assert found("--status", "finished", "--where", "max.auc >= 0.75", "--limit", "1") == [ids["other"]]


def test_columns_are_last_least_greatest_and_at_a_step(bucle: Bucle, folder: Path) -> None:
    columns = "name,status,metrics.loss,min.loss,max.loss,loss@50,auc@-1,params.kind,kind,tags.nobody,duration_s"
    given = ("runs", "list", "--project", str(folder), "--experiment", "flights", "--columns", columns)
    newest, oldest = bucle(*given, "--json").record
    assert newest.pop("duration_s") >= 0
    assert newest == {
        "name": "forest", "status": "finished", "metrics.loss": 2.0, "min.loss": 1.0, "max.loss": 2.0, "loss@50": 1.0,
        "auc@-1": None, "params.kind": "forest", "kind": "forest", "tags.nobody": None,
    }  # fmt: skip
    assert oldest["min.loss"] == 0
    table = bucle(*given).out
    assert table.splitlines()[0].split()[:3] == ["name", "status", "metrics.loss"]
    rows = bucle(*given, "--csv").out.splitlines()
    assert rows[0] == columns
    assert rows[1].startswith("forest,finished,2.0,1.0,2.0,1.0,,forest,forest,,")


@pytest.mark.parametrize(
    ("words", "status", "near"),
    [
        (["list", "--columns", "metrcs.auc"], 2, "Did you mean 'metrics'?"),
        (["list", "--columns", "kinda"], 2, "Did you mean 'kind'?"),
        (["list", "--where", "metrics.auc >"], 2, ""),
        (["list", "--where", "metrics.auc > 0.5 OR metrics.auc < 1"], 2, "AND"),
        (["list", "--order", "metrics.auc UP"], 2, "ASC"),
        (["list", "--experiment", "fligths"], 3, "flights"),
        (["best", "--metric", "acu"], 3, "Did you mean 'auc'?"),
        (["show", "zzzz"], 3, ""),
        (["export", "runs.xlsx"], 2, ".parquet"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_told_with_the_near_miss(
    bucle: Bucle, folder: Path, words: list[str], status: int, near: str
) -> None:
    said = bucle("runs", *words, "--project", str(folder))
    assert (said.status, near in said.err) == (status, True), said.err
    assert said.out == ""


def test_the_best_run(bucle: Bucle, folder: Path) -> None:
    ids = _ids(folder)

    def best(*words: str) -> str:
        return str(bucle("runs", "best", "--project", str(folder), "--json", *words).record["id"])

    assert best("--metric", "auc") == ids["other"]
    assert best("--metric", "auc", "--experiment", "flights") == ids["forest"]
    assert best("--metric", "loss", "--min") == ids["tree"]
    assert best("--metric", "loss", "--peak", "--experiment", "flights") == ids["forest"]
    said = bucle("runs", "best", "--project", str(folder), "--metric", "auc", "--experiment", "flights")
    assert "0.85" in said.out


def test_what_differs_is_compared_first(bucle: Bucle, folder: Path) -> None:
    ids = _ids(folder)
    given = ("runs", "compare", ids["tree"], ids["forest"], "--project", str(folder))
    lines = bucle(*given).out.splitlines()
    assert not [line for line in lines if " seed " in line]
    assert [line for line in lines if line.split()[:4] == ["params", "kind", "tree", "forest"]]
    lines = bucle(*given, "--all").out.splitlines()
    kind, seed = (next(i for i, line in enumerate(lines) if f" {name} " in line) for name in ("kind", "seed"))
    assert kind < seed


def test_a_run_is_shown_with_its_metrics_at_a_glance(bucle: Bucle, folder: Path) -> None:
    said = bucle("runs", "show", _ids(folder)["tree"][:8], "--project", str(folder))
    (loss,) = [line.split() for line in said.out.splitlines() if line.startswith("loss")]
    assert loss == ["loss", "1", "100", "0", "50", "1", "0"]


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet"])
def test_runs_are_taken_elsewhere(bucle: Bucle, folder: Path, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"runs.{ending}"
    given = ("runs", "export", str(file), "--project", str(folder), "--experiment", "flights")
    assert bucle(*given, "--json").record == {"file": str(file), "rows": 2}
    read = {"csv": pl.read_csv, "json": pl.read_json, "jsonl": pl.read_ndjson, "parquet": pl.read_parquet}[ending]
    frame = read(file)
    assert frame["params.kind"].to_list() == ["forest", "tree"]
    assert frame["metrics.auc"].to_list() == [pytest.approx(0.85), 0.75]
    assert bucle(*given, "--curves", "--where", "run_name = 'tree'", "--json").status == 0
    curve = read(file).filter(pl.col("key") == "loss").sort("step")
    assert curve["value"].to_list() == [abs(step - 50) / 50 for step in range(101)]


def test_a_run_is_put_aside_and_brought_back(bucle: Bucle, folder: Path) -> None:
    id_ = _ids(folder)["other"]
    given = ("--project", str(folder), "--json")
    assert bucle("runs", "delete", id_[:8], *given).record["lifecycle"] == "deleted"
    assert id_ not in [one["id"] for one in bucle("runs", "list", *given).record]
    assert bucle("runs", "restore", id_[:8], *given).record["lifecycle"] == "active"
    assert id_ in [one["id"] for one in bucle("runs", "list", *given).record]


def test_runs_as_csv_on_the_screen(bucle: Bucle, folder: Path) -> None:
    said = bucle("runs", "export", "-", "--project", str(folder), "--limit", "1")
    assert len(said.out.splitlines()) == 2


def test_watching_ends_with_the_run(folder: Path) -> None:
    project = Project.open(folder)
    run = package.run("watched", project=project, console="none", system_s=None)
    run.log({"loss": 0.5})
    run.flush()
    command = [str(PROGRAM), "runs", "watch", run.id, "--project", str(folder)]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert watcher.stdout is not None
    assert watcher.stdout.readline().split() == ["0", "loss=0.5"]
    run.log({"loss": 0.25})
    run.flush()
    assert watcher.stdout.readline().split() == ["1", "loss=0.25"]
    run.finish("failed", "no luck")
    rest = watcher.stdout.read()
    assert "no luck" in rest
    assert watcher.wait(60) == 1
    watcher.stdout.close()
    project.close()


def test_watching_a_run_that_is_over_shows_it(bucle: Bucle, folder: Path) -> None:
    said = bucle("runs", "watch", _ids(folder)["tree"], "--project", str(folder))
    assert said.status == 0
    assert "finished" in said.out


def test_what_waits_for_a_server_is_told(
    bucle: Bucle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("BUCLE_QUEUE", str(tmp_path))
    said = bucle("runs", "sync")
    assert (said.status, said.out) == (0, "")
    assert "Nothing waits" in said.err
    code = f"import bucle, os; bucle.run(server='http://127.0.0.1:{free_port}', console='none').flush(); os._exit(0)"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"BUCLE_QUEUE": str(tmp_path), "PATH": ""}, cwd=tmp_path
    )
    told = bucle("runs", "sync", "--json")
    assert told.status == 7
    assert [(one["state"], one["server"]) for one in told.record] == [("waiting", f"http://127.0.0.1:{free_port}")]
    assert bucle("runs", "sync", "--server", "http://elsewhere", "--json").record == []
    assert json.loads(told.out)[0]["reason"]
