"""The pages of runs: which run is best, what made it so, what differs; on both databases."""

from __future__ import annotations

import csv
import io
import json
import struct
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.doors.ui import store
from bucle.doors.ui.cells import number_style
from bucle.doors.ui.columns import as_order, better_of, column_of, names_of, written_names
from bucle.doors.ui.language import NOTHING, language
from bucle.doors.ui.pages.compare import TooFew, compare
from bucle.doors.ui.pages.curves import curves, drawing, sparks
from bucle.doors.ui.pages.files import folder, preview, raster
from bucle.doors.ui.pages.metric import NoSuchMetric, metric
from bucle.doors.ui.pages.run import run as run_page
from bucle.doors.ui.pages.runs import Runs, everything, names, runs
from bucle.doors.ui.parallel import heat_of, parallel, scatter
from bucle.ground.core import BadFilter
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Point
from doors.conftest import Site, served

PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
    + struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    + b"\x00" * 4
    + zlib.compress(b"\x00\x00")
)


def log_runs(project: Project, count: int, experiment: str = "tuning") -> list[str]:
    """Runs whose `auc` rises with their number while `loss` falls; the best `auc` stands amid each curve."""
    found = tracking.ensure_experiment(project, experiment)
    start, ids = project.clock.now(), list[str]()
    for n in range(count):
        made = tracking.create_run(
            project,
            found.id,
            name=f"try-{n}",
            started_at=start + timedelta(minutes=n),
            params={"rate": str(10.0**-n), "kind": "a" if n % 2 else "b", "same": "1"},
            tags={"team": "fraud"},
        )
        at = round((start + timedelta(minutes=n)).timestamp() * 1000)
        points = [Point("auc", 0.5 + n / 100 + bump, at + step, step) for step, bump in enumerate((0, 0.2, 0.1))]
        points += [Point("loss", 1 - n / 100, at, 0), Point("system/cpu", 50.0, at, 0)]
        tracking.log(project, made.id, points=points)
        tracking.update_run(project, made.id, status="finished", ended_at=made.started_at + timedelta(seconds=n + 1))
        ids.append(made.id)
    return ids


