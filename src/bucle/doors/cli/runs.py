"""`bucle runs`: tracked runs: list, show, compare, best, watch, export, sync."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import add_limit
from bucle.doors.cli.columns import cells, needed, parse_columns
from bucle.doors.cli.references import chosen
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb

if TYPE_CHECKING:
    from bucle.ground.project import Project
    from bucle.line.tracking import Run

__all__ = ["VERBS"]

STATUSES = ("running", "scheduled", "finished", "failed", "killed")
LOOK_S = 0.5
"""So often a watched run is looked at."""

SYSTEM = "system/"
"""How the names of what the machine did begin; they say little of the model."""


def _search_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--experiment", default="", metavar="NAME", help="only of this one")
    parser.add_argument("--status", choices=STATUSES, default=None, help="only these")
    parser.add_argument(
        "--where", default="", metavar="FILTER",
        help="""comparisons joined by AND, e.g. "metrics.auc > 0.9 AND params.kind = 'tree'"; also tags.KEY, min.KEY,
        max.KEY, status, run_name, start_time, datasets.name""",
    )  # fmt: skip
    parser.add_argument(
        "--order", action="append", default=[], metavar="KEY",
        help='e.g. "metrics.auc DESC"; again for what comes next (default: newest first)',
    )  # fmt: skip


def _list_arguments(parser: ArgumentParser) -> None:
    _search_arguments(parser)
    parser.add_argument(
        "--columns", default="", metavar="A,B",
        help="e.g. run,name,metrics.auc,min.loss,max.auc,auc@100,params.lr,tags.team,duration_s",
    )  # fmt: skip
    parser.add_argument("--csv", action="store_true", help="as CSV")
    add_limit(parser, 20)


def _list(options: Namespace, terminal: Terminal) -> None:
    columns = parse_columns(options.columns)
    with terminal.project() as project:
        found = list(_found(project, options, options.limit, needed(columns) if columns else None))
        rows = cells(project, found, columns) if columns else [_brief(one) for one in found]
    if options.csv:
        from bucle.doors.cli.rows import write_rows

        write_rows(rows, "-")
        return
    terminal.show(rows if columns else found, told=rows)
    terminal.next(f"bucle runs show {found[0].id[:8]}" if found else "bucle run PIPELINE")


def _found(project: Project, options: Namespace, limit: int, columns: Sequence[str] | None) -> Iterator[Run]:
    """The runs that were asked for, page by page."""
    from bucle.line import tracking

    if options.experiment:
        ids = [tracking.experiment(project, name=options.experiment).id]
    else:
        ids = [one.id for one in tracking.experiments(project)]
    status = f"status = '{options.status.upper()}'" if options.status else ""
    where = " AND ".join(part for part in (options.where, status) if part)
    token, left = "", limit
    while left:
        page = tracking.search_runs(
            project, ids, filter=where, order_by=options.order, limit=min(left, 1000), token=token, columns=columns
        )
        yield from page.items
        token, left = page.token, left - len(page.items)
        if not token:
            return


def _brief(run: Run) -> dict[str, Any]:
    own = {name: value for name, value in run.metrics.items() if not name.startswith(SYSTEM)}
    return {
        "run": run.id[:8], "name": run.name, "experiment": run.experiment, "status": run.status,
        "started_at": f"{run.started_at:%Y-%m-%d %H:%M:%S}", "metrics": _pairs(own), "params": _pairs(run.params),
    }  # fmt: skip


def _pairs(given: dict[str, Any], most: int = 4) -> str:
    told = [f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in given.items()]
    return " ".join(told[:most]) + (f" +{len(told) - most}" if len(told) > most else "")


def _experiments(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import tracking

    with terminal.project() as project:
        terminal.show(tracking.experiments(project), ("id", "name", "lifecycle", "runs", "last_at"))


def _show_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", help="its id, or the beginning of it")


def _show(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import tracking

    with terminal.project() as project:
        found = tracking.run(project, options.run)
        summaries = tracking.summaries(project, found.id)
    terminal.show(found, told=_told(found))
    for title in ("params", "tags", "artifacts"):
        rows = [{"name": name, "value": value} for name, value in getattr(found, title).items()]
        terminal.tell_table(rows, title=title)
    columns = ("key", "last", "step", "least", "least_step", "greatest", "greatest_step")
    terminal.tell_table(summaries, columns, title="metrics")
    terminal.next(f"bucle runs metrics {found.id[:8]}")


def _told(run: Run) -> dict[str, Any]:
    """A run without what has a table of its own."""
    from bucle.ground.core import to_builtins

    apart = ("params", "metrics", "tags", "artifacts")
    return {name: value for name, value in to_builtins(run).items() if name not in apart}


def _compare_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="two or more")
    parser.add_argument("--all", action="store_true", help="also what they have in common, below")


def _compare(options: Namespace, terminal: Terminal) -> None:
    """What differs between runs, side by side; what is equal everywhere comes last, or not at all."""
    from bucle.line import tracking

    with terminal.project() as project:
        found = [tracking.run(project, one) for one in options.runs]
    sides = [{"run": _about(one), "params": one.params, "metrics": one.metrics, "tags": one.tags} for one in found]
    differing, equal = list[dict[str, Any]](), list[dict[str, Any]]()
    for what in sides[0]:
        for name in dict.fromkeys(key for side in sides for key in side[what]):
            values = [side[what].get(name) for side in sides]
            row = {"what": what, "name": name} | dict(zip((one.id[:8] for one in found), values, strict=True))
            (differing if len({str(value) for value in values}) > 1 else equal).append(row)
    rows = [*differing, *(equal if options.all else [])]
    terminal.show(found, told=rows or [{"what": "the runs", "name": "are equal"}])


def _about(run: Run) -> dict[str, Any]:
    """What runs may differ in besides params, metrics and tags."""
    names = ("experiment", "name", "status", "seed", "code_commit", "code_diff", "environment", "inputs")
    return {name: getattr(run, name) for name in names}


def _metrics_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", help="its id, or the beginning of it")
    parser.add_argument("--key", default=None, help="only this metric")


def _metrics(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import tracking

    with terminal.project() as project:
        run = tracking.run(project, options.run)
        found = tracking.metrics(project, run.id, options.key)
        if options.key and not found:
            _check_metric(options.key, run.metrics, f"of run {run.id}", f"bucle runs show {run.id}")
    terminal.show(found, ("key", "step", "value", "at"))


def _check_metric(key: str, known: Iterable[str], where: str, fix: str) -> None:
    from bucle.ground.core import NotFound

    chosen(key, known, NotFound, f"metric {where}", fix)


def _best_arguments(parser: ArgumentParser) -> None:
    _search_arguments(parser)
    parser.add_argument("--metric", required=True, metavar="KEY", help="what counts")
    parser.add_argument("--min", action="store_true", help="less is better")
    parser.add_argument("--peak", action="store_true", help="the best point of each curve counts, not its last")


def _best(options: Namespace, terminal: Terminal) -> None:
    """The run whose metric is best."""
    scope = ("min" if options.min else "max") if options.peak else "metrics"
    options.order = [f"{scope}.`{options.metric}` {'ASC' if options.min else 'DESC'}", *options.order]
    with terminal.project() as project:
        found = next(_found(project, options, 1, None), None)
        if found is None or options.metric not in found.metrics:
            known = {key: None for one in _found(project, options, 200, None) for key in one.metrics}
            _check_metric(options.metric, known, "of these runs", "bucle runs list")
        assert found is not None
        (row,) = cells(project, [found], parse_columns(f"run,name,experiment,{scope}.{options.metric}"))
    terminal.show(found, told=row | {"params": _pairs(found.params, 20)})
    terminal.next(f"bucle runs show {found.id[:8]}")


def _watch_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", help="its id, or the beginning of it")
    parser.add_argument("--system", action="store_true", help="also how busy the machine is")


def _watch(options: Namespace, terminal: Terminal) -> int:
    """Print what a run logs while it logs it; exit status 0 when it finishes, 1 when it fails or is killed."""
    from bucle.line import tracking

    with terminal.project() as project:
        id_, known = tracking.run(project, options.run).id, dict[str, tuple[int, float]]()
        while True:
            run = tracking.run_by_id(project, id_, columns=())
            fresh = {one.key: (one.step, one.last) for one in tracking.summaries(project, id_)}
            changed = {key: at for key, at in fresh.items() if str(known.get(key)) != str(at)}
            _tell_points(changed, terminal, with_system=options.system)
            known = fresh
            if run.status not in ("running", "scheduled"):
                break
            time.sleep(LOOK_S)
        run = tracking.run(project, id_)
    terminal.show(
        run, told={"run": run.id, "status": run.status, "error": run.error, "metrics": _pairs(run.metrics, 20)}
    )
    terminal.next(f"bucle runs show {run.id[:8]}")
    return 0 if run.status == "finished" else 1


def _tell_points(points: dict[str, tuple[int, float]], terminal: Terminal, *, with_system: bool) -> None:
    """One line a step: `120  auc=0.81 loss=0.35`."""
    lines: dict[int, dict[str, float]] = {}
    for key, (step, value) in points.items():
        if with_system or not key.startswith(SYSTEM):
            lines.setdefault(step, {})[key] = value
    if not terminal.as_json:
        for step in sorted(lines):
            terminal.line(f"{step:>10}  {_pairs(lines[step], 20)}")
        terminal.flush()


def _code_arguments(parser: ArgumentParser) -> None:
    _show_arguments(parser)
    parser.add_argument("folder", help="does not exist yet, or is empty")


def _code(options: Namespace, terminal: Terminal) -> None:
    """Check out the commit a run ran, with the changes that were not committed."""
    from pathlib import Path

    from bucle.line import tracking

    with terminal.project() as project:
        run = tracking.run(project, options.run)
        folder = tracking.restored(project, run, Path(options.folder))
    terminal.show({"folder": str(folder), "commit": run.code_commit, "changes": run.code_diff})


def _export_arguments(parser: ArgumentParser) -> None:
    _search_arguments(parser)
    parser.add_argument("file", metavar="FILE", help="ends in .csv, .json, .jsonl or .parquet; - for CSV to the screen")
    parser.add_argument("--curves", action="store_true", help="a row a point of each metric, instead of a row a run")
    add_limit(parser, 1_000_000)


def _export(options: Namespace, terminal: Terminal) -> None:
    """Write runs as rows: `params.KEY`, `metrics.KEY` and `tags.KEY` are columns."""
    from bucle.doors.cli.rows import check_ending, write_rows

    if options.file != "-":
        check_ending(options.file)
    with terminal.project() as project:
        found = _found(project, options, options.limit, ("params", "metrics", "tags"))
        rows = _curve_columns(project, found) if options.curves else [_flat(one) for one in found]
    count = write_rows(rows, options.file)
    if options.file != "-":
        terminal.show({"file": options.file, "rows": count})


def _flat(run: Run) -> dict[str, Any]:
    from bucle.doors.cli.columns import ATTRIBUTES

    own = {name: run.id if name == "run" else getattr(run, name, None) for name in ATTRIBUTES if name != "duration_s"}
    for scope in ("params", "metrics", "tags"):
        own |= {f"{scope}.{name}": value for name, value in getattr(run, scope).items()}
    return own


def _curve_columns(project: Project, runs: Iterator[Run]) -> dict[str, list[Any]]:
    """Every point of every metric of some runs, in columns."""
    from bucle.line import tracking

    columns: dict[str, list[Any]] = {"run": [], "key": [], "step": [], "at": [], "value": []}
    for run in runs:
        for key in run.metrics:
            found = tracking.points(project, run.id, key)
            columns["run"] += [run.id] * found.count
            columns["key"] += [key] * found.count
            columns["step"] += found.steps.tolist()
            columns["at"] += found.at.tolist()
            columns["value"] += found.values.tolist()
    return columns


def _delete(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import tracking

    with terminal.project() as project:
        found = tracking.run(project, options.run)
        tracking.delete_run(project, found.id)
        terminal.show(tracking.run(project, found.id), told={"run": found.id, "lifecycle": "deleted"})
    terminal.next(f"bucle runs restore {found.id[:8]}")


def _restore(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import tracking

    with terminal.project() as project:
        found = tracking.run(project, options.run)
        tracking.restore_run(project, found.id)
        terminal.show(tracking.run(project, found.id), told={"run": found.id, "lifecycle": "active"})
    terminal.next(f"bucle runs show {found.id[:8]}")


def _sync_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--server", default="", metavar="URL", help="only what is for this one")


def _sync(options: Namespace, terminal: Terminal) -> int:
    """Deliver what waits on this machine for Bucle servers."""
    from bucle.line import client

    root = client.queue_root()
    found = client.sync(root, server=options.server.rstrip("/"))
    terminal.show(found, ("run", "server", "state", "messages", "reason"))
    if not found:
        terminal.say(f"Nothing waits in {root}")
    return FOUND if any(one.state in ("waiting", "refused") for one in found) else 0


VERBS: tuple[Verb, ...] = (
    Verb("list", "runs, newest first, or those that fit a filter", _list, _list_arguments,
         "bucle runs list --where \"metrics.auc > 0.8\" --order \"metrics.auc DESC\" --columns run,auc,max.auc"),
    Verb("experiments", "what runs belong to", _experiments, example="bucle runs experiments"),
    Verb("show", "one run with its params, metrics and circumstances", _show, _show_arguments, "bucle runs show RUN"),
    Verb("compare", "runs side by side, differences first", _compare, _compare_arguments, "bucle runs compare RUN RUN"),
    Verb("best", "the run whose metric is best", _best, _best_arguments,
         "bucle runs best --experiment flights --metric auc"),
    Verb("watch", "what a run logs, while it runs; exit status 1 when it fails or is killed", _watch, _watch_arguments,
         "bucle runs watch RUN"),
    Verb("metrics", "every point of a run's curves", _metrics, _metrics_arguments, "bucle runs metrics RUN"),
    Verb("export", "runs as CSV, JSON or Parquet", _export, _export_arguments,
         "bucle runs export runs.parquet --experiment flights"),
    Verb("code", "the code a run ran, in a folder of its own", _code, _code_arguments, "bucle runs code RUN code"),
    Verb("delete", "put a run aside; it can be restored", _delete, _show_arguments, "bucle runs delete RUN"),
    Verb("restore", "bring a run back that was put aside", _restore, _show_arguments, "bucle runs restore RUN"),
    Verb("sync", "deliver what waits on this machine for a server; exit status 7 when something still does", _sync,
         _sync_arguments, "bucle runs sync"),
)  # fmt: skip
