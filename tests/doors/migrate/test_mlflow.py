"""Moving in from MLflow: what the real one wrote, read by what columns and files there are."""

from __future__ import annotations

import math
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from bucle.doors.migrate import BadSource, MlflowDatabase, MlflowFolder, UnknownSchema, carry_over
from bucle.ground.core import StoreError, digest_of_file
from bucle.ground.project import Project
from bucle.line import registry, tracing, tracking
from doors.migrate.conftest import Carry


def database(folder: Path, artifacts: Path | None = None) -> MlflowDatabase:
    return MlflowDatabase(f"sqlite:///{folder / 'mlflow.db'}", artifacts)


def named(project: Project, name: str) -> tracking.WholeRun:
    ids = [str(one.id) for one in tracking.search_experiments(project, lifecycle="all").items]
    found = tracking.search_runs(project, ids, filter=f"attributes.run_name = '{name}'", lifecycle="all").items
    return tracking.whole_runs(project, [found[0].id])[0]


@pytest.fixture(scope="module", params=["database", "files"])
def taken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that took over what the same calls wrote into either of MLflow's stores; only to be looked at."""
    root = tmp_path_factory.mktemp(request.param)
    (root / "bucle.toml").write_text('[project]\nname = "test"\n')
    project = Project.open(root, actor="ana")
    if request.param == "database":
        source: MlflowDatabase | MlflowFolder = database(request.getfixturevalue("mlflow_original"))
    else:
        source = MlflowFolder(request.getfixturevalue("mlruns"))
    report = carry_over(project, source)
    source.close()
    assert report.is_sound, report.faults
    assert (report.runs, report.new_runs, report.logged_models, report.files) == (5, 5, 1, 6)
    yield project
    project.close()


def test_experiments_keep_their_names_tags_and_lifecycle(taken: Project) -> None:
    digits = tracking.experiment(taken, name="digits")
    assert digits.tags == {"team": "vision"}
    assert digits.artifact_location == ""
    assert tracking.experiment(taken, name="gone").lifecycle == "deleted"
    assert tracking.experiment(taken, name="Default").id == "0"


def test_a_run_comes_with_everything_it_holds(taken: Project) -> None:
    run = named(taken, "first")
    assert run.params == {"lr": "0.1", "deep/er": "x", "empty": ""}
    assert run.tags["note"] == "two\nlines"
    assert (run.status, run.started_at.timestamp()) == ("finished", 1000)
    loss = run.curves["loss"]
    assert loss.steps.tolist() == list(range(40))
    assert loss.at.tolist() == list(range(1000, 1040))
    assert loss.values[2] == pytest.approx(1 / 3)
    assert math.isnan(run.curves["nan"].values[0])
    assert run.curves["val/acc"].steps.tolist() == [-3]
    (data,) = run.datasets
    assert (data.name, data.context, data.tags) == ("train", "training", {"fold": "1"})
    file = tracking.get_artifact(taken, f"run/{run.id}", "sub dir/a.txt")
    assert file.read_text() == "hello"


def test_what_failed_runs_on_or_was_deleted_is_that_here_too(taken: Project) -> None:
    assert named(taken, "failed").status == "failed"
    assert named(taken, "running").status == "running"
    deleted = named(taken, "deleted")
    assert deleted.lifecycle == "deleted"
    assert deleted.curves["loss"].values.tolist() == [9.0]


def test_logged_models_come_with_files_and_measurements(taken: Project) -> None:
    run = named(taken, "model")
    (use,) = run.models
    model = tracking.logged_model(taken, use.model)
    assert (model.name, model.status, model.run_id) == ("clf", "ready", run.id)
    (point,) = model.metrics
    assert (point.key, point.value, point.step, point.dataset_name) == ("acc", 0.9, 2, "train")
    assert {one.path for one in tracking.list_artifacts(taken, model.ref)} >= {"MLmodel", "model.skops"}