@pytest.fixture(scope="module")
def runs_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A project of runs, served; each test logs into an experiment of its own."""
    root = tmp_path_factory.mktemp("runs") / "project"
    root.mkdir()
    (root / "bucle.toml").write_text('[project]\nname = "runs"\n')
    with served(root) as found:
        yield found


@given(st.lists(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1)))
def test_names_come_back_out_of_an_address_as_they_went_in(listed: list[str]) -> None:
    assert names_of(written_names(listed)) == tuple(dict.fromkeys(listed))


def test_a_column_is_what_its_name_says() -> None:
    assert [column_of(name) is None for name in ("metrics.", "nonsense", "params", "")] == [True] * 4
    assert (column_of("params.a.b").key, column_of("actor").scope) == ("a.b", "")  # type: ignore[union-attr]
    assert [column_of(name).smaller for name in ("metrics.loss", "metrics.auc")] == [True, False]  # type: ignore[union-attr]
    assert better_of("loss:higher,a:b:lower,x:sideways") == {"loss": False, "a:b": True}
    assert as_order("-max.val/auc") == ["max.`val/auc` DESC"]
    assert as_order("name") == ["attributes.run_name ASC"]


def test_the_numbers_of_a_column_are_written_alike() -> None:
    english, spanish = language("en"), language("es")
    assert [number_style([0.5, 0.25], english)(value) for value in (0.5, 0.25)] == ["0.5000", "0.2500"]
    assert number_style([3.3e-4, 1e-5], english)(1.2e-4) == "0.0001200"
    assert number_style([12.0, 3000.0], english)(3000.0) == "3,000"
    assert number_style([1e9], spanish)(1e9) == "1,000e+09"
    assert number_style([], english)(2.0) == "2"
    assert [english.value(value) for value in (0.71234567, 12345678.0, float("nan"), float("-inf"), None)] == [
        "0.7123",
        "1.235e+07",
        "NaN",
        "-∞",
        NOTHING,
    ]


def test_a_table_shows_by_itself_what_differs(any_project: Project) -> None:
    log_runs(any_project, 4)
    page = runs(any_project)
    assert [one.name for one in page.columns] == ["metrics.auc", "metrics.loss", "params.kind", "params.rate"]
    assert page.same == {"same": "1"}
    assert page.total == len(page.runs) == 4
    assert set(page.runs[0].metrics) == {"auc", "loss"}
    assert set(page.runs[0].params) == {"kind", "rate"}
    assert page.spark == "auc"


def test_only_the_columns_chosen_are_read(any_project: Project) -> None:
    log_runs(any_project, 3)
    page = runs(any_project, columns="metrics.system/cpu,tags.team,actor", add="params.rate")
    assert [one.name for one in page.columns] == ["metrics.system/cpu", "tags.team", "actor", "params.rate"]
    first = page.runs[0]
    assert (first.metrics, first.tags, first.params) == ({"system/cpu": 50.0}, {"team": "fraud"}, {"rate": "0.01"})
    assert page.left_out_names == ("params.kind", "metrics.auc", "metrics.loss")


def test_the_best_run_is_named_by_what_is_shown_and_the_reader_may_turn_it_round(any_project: Project) -> None:
    ids = log_runs(any_project, 3)
    assert runs(any_project).best == {"auc": ids[2], "loss": ids[2]}
    turned = runs(any_project, better="auc:lower")
    assert turned.best["auc"] == ids[0]
    best = runs(any_project, value="best", sort="-max.auc")
    assert [one.id for one in best.runs] == ids[::-1]
    assert best.extents[ids[0]]["auc"] == pytest.approx((0.6, 0.5, 0.7))


def test_a_filter_that_cannot_be_read_says_where(any_project: Project) -> None:
    log_runs(any_project, 2)
    page = runs(any_project, q="metrics.auc >> 3")
    assert page.problem is not None
    assert (page.problem.at, page.runs, page.total) == (13, (), 0)
    assert runs(any_project, sort="-").problem is None
    with pytest.raises(BadFilter):
        everything(any_project, q="metrics.auc >> 3")


def test_plain_words_are_looked_for_in_names(any_project: Project) -> None:
    log_runs(any_project, 3)
    assert [one.name for one in runs(any_project, q="try-1").runs] == ["try-1"]
    assert runs(any_project, q="o'clock").total == 0
    assert runs(any_project, q="metrics.auc > 0.615").total == 1
    assert runs(any_project, status="finished", q="params.kind = 'a'").total == 1
    assert runs(any_project, status="deleted").total == 0


def test_pages_are_walked_forward_and_back(any_project: Project) -> None:
    ids = log_runs(any_project, 7)
    pages = [runs(any_project, limit=3, sort="-auc")]
    while pages[-1].after is not None:
        pages.append(runs(any_project, limit=3, sort="-auc", page=pages[-1].after))
    assert [one.id for page in pages for one in page.runs] == ids[::-1]
    assert {page.total for page in pages} == {7}
    back: list[Runs] = [pages[-1]]
    while back[-1].before is not None:
        back.append(runs(any_project, limit=3, sort="-auc", page=back[-1].before))
    assert [page.runs for page in back] == [page.runs for page in pages[::-1]]


def test_names_to_choose_from_are_of_the_experiment(any_project: Project) -> None:
    log_runs(any_project, 1)
    other = tracking.ensure_experiment(any_project, "other")
    made = tracking.create_run(any_project, other.id)
    tracking.log(any_project, made.id, points=[Point("f1", 0.5, 0, 0)], params={"depth": "3"})
    known = names(any_project, experiment="other").names
    assert "metrics.f1" in known
    assert "metrics.auc" not in known
    assert "params.depth" in known
    assert names(any_project, q="au").names == ("metrics.auc",)


def test_curves_are_told_again_only_when_they_have_grown(any_project: Project) -> None:
    ids = log_runs(any_project, 2)
    listed = ",".join(ids)
    first = curves(any_project, runs=listed, keys="auc,loss")
    assert [(one.run, one.key, one.count) for one in first.curves if one.run == ids[0]] == [
        (ids[0], "auc", 3),
        (ids[0], "loss", 1),
    ]
    marks = {(one.run, one.key): one.mark for one in first.curves}
    known = ",".join("|".join(marks[run, key] for run in ids) for key in ("auc", "loss"))
    assert curves(any_project, runs=listed, keys="auc,loss", known=known).curves == ()
    tracking.log(any_project, ids[1], points=[Point("loss", 0.1, 10**13, 7)])
    grown = curves(any_project, runs=listed, keys="auc,loss", known=known).curves
    assert [(one.run, one.key, one.steps[-1], one.last[-1]) for one in grown] == [(ids[1], "loss", 7, 0.1)]


def test_a_long_curve_comes_in_few_points_with_its_extremes_and_its_exact_end(any_project: Project) -> None:
    (id_,) = log_runs(any_project, 1)
    points = [Point("long", float("nan") if step == 5 else (step % 97) / 97, step, step) for step in range(5000)]
    tracking.log(any_project, id_, points=points)
    (found,) = curves(any_project, runs=id_, keys="long", buckets=50).curves
    assert (found.count, len(found.steps), found.steps[-1]) == (5000, 50, 4999)
    assert (min(one for one in found.least if one is not None), found.last[-1]) == (0.0, points[-1].value)
    assert sparks(any_project, runs=id_, key="long").paths[id_].startswith("M")
    assert sparks(any_project, runs=f"{id_},{'0' * 16}", key="nothing").paths == {}


def test_a_curve_is_a_picture_by_itself(any_project: Project) -> None:
    ids = log_runs(any_project, 2)
    svg = drawing(any_project, runs=",".join(ids), key="auc")
    assert svg.startswith("<svg xmlns=")
    assert svg.count('stroke-width="1.75"') == 2
    tracking.log(any_project, ids[0], points=[Point("<script>", 1.0, 0, 0)])
    assert "<script>" not in drawing(any_project, runs=ids[0], key="<script>")


def test_a_run_of_a_thousand_metrics_is_shown_in_pieces(any_project: Project) -> None:
    (id_,) = log_runs(any_project, 1)
    tracking.log(
        any_project, id_, points=[Point(f"layer/{n:04d}", float(n), 0, s) for n in range(1000) for s in (0, 1)]
    )
    page = run_page(any_project, run=id_, tab="charts")
    assert (page.counts["metrics"], page.counts["system"], len(page.charts), page.fitting) == (1002, 1, 24, 1002)
    fitting = run_page(any_project, run=id_, tab="charts", metric="LAYER/099", offset=0)
    assert fitting.charts == tuple(f"layer/099{n}" for n in range(10))
    assert run_page(any_project, run=id_, tab="system").charts == ("system/cpu",)
    assert run_page(any_project, run=id_[:10]).run.id == id_


def test_a_run_names_its_children_and_its_seal(any_project: Project) -> None:
    (id_,) = log_runs(any_project, 1)
    experiment = tracking.experiment(any_project, name="tuning").id
    child = tracking.create_run(any_project, experiment, name="fold", tags={"mlflow.parentRunId": id_})
    page = run_page(any_project, run=id_, tab="runs")
    assert ([one.id for one in page.children], page.counts["runs"]) == ([child.id], 1)
    assert run_page(any_project, run=child.id).parent == id_
    tracking.seal(any_project, [id_])
    sealed = run_page(any_project, run=id_).sealed
    assert sealed is not None
    assert id_ in any_project.ledger.events(after=sealed - 1, limit=1)[0].data["runs"]


def test_one_metric_is_told_as_a_table(any_project: Project) -> None:
    (id_,) = log_runs(any_project, 1)
    page = metric(any_project, run=id_, key="auc")
    assert page.curve.steps == (0, 1, 2)
    assert page.extent == pytest.approx((0.6, 0.5, 0.7))
    with pytest.raises(NoSuchMetric):
        metric(any_project, run=id_, key="nothing")


def test_a_comparison_tells_what_differs_first_and_folds_the_rest(any_project: Project) -> None:
    ids = log_runs(any_project, 3)
    page = compare(any_project, runs=",".join(ids))
    assert [(row.kind, row.name, row.best) for row in page.rows] == [
        ("metric", "auc", 2),
        ("metric", "loss", 2),
        ("param", "kind", None),
        ("param", "rate", None),
        ("run", "duration_s", None),
    ]
    assert page.same["param"] == {"same": "1"}
    assert page.same["metric"] == {"system/cpu": "50"}
    assert page.curves == ("auc",)
    assert [one.name for one in page.axes] == ["params.kind", "params.rate", "metrics.auc"]
    assert (page.x.name, page.y.name) == ("params.rate", "metrics.auc")  # type: ignore[union-attr]
    with pytest.raises(TooFew):
        compare(any_project, runs=ids[0])
    with pytest.raises(tracking.NoSuchRun):
        compare(any_project, runs=f"{ids[0]},{'f' * 16}")


def test_parameters_as_long_as_a_page_are_told_whole(any_project: Project) -> None:
    experiment = tracking.ensure_experiment(any_project, "long")
    ids = [
        tracking.create_run(any_project, experiment.id, params={"prompt": "x" * 3000 + end}).id for end in ("a", "b")
    ]
    with store.cells(any_project, ids) as cells:
        assert [cells.values(["prompt"], "params")[id_]["prompt"][-1] for id_ in ids] == ["a", "b"]
        assert [one.same for one in cells.texts("params")] == [False]


def test_all_runs_that_fit_are_written_whatever_page_is_looked_at(runs_site: Site) -> None:
    ids = log_runs(runs_site.project, 5, "written")
    experiment = tracking.experiment(runs_site.project, name="written").id
    odd = tracking.create_run(runs_site.project, experiment, name="=HYPERLINK(1)", params={"rate": "9"})
    table = list(csv.DictReader(io.StringIO(runs_site.client.get("/runs.csv?experiment=written&limit=2&page=").text)))
    assert {row["id"] for row in table} == {*ids, odd.id}
    assert [row["name"] for row in table if row["id"] == odd.id] == ["'=HYPERLINK(1)"]
    assert [row["metrics.auc"] for row in table if row["id"] == ids[0]] == ["0.6"]
    lines = [
        json.loads(line)
        for line in runs_site.client.get("/runs.jsonl?experiment=written&q=params.kind = 'a'").text.splitlines()
    ]
    assert {one["id"] for one in lines} == {ids[1], ids[3]}
    frame = pl.read_parquet(
        runs_site.client.get("/runs.parquet?experiment=written&columns=metrics.loss,params.rate&sort=-loss").content
    )
    assert frame.columns[-2:] == ["metrics.loss", "params.rate"]
    assert frame["id"].to_list()[:5] == ids
    assert frame["started_at"].dtype == pl.Datetime("us", "UTC")
    wrong = runs_site.client.get("/runs.csv?q=metrics.auc >")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "BU0112")


def test_every_point_of_a_run_is_written(runs_site: Site) -> None:
    ids = log_runs(runs_site.project, 1)
    rows = list(csv.DictReader(io.StringIO(runs_site.client.get(f"/runs/{ids[0]}/points.csv").text)))
    assert [(row["metric"], row["step"]) for row in rows][:3] == [("auc", "0"), ("auc", "1"), ("auc", "2")]
    assert len(rows) == 5
    assert len(runs_site.client.get(f"/runs/{ids[0]}/points.csv?key=loss").text.splitlines()) == 2


def test_a_folder_is_walked_and_files_are_shown_as_far_as_is_safe(project: Project, tmp_path: Path) -> None:
    (id_,) = log_runs(project, 1)
    owner = f"run/{id_}"
    pl.DataFrame({"a": [1.5, None], "b": ["x", "<b>"]}).write_parquet(tmp_path / "t.parquet")
    files = {
        "notes.txt": "ñ <script>".encode(),
        "plots/roc.png": PNG,
        "cells.csv": b"a,b\n1,2\n",
        "broken.csv": b'a,b\n"1',
        "table.json": b'{"columns": ["q"], "data": [["why?"], [null]]}',
        "values.json": b'{"auc": 0.5}',
        "model.bin": bytes(range(256)),
    }
    for path, content in files.items():
        tracking.put_artifact(project, owner, path, content)
    tracking.put_artifact(project, owner, "deep/t.parquet", tmp_path / "t.parquet")
    top = folder(project, owner, "")
    assert [one.path for one in top.entries][:2] == ["deep", "plots"]
    assert folder(project, owner, "plots").pictures == ("plots/roc.png",)
    assert folder(project, owner, "deep/t.parquet").path == "deep"
    kinds = {path: preview(project, owner, path).kind for path in files}
    assert kinds == {
        "notes.txt": "text",
        "plots/roc.png": "picture",
        "cells.csv": "table",
        "broken.csv": "table",
        "table.json": "table",
        "values.json": "text",
        "model.bin": "none",
    }
    assert preview(project, owner, "deep/t.parquet").rows == (("1.5", "x"), ("", "<b>"))
    assert preview(project, owner, "table.json").columns == ("q",)
    with pytest.raises(tracking.NoSuchArtifact):
        folder(project, owner, "nowhere.txt")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("page.html", b"<script>alert(1)</script>", ""),
        ("drawing.svg", b"<svg onload='alert(1)'/>", ""),
        ("fake.png", b"<html><script>alert(1)</script>", ""),
        ("true.png", PNG, "image/png"),
        ("true.webp", b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_nothing_a_run_kept_can_run_in_our_pages(runs_site: Site, name: str, content: bytes, kind: str) -> None:
    (id_,) = log_runs(runs_site.project, 1)
    tracking.put_artifact(runs_site.project, f"run/{id_}", name, content)
    answer = runs_site.client.get(f"/files/run/{id_}/{name}")
    assert answer.content == content
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == (kind or "application/octet-stream")
    assert answer.headers["content-disposition"].startswith("inline" if kind else "attachment")
    assert raster(content) == kind
    text = runs_site.client.get(f"/runs/{id_}?tab=files&path={name}", headers={"accept": "text/html"}).text
    assert "<script>alert" not in text
    assert "onload='alert" not in text


@pytest.mark.parametrize("path", ["../../bucle.toml", "%2e%2e/%2e%2e/bucle.toml", "a//b", "/etc/passwd", "a%00b", "x"])
def test_no_path_leads_out_of_what_a_run_kept(runs_site: Site, path: str) -> None:
    (id_,) = log_runs(runs_site.project, 1)
    answer = runs_site.client.get(f"/files/run/{id_}/{path}")
    assert answer.status_code in (404, 422)
    assert runs_site.client.get(f"/runs/{id_}", params={"tab": "files", "path": path}).status_code == 200


def test_a_broken_filter_stands_under_its_field_with_the_right_status(runs_site: Site) -> None:
    log_runs(runs_site.project, 1)
    answer = runs_site.client.get("/runs?q=metrics.auc >> 3", headers={"accept": "text/html"})
    assert answer.status_code == 400
    assert 'aria-invalid="true"' in answer.text
    assert f"\n{' ' * 13}<b>^</b>" in answer.text
    assert runs_site.client.get("/runs.json?q=metrics.auc >> 3").json()["problem"]["code"] == "BU0112"


def test_a_hundred_runs_are_compared_in_a_page_of_bounded_size(runs_site: Site) -> None:
    ids = log_runs(runs_site.project, 100)
    answer = runs_site.client.get(f"/compare?runs={','.join(ids)}", headers={"accept": "text/html"})
    assert answer.status_code == 200
    assert answer.text.count('class="t q') == 100
    assert answer.text.count("<") / 2 < 2500


def test_lines_across_axes_keep_their_order_and_their_scale() -> None:
    lay = parallel(
        ["rate", "kind", "auc"], [["0.001", "b", 0.5], ["1", "a", 0.9], [None, "b", None]], width=1000, height=200
    )
    assert [rail.is_log for rail in lay.rails] == [True, False, False]
    assert [mark.text for mark in lay.rails[0].marks] == ["0.001", "0.01", "0.1", "1"]
    assert [mark.text for mark in lay.rails[1].marks] == ["a", "b"]
    assert [thread.shade for thread in lay.threads] == [0, 6]
    assert heat_of([1.0, 2.0, None]) == [0, 6, -1]
    assert scatter([1, 2], [None, 1]) is None
    dots = scatter(["1", "2", "x"], [3.0, 4.0, 5.0])
    assert dots is not None
    assert [dot.place for dot in dots.dots] == [0, 1]
    assert dots.dots[0].x < dots.dots[1].x
    assert dots.dots[0].y > dots.dots[1].y


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.text(max_size=4)), max_size=30))
def test_whatever_was_logged_stands_within_the_drawing(values: list[str | float | None]) -> None:
    lay = parallel(["one", "two"], [[value, place] for place, value in enumerate(values)], width=800, height=300)
    assert all(0 <= mark.at <= 300 for rail in lay.rails for mark in rail.marks)
    assert all(-1 <= thread.shade <= 6 for thread in lay.threads)
