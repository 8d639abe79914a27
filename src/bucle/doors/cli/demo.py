"""`bucle demo`: the year 2013 through the whole line."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from bucle import loop
    from bucle.examples.flights.report import DemoReport

__all__ = ["VERBS"]


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", default="flights", help="the project's folder (default: ./flights)")
    parser.add_argument("--months", type=int, default=12, choices=range(3, 13), metavar="3..12", help="the last month")
    parser.add_argument("--stay", action="store_true", help="keep endpoint and dashboard running at the end")
    parser.add_argument("--port", type=int, default=4242, help="the dashboard's port with --stay (default: 4242)")


def _run(options: Namespace, terminal: Terminal) -> int:
    from bucle.examples.flights.play import Year
    from bucle.examples.flights.report import as_html, make_report, pick_prediction

    started = time.monotonic()
    console = terminal.console()
    folder = Path(options.project or options.folder).resolve()
    with _progress(console) as progress:
        year = Year(folder, database=options.database, teller=_teller(progress), months=options.months)
        try:
            year.play()
            progress.console.print("[bold]A prediction is traced back and computed again; everything is audited[/bold]")
            report = make_report(
                year.project,
                year.policy,
                year.drills(),
                failed_requests=year.failed_requests,
                prediction=pick_prediction(year.project, year.policy.endpoint),
            )
        except BaseException:
            year.close()
            raise
    from msgspec.structs import replace

    report = replace(report, seconds=round(time.monotonic() - started, 1))
    page = folder / "report.html"
    page.write_text(as_html(report), encoding="utf-8")
    if terminal.as_json:
        terminal.show(report)
    else:
        _show(report, page)
    try:
        if options.stay:
            _stay(year.project, options.port, terminal)
    finally:
        year.close()
    terminal.next(f"bucle up --no-loop --project {folder}")
    return 0 if report.audit.is_sound and report.proof.is_identical else 1


def _stay(project: Any, port: int, terminal: Terminal) -> None:
    from bucle.doors.server import serve

    serve(project, "127.0.0.1", port, controller=False, ready=lambda url: terminal.say(f"dashboard: {url}"))


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("questions"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield progress


def _teller(progress: Progress) -> Any:
    from bucle.examples.flights.play import Teller

    class Told(Teller):
        """Tells the terminal."""

        def __init__(self) -> None:
            self.bar = progress.add_task("2013", total=None)

        def stage(self, name: str) -> None:
            progress.console.print(f"[bold]{name}[/bold]")
            progress.update(self.bar, description=name, completed=0, total=None)

        def drill(self, name: str, outcome: str) -> None:
            progress.console.print(f"  [yellow]drill[/yellow] {name}: {outcome}", highlight=False)

        def asked(self, month: int, done: int, of: int) -> None:
            progress.update(self.bar, completed=done, total=of)

        def decided(self, at: datetime, decision: loop.Decision, outcome: loop.Outcome | None) -> None:
            if outcome is None:
                progress.update(self.bar, description=f"{decision.kind} …")
            elif decision.kind != "look":
                line = f"  [dim]{at:%m-%d %H:%M}[/dim] {_COLOUR.get(decision.kind, decision.kind)} {decision.reason}"
                progress.console.print(line, highlight=False)

    return Told()


_COLOUR = {
    "promote": "[green]promote[/green]",
    "refuse": "[red]refuse[/red]",
    "roll_back": "[red]roll back[/red]",
    "retrain": "[cyan]retrain[/cyan]",
}


def _show(report: DemoReport, page: Path) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_cycles(report))
    console.print(_months(report))
    for name, outcome in report.drills.items():
        console.print(f"[yellow]drill[/yellow] {name}: {outcome}")
    console.print(f"failed requests seen by clients: {report.failed_requests}\n")
    _tell_trace(console, report)
    audit = report.audit
    state = "[green]verified[/green]" if audit.is_sound else "[red]DAMAGED[/red]"
    counted = f"{audit.events} events, {audit.rows} rows, {audit.blobs} blobs"
    console.print(f"audit: {state}: {counted}; root {audit.root[:16]}…")
    for fault in audit.faults:
        console.print(f"  [red]{fault.where}[/red] {fault.what}")
    console.print(f"\n{report.seconds:.0f} s; the same as a page: {page}")


def _cycles(report: DemoReport) -> Any:
    from rich.table import Table

    table = Table(title="Every turn of the loop", box=None, pad_edge=False, title_justify="left")
    for name in ("#", "began", "trigger", "champion", "challenger", "gates", "rollout", "decision"):
        table.add_column(name, overflow="fold")
    for row in report.cycles:
        colour = "green" if row.decision == "promoted" else "red"
        trigger = f"{row.trigger} (drill)" if row.is_drill else row.trigger
        table.add_row(
            str(row.number),
            f"{row.opened_at:%Y-%m-%d}",
            trigger,
            str(row.champion or "-"),
            str(row.challenger or "-"),
            row.verdict,
            row.rollout,
            f"[{colour}]{row.decision}[/{colour}]",
        )
    return table


def _months(report: DemoReport) -> Any:
    from rich.table import Table

    table = Table(title="\nLive quality (AUC), on the same flights", box=None, pad_edge=False, title_justify="left")
    for name in ("month", "flights", "versions", "loop", "never retrained", "difference"):
        table.add_column(name, justify="left" if name in ("month", "versions") else "right")
    for place, row in enumerate(report.months, start=1):
        gain = row.loop_auc - row.static_auc
        table.add_row(
            "the year" if place == len(report.months) else f"{row.month:%B}",
            f"{row.flights:,}",
            ", ".join(map(str, row.versions)),
            f"{row.loop_auc:.4f}",
            f"{row.static_auc:.4f}",
            f"[{'green' if gain >= 0 else 'red'}]{gain:+.4f}[/]",
        )
    return table


def _tell_trace(console: Console, report: DemoReport) -> None:
    traced, proof = report.trace, report.proof
    answer, version = traced.answer, traced.version
    console.print(f"[bold]why[/bold]  prediction {answer.id} about {answer.entity}: {answer.score:.6f}")
    package = f"package {version.digest[:12]}, stage {version.stage}"
    console.print(f"  version    {version.model}@{version.version}, {package}")
    if traced.run:
        code = traced.run.code_commit[:12] or "not under git"
        console.print(f"  run        {traced.run.id}, code {code}, environment {traced.run.environment[:12]}")
    steps = ", ".join(f"{step.step} {step.key[:8]}" for step in traced.steps)
    console.print(f"  steps      {steps}")
    if traced.commit:
        rows = ", ".join(f"{name} {table.rows:,}" for name, table in traced.commit.tables.items())
        console.print(f"  data       commit {traced.commit.id[:12]}: {rows}")
    console.print(f"  features   {', '.join(traced.package.features)}")
    for verdict in traced.verdicts:
        word = "passed" if verdict.passed else "refused"
        console.print(f"  gates      {word} {len(verdict.checks)} checks on {verdict.rows:,} rows ({verdict.id})")
    for approval in traced.approvals:
        console.print(f"  approved   by {approval.principal}: {approval.reason}")
    same = {True: "[green]identical[/green]", False: "[red]DIFFERS[/red]"}
    again = ", ".join(f"{step} {same[ok]}" for step, ok in proof.steps.items())
    console.print("[bold]again, please[/bold]")
    console.print(f"  trained    {again}")
    console.print(f"  features   {same[proof.features]} to what was served")
    console.print(f"  answer     {same[proof.answer]}, bit for bit: {proof.repeated}\n")


VERBS = (
    Verb(
        name="",
        help="play a year of real flights through the whole line, unattended",
        run=_run,
        arguments=_arguments,
        example="bucle demo --stay",
    ),
)
