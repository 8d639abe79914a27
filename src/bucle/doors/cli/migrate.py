"""`bucle migrate`: move in from another tracker, or out to MLflow."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb

if TYPE_CHECKING:
    from bucle.doors.migrate import Report, Source

__all__ = ["VERBS"]


def _mlflow_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "uri", metavar="URI", help="sqlite:///mlflow.db, postgresql://user@host/name, or a folder mlruns"
    )
    parser.add_argument(
        "--artifacts", type=Path, default=None, metavar="DIR",
        help="where the artifacts lie: the server's --artifacts-destination, or a copy of the bucket",
    )  # fmt: skip


def _from_mlflow(options: Namespace, terminal: Terminal) -> int:
    from bucle.doors.migrate import BadSource, MlflowDatabase, MlflowFolder

    uri, artifacts = str(options.uri), options.artifacts
    if artifacts is not None and not artifacts.is_dir():
        raise BadSource(
            f"There is no folder {artifacts}.",
            why="--artifacts names where the files of runs lie.",
            fix="Name the folder, or leave it out: runs come without files then.",
            at="--artifacts",
        )
    if uri.startswith(("http://", "https://")):
        raise BadSource(
            f"{uri} is a server; its database is read instead.",
            why="A server gives runs one by one, without what was deleted, and forgets who wrote them.",
            fix="Give what the server was started with as --backend-store-uri.",
            at=uri,
        )
    source: Source
    if "://" in uri and not uri.startswith("file://"):
        source = MlflowDatabase(uri, artifacts)
    else:
        source = MlflowFolder(Path(uri.removeprefix("file://")), artifacts)
    return _carry(source, terminal)


def _wandb_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder `wandb`, or one run's folder in it")
    parser.add_argument(
        "--follow-links", action="store_true", help="take over what links among saved files lead to; not from strangers"
    )


def _from_wandb(options: Namespace, terminal: Terminal) -> int:
    from bucle.doors.migrate import WandbFolder

    return _carry(WandbFolder(options.folder, follow_links=options.follow_links), terminal)


def _neptune_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="what neptune-exporter was given as --data-path")
    parser.add_argument(
        "--files", type=Path, default=None, metavar="DIR", help="its --files-path (default: files beside DIR)"
    )


def _from_neptune(options: Namespace, terminal: Terminal) -> int:
    from bucle.doors.migrate import NeptuneExport

    return _carry(NeptuneExport(options.folder, options.files), terminal)


def _to_mlflow_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new folder, for mlflow.db and artifacts/")


def _to_mlflow(options: Namespace, terminal: Terminal) -> int:
    from bucle.doors.migrate import export_to_mlflow

    with terminal.project() as project:
        report = export_to_mlflow(project, options.folder, tell=terminal.say)
    status = _show(report, terminal)
    terminal.next(f"mlflow server --backend-store-uri sqlite:///{options.folder.resolve()}/mlflow.db")
    return status


def _to_mlproject_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=Path, nargs="?", default=None, metavar="DIR", help="where to (default: the project's own)"
    )


def _to_mlproject(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.migrate import export_to_mlproject

    with terminal.project() as project:
        made = export_to_mlproject(project, options.folder)
    rows = [{"entry point": name, "parameters": ", ".join(found)} for name, found in made.entry_points.items()]
    terminal.show(made, told={"folder": made.folder, "packages": made.packages})
    terminal.tell_table(rows, ("entry point", "parameters"))
    first = next(iter(made.entry_points), "PIPELINE")
    terminal.next(f"mlflow run {made.folder} --env-manager local -e {first}")


def _carry(source: Source, terminal: Terminal) -> int:
    import gc

    from bucle.doors.migrate import carry_over

    # Millions of rows and no cycles among them: looking for some took an eighth of the time.
    gc.set_threshold(100_000, 50, 50)
    try:
        with terminal.project() as project:
            report = carry_over(project, source, tell=terminal.say)
    finally:
        source.close()
    status = _show(report, terminal)
    terminal.next("bucle runs list")
    return status


def _show(report: Report, terminal: Terminal) -> int:
    told = {
        "source": report.source,
        **report.counts(),
        "new runs": report.new_runs,
        "took_s": report.took_s,
        "digest": report.digest,
        "read back": "the same" if report.digest == report.found else report.found,
    }
    terminal.show(report, told=told)
    left = [{"what": what, "count": count} for what, count in report.left.items()]
    terminal.tell_table(left, title="not taken over")
    terminal.tell_table(report.faults, ("where", "what"), title="not the same here as there")
    if report.is_sound:
        terminal.say("Everything that was read is there, and the same.")
        return 0
    return FOUND


VERBS: tuple[Verb, ...] = (
    Verb(
        "from-mlflow", "take over an MLflow database or mlruns; again after a crash: it goes on", _from_mlflow,
        _mlflow_arguments, "bucle migrate from-mlflow sqlite:///mlflow.db --artifacts mlartifacts",
    ),
    Verb(
        "from-wandb", "take over W&B's run folders, offline ones as well", _from_wandb, _wandb_arguments,
        "bucle migrate from-wandb wandb",
    ),
    Verb(
        "from-neptune", "take over what neptune-exporter wrote", _from_neptune, _neptune_arguments,
        "bucle migrate from-neptune exports/data",
    ),
    Verb(
        "to-mlflow", "write an MLflow database with artifacts", _to_mlflow, _to_mlflow_arguments,
        "bucle migrate to-mlflow moved",
    ),
    Verb(
        "to-mlproject", "write an MLproject file whose entry points are the pipelines", _to_mlproject,
        _to_mlproject_arguments, "bucle migrate to-mlproject",
    ),
)  # fmt: skip