def test_registered_models_keep_numbers_stages_aliases_and_tags(taken: Project) -> None:
    model = registry.model(taken, "digits-clf")
    assert (model.description, model.tags, model.aliases) == ("reads digits", {"owner": "ana"}, {"champion": 1})
    first, second = registry.versions(taken, "digits-clf")
    assert (first.stage, first.tags, first.model_id[:2]) == ("validated", {"validated_by": "bo"}, "m-")
    assert (second.stage, second.description) == ("registered", "by hand")
    assert "MLmodel" in registry.files_of(taken, first)
    assert list(registry.files_of(taken, second)) == ["a.txt"]


def test_runs_are_sealed_and_the_ledger_tells_of_the_move(taken: Project) -> None:
    assert tracking.verify_runs(taken) == []
    sealed = {run.name: run.sealed for run in tracking.runs(taken)}
    assert sealed == {"first": True, "failed": True, "running": False, "model": True}
    (event,) = taken.ledger.events(kinds=["migrate.imported"])
    assert event.data["counts"]["runs"] == 5
    assert event.data["digest"] == event.data["found"]


def test_ids_are_kept_where_they_are_free(project: Project, mlflow_original: Path, carry: Carry) -> None:
    tracking.create_experiment(project, "ours")  # takes the id 1
    report = carry(database(mlflow_original))
    assert report.is_sound
    with sqlite3.connect(mlflow_original / "mlflow.db") as theirs:
        ids = {row[0] for row in theirs.execute("SELECT run_uuid FROM runs")}
        experiments = dict(theirs.execute("SELECT name, experiment_id FROM experiments"))
    here = {one.name: one.id for one in tracking.search_experiments(project, lifecycle="all").items}
    assert {run.id for run in tracking.runs_by_ids(project, sorted(ids))} == ids
    assert here["ours"] == str(experiments["digits"]) == "1"
    assert here["gone"] == str(experiments["gone"])
    assert here["digits"] not in ("0", "1", here["gone"])


def test_moving_in_twice_changes_nothing(project: Project, mlflow_original: Path, carry: Carry) -> None:
    first = carry(database(mlflow_original))
    rows = [run.digest() for run in tracking.whole_runs(project, [run.id for run in tracking.runs(project)])]
    events = project.ledger.size()
    second = carry(database(mlflow_original))
    assert (first.new_runs, second.new_runs) == (5, 0)
    assert (second.digest, second.found, second.counts()) == (first.digest, first.found, first.counts())
    assert [run.digest() for run in tracking.whole_runs(project, [r.id for r in tracking.runs(project)])] == rows
    assert project.ledger.size() == events + 1  # the report of the second time


def test_a_run_that_went_on_there_is_caught_up_with_here(project: Project, mlflow_folder: Path, carry: Carry) -> None:
    carry(database(mlflow_folder))
    running = named(project, "running").id
    with sqlite3.connect(mlflow_folder / "mlflow.db") as theirs:
        theirs.execute("UPDATE runs SET status = 'FINISHED', end_time = 2000000000000 WHERE run_uuid = ?", (running,))
        theirs.execute(
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('late', 1, 5, ?, 0, 0)",
            (running,),
        )
    report = carry(database(mlflow_folder))
    assert (report.is_sound, report.new_runs) == (True, 0)
    run = named(project, "running")
    assert (run.status, run.curves["late"].values.tolist()) == ("finished", [1.0])


def test_a_run_changed_here_since_is_told_and_not_overwritten(
    project: Project, mlflow_original: Path, carry: Carry
) -> None:
    carry(database(mlflow_original))
    first = named(project, "first").id
    tracking.log(project, first, tags={"reviewed": "yes"})
    report = carry(database(mlflow_original))
    assert [fault.where for fault in report.faults] == [f"run {first}"]
    assert not report.is_sound
    assert named(project, "first").tags["reviewed"] == "yes"


OLD = """
CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name VARCHAR(256), artifact_location VARCHAR(256),
    lifecycle_stage VARCHAR(32));
CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, name VARCHAR(250), source_type VARCHAR(20), user_id VARCHAR(256),
    status VARCHAR(20), start_time BIGINT, end_time BIGINT, lifecycle_stage VARCHAR(20), artifact_uri VARCHAR(200),
    experiment_id INTEGER);
CREATE TABLE tags (key VARCHAR(250), value VARCHAR(250), run_uuid VARCHAR(32), PRIMARY KEY (key, run_uuid));
CREATE TABLE params (key VARCHAR(250), value VARCHAR(250), run_uuid VARCHAR(32), PRIMARY KEY (key, run_uuid));
CREATE TABLE metrics (key VARCHAR(250), value FLOAT, timestamp BIGINT, run_uuid VARCHAR(32),
    PRIMARY KEY (key, timestamp, run_uuid));
INSERT INTO experiments VALUES (0, 'Default', './mlruns/0', 'active');
INSERT INTO runs VALUES ('0123456789abcdef0123456789abcdef', '', 'LOCAL', 'ana', 'FINISHED', 1000, 2000, 'active',
    './mlruns/0/0123456789abcdef0123456789abcdef/artifacts', 0);
INSERT INTO tags VALUES ('mlflow.runName', 'old one', '0123456789abcdef0123456789abcdef');
INSERT INTO metrics VALUES ('loss', 0.5, 1500, '0123456789abcdef0123456789abcdef');
"""


def test_a_schema_of_years_ago_is_read_as_well(project: Project, tmp_path: Path, carry: Carry) -> None:
    with sqlite3.connect(tmp_path / "mlflow.db") as old:
        old.executescript(OLD)
    files = tmp_path / "mlruns/0/0123456789abcdef0123456789abcdef/artifacts"
    files.mkdir(parents=True)
    (files / "old.txt").write_text("old")
    report = carry(database(tmp_path))
    assert report.is_sound
    run = named(project, "old one")
    assert (run.started_at.timestamp(), run.curves["loss"].steps.tolist()) == (1, [0])
    assert tracking.get_artifact(project, f"run/{run.id}", "old.txt").read_text() == "old"


def test_artifacts_of_a_server_or_of_another_machine_are_found_below_a_folder(
    project: Project, mlflow_folder: Path, carry: Carry
) -> None:
    with sqlite3.connect(mlflow_folder / "mlflow.db") as theirs:
        theirs.execute("UPDATE runs SET artifact_uri = 's3://bucket/some/prefix/1/' || run_uuid || '/artifacts'")
        theirs.execute(
            "UPDATE logged_models SET artifact_location = 'mlflow-artifacts:/1/models/' || model_id || '/artifacts'"
        )
    without = carry(database(mlflow_folder))
    assert without.files == 0
    assert without.left["artifact folders that are not on this machine"] == 6
    report = carry(database(mlflow_folder, mlflow_folder / "artifacts"))
    assert report.files >= 6
    run = named(project, "first")
    assert tracking.get_artifact(project, f"run/{run.id}", "sub dir/a.txt").read_text() == "hello"


def test_no_address_fetches_any_other_folder_of_this_machine(
    project: Project, mlflow_folder: Path, carry: Carry
) -> None:
    secret = mlflow_folder / "home" / ".ssh"
    secret.mkdir(parents=True)
    (secret / "key").write_text("mine")
    with sqlite3.connect(mlflow_folder / "mlflow.db") as theirs:
        first = theirs.execute("SELECT run_uuid FROM runs WHERE name = 'first'").fetchone()[0]
        theirs.execute("UPDATE runs SET artifact_uri = ? WHERE name = 'first'", (secret.as_uri(),))
        linked = mlflow_folder / "artifacts" / "1" / first / "artifacts"
        (linked / "link").symlink_to(secret / "key")
        theirs.execute("UPDATE runs SET artifact_uri = ? WHERE name = 'failed'", (linked.as_posix(),))
    report = carry(database(mlflow_folder))
    assert report.left["artifact folders without their owner's id in the path"] == 2
    assert [run.artifacts for run in tracking.runs(project) if run.name in ("first", "failed")] == [{}, {}]
    with sqlite3.connect(mlflow_folder / "mlflow.db") as theirs:
        theirs.execute("UPDATE runs SET artifact_uri = ? WHERE name = 'first'", (linked.as_uri(),))
    again = carry(database(mlflow_folder))
    assert again.left["symbolic links among artifacts"] == 1
    assert list(tracking.run(project, first).artifacts) == ["sub dir/a.txt"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 3 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a tmpfs here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_on_a_full_disk_it_stops_and_goes_on_when_there_is_room(small_disk: Path, mlflow_folder: Path) -> None:
    for folder in (mlflow_folder / "artifacts" / "1").glob("*/artifacts"):
        for number in range(4):
            (folder / f"large{number}").write_bytes(bytes([number]) * 900_000)
    (small_disk / "bucle.toml").write_text('[project]\nname = "test"\n')
    project = Project.open(small_disk, actor="ana")
    source = database(mlflow_folder)
    with pytest.raises(StoreError) as failed:
        carry_over(project, source)
    assert failed.value.fix
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    report = carry_over(project, source)
    assert report.is_sound
    assert report.files > 4
    source.close()
    project.close()


def test_the_source_is_never_written_to(mlflow_folder: Path, carry: Carry) -> None:
    before = digest_of_file(mlflow_folder / "mlflow.db")
    carry(database(mlflow_folder))
    assert digest_of_file(mlflow_folder / "mlflow.db") == before
    assert sorted(one.name for one in mlflow_folder.iterdir()) == ["artifacts", "mlflow.db"]


def test_other_workspaces_are_counted_and_left(project: Project, mlflow_folder: Path, carry: Carry) -> None:
    with sqlite3.connect(mlflow_folder / "mlflow.db") as theirs:
        theirs.execute("UPDATE experiments SET workspace = 'others' WHERE name = 'digits'")
        theirs.execute("UPDATE registered_models SET workspace = 'others'")
    report = carry(database(mlflow_folder))
    assert report.runs == 0
    assert report.left["experiments of other workspaces"] == 1
    assert report.left["runs of other workspaces"] == 5


def test_a_model_that_cannot_be_called_so_here_is_told_and_the_rest_comes(
    project: Project, mlflow_folder: Path, carry: Carry
) -> None:
    with sqlite3.connect(mlflow_folder / "mlflow.db") as theirs:
        theirs.execute("PRAGMA foreign_keys=OFF")
        for table in ("registered_models", "model_versions", "registered_model_tags", "registered_model_aliases"):
            theirs.execute(f"UPDATE {table} SET name = 'team/clf' WHERE name = 'digits-clf'")
    report = carry(database(mlflow_folder))
    assert [fault.where for fault in report.faults] == ["model team/clf"]
    assert report.runs == report.new_runs == 5


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("sqlite:///{folder}/mlfow.db", "mlflow.db"),
        ("sqlite:///{folder}/scratch/a.txt", "mlflow.db"),
        ("mysql://u:secret@host/mlflow", "SQLite"),
        ("sqlite:///{folder}", "Name the file"),
        ("nonsense", "sqlite:///"),
    ],
)
def test_a_wrong_address_is_refused_with_the_near_miss(mlflow_original: Path, url: str, fix: str) -> None:
    with pytest.raises(BadSource) as refused:
        MlflowDatabase(url.format(folder=mlflow_original))
    assert fix in refused.value.fix
    assert "secret" not in str(refused.value)


def test_a_database_of_something_else_is_refused_with_what_it_has(tmp_path: Path, project: Project) -> None:
    with sqlite3.connect(tmp_path / "mlflow.db") as other:
        other.execute("CREATE TABLE birds (name TEXT)")
    with pytest.raises(UnknownSchema, match="birds"):
        database(tmp_path)
    with pytest.raises(UnknownSchema, match="Bucle"):
        MlflowDatabase(f"sqlite:///{project.state / 'bucle.db'}")


def test_a_folder_of_something_else_is_refused_with_the_near_miss(mlflow_original: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSource) as refused:
        MlflowFolder(mlflow_original)
    assert refused.value.fix == f"Did you mean sqlite:///{mlflow_original / 'mlflow.db'}?"
    with pytest.raises(BadSource, match="no folder"):
        MlflowFolder(tmp_path / "nothing")


def test_a_damaged_file_of_a_folder_is_counted_and_the_rest_comes(
    project: Project, mlruns: Path, tmp_path: Path, carry: Carry
) -> None:
    folder = Path(shutil.copytree(mlruns, tmp_path / "mlruns"))
    losses = sorted(folder.glob("*/*/metrics/loss"), key=lambda one: one.stat().st_size)
    losses[-1].write_text(losses[-1].read_text() + "half a li\n")
    next(iter(folder.glob("*/*/metrics/loss"))).parent.parent.joinpath("inputs").mkdir(exist_ok=True)
    some = sorted(folder.glob("*/*/meta.yaml"))
    damaged = next(one for one in some if "run_id" in one.read_text() and "running" in one.read_text())
    damaged.write_text("}{ no yaml")
    report = carry(MlflowFolder(folder))
    assert report.runs == 4
    assert report.left["metric lines that cannot be read"] == 1
    assert report.left["runs whose meta.yaml is damaged"] == 1


def test_a_text_no_database_keeps_costs_one_run_and_not_the_others(
    project: Project, mlflow_folder: Path, carry: Carry
) -> None:
    with sqlite3.connect(mlflow_folder / "mlflow.db") as theirs:
        theirs.execute("UPDATE tags SET value = 'a' || char(0) || 'b' WHERE key = 'note'")
    report = carry(database(mlflow_folder))
    (fault,) = report.faults
    assert "no database keeps" in fault.what
    assert (report.runs, report.new_runs) == (5, 4)
    assert report.digest != report.found


@pytest.mark.usefixtures("mlflow_original")
def test_a_database_in_postgresql_is_read_alike(
    project: Project, mlflow_original: Path, empty_postgres_url: str, carry: Carry
) -> None:
    """The rows of the SQLite database in tables of the same names and columns; types as PostgreSQL has them."""
    theirs = sa.create_engine(f"sqlite:///{mlflow_original / 'mlflow.db'}")
    target = sa.create_engine(sa.make_url(empty_postgres_url).set(drivername="postgresql+psycopg"))
    found = sa.MetaData()
    found.reflect(theirs)
    copied = sa.MetaData()
    for table in found.sorted_tables:
        sa.Table(
            table.name, copied, *(sa.Column(c.name, _plain(c.type), primary_key=c.primary_key) for c in table.columns)
        )
    copied.create_all(target)
    with theirs.connect() as source, target.begin() as sink:
        for table in found.sorted_tables:
            rows = [dict(row._mapping) for row in source.execute(sa.select(table))]
            if rows and table.name != "alembic_version":
                sink.execute(sa.insert(copied.tables[table.name]), rows)
    theirs.dispose()
    target.dispose()
    report = carry(MlflowDatabase(empty_postgres_url))
    assert report.is_sound
    assert (report.runs, report.new_runs, report.logged_models, report.models) == (5, 5, 1, 2)
    assert named(project, "first").curves["loss"].count == 40


def _plain(kind: sa.types.TypeEngine[object]) -> sa.types.TypeEngine[object]:
    if isinstance(kind, sa.Float):
        return sa.Double()
    return kind if isinstance(kind, sa.Integer | sa.Boolean) else sa.Text()


def test_a_gate_is_not_asked_and_the_stage_stays(taken: Project) -> None:
    """What was in Staging there is validated here without a verdict; its way to production is ours again."""
    version = registry.version(taken, "digits-clf", "champion")
    assert version.stage == "validated"
    with pytest.raises(registry.IllegalTransition):
        registry.transition(taken, "digits-clf", 2, "production", actor="ana", reason="hurry")


def test_traces_come_with_their_spans(taken: Project) -> None:
    digits = tracking.experiment(taken, name="digits").id
    (trace,) = tracing.search_traces(taken, [digits]).items
    assert (trace.name, trace.state, trace.request, trace.response) == ("answer", "OK", '{"question": 41}', "42")
    spans = [span for page in tracing.span_pages(taken, trace.id) for span in page]
    assert [(span.name, span.type, span.status) for span in spans] == [
        ("answer", "UNKNOWN", "OK"),
        ("inner", "TOOL", "OK"),
    ]
    assert spans[1].parent == spans[0].id
    assert spans[1].attributes["mlflow.spanInputs"] == {"question": 41}
    assert spans[0].started_ns <= spans[1].started_ns < spans[1].ended_ns <= spans[0].ended_ns
