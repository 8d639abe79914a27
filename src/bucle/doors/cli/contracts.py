"""The verbs of `bucle data` about contracts: infer one, hold rows against it, see and compare those of commits."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import share
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb

if TYPE_CHECKING:
    import polars as pl

    from bucle.ground.project import Project
    from bucle.line.contracts import Breach, Contract

__all__ = ["CONTRACT_VERBS", "told_breach"]


def told_breach(breach: Breach) -> dict[str, Any]:
    """A breach as a row of a table for people."""
    told = {"table": breach.table, "column": breach.column, "rule": breach.rule, "rows": breach.count}
    return {**told, "expected": breach.expected, "found": breach.found}


def _check_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="CSV, Parquet, JSON or JSON lines (default: the table)"
    )
    parser.add_argument("--table", required=True, help="whose contract")
    parser.add_argument("--at", default="main", help="where the table and those it refers to stand (default: main)")
    parser.add_argument("--environment", default="", metavar="NAME", help="leave out rules for other environments")
    parser.add_argument("--previous", default="", metavar="REF", help="measure drift against the table at this commit")
    parser.add_argument("--training", default="", metavar="REF", help="measure skew against the table at this commit")


def _check(options: Namespace, terminal: Terminal) -> int:
    """Hold files, or the table itself, against a contract; nothing is written."""
    from bucle.doors.cli.rows import read_rows
    from bucle.line import contracts, data

    with terminal.project() as project:
        contract = contracts.load(contracts.path_of(project, options.table))
        is_file = bool(options.files)
        if not is_file:
            data.check_access(project, project.actor, "read", options.table, at=options.at)
        rows = read_rows(options.files) if is_file else data.scan(project, options.table, at=options.at)
        report = contracts.check(
            rows,
            contract,
            tables=_others(project, contract, options.at, rows),
            previous=_distributions(project, contract, options.previous),
            training=_distributions(project, contract, options.training),
            at=project.clock.now(),
            environment=options.environment,
        )
    told = {"table": report.table, "rows": report.rows, "passed": report.passed, "rules": report.rules}
    told |= {"breaches": len(report.breaches), "warnings": len(report.warnings), "skipped": len(report.skipped)}
    terminal.show(
        {**told, "breaches": report.breaches, "warnings": report.warnings, "skipped": report.skipped}, told=told
    )
    terminal.tell_table([told_breach(one) for one in report.breaches], title="what the batch breaks")
    terminal.tell_table([told_breach(one) for one in report.warnings], title="what only warns")
    if report.passed and is_file:
        terminal.next(f"bucle data add {' '.join(options.files)} --table {options.table}")
    return 0 if report.passed else FOUND


def _others(project: Project, contract: Contract, at: str, rows: pl.DataFrame) -> dict[str, pl.LazyFrame]:
    """The tables that references lead to, as they stand; the rows themselves count for their own table."""
    import polars as pl

    from bucle.line import data

    names = {one.table for one in contract.references}
    there = set(data.tables(project, at)) if names else set()
    found = {name: data.lazy(project, name, at=at) for name in names & there}
    if contract.table in names:
        own = [found[contract.table]] if contract.table in found else []
        found[contract.table] = pl.concat([rows.lazy(), *own], how="diagonal_relaxed")
    return found


def _distributions(project: Project, contract: Contract, at: str) -> Any:
    from bucle.line import contracts, data

    return contracts.distributions(data.lazy(project, contract.table, at=at), contract) if at else None


def _infer_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table")
    parser.add_argument("--at", default="main", help="a branch, a commit, or main@2013-03-01 (default: main)")
    parser.add_argument("--slack", type=share, default=0.1, help="room around what was seen, 0 to 1 (default: 0.1)")
    parser.add_argument(
        "--drift", type=share, default=None, metavar="LIMIT", help="look at drift, beyond this distance"
    )
    parser.add_argument("--force", action="store_true", help="write over the contract that is there")


def _infer(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.cli.errors import AlreadyThere
    from bucle.line import contracts, data

    with terminal.project() as project:
        path = contracts.path_of(project, options.table)
        if path.exists() and not options.force:
            raise AlreadyThere(
                f"{path.relative_to(project.root)} is there already.",
                why="Somebody may have edited it.",
                fix=f"To write over it: bucle data infer {options.table} --force",
                at=str(path),
            )
        data.check_access(project, project.actor, "read", options.table, at=options.at)
        contract = data.infer_contract(project, options.table, at=options.at, slack=options.slack, drift=options.drift)
        path.parent.mkdir(exist_ok=True)
        contracts.save(contract, path)
        told = {"contract": str(path.relative_to(project.root)), "columns": len(contract.columns)}
    terminal.show(contract, told=told)
    terminal.next(f"review {told['contract']}, then: bucle data add FILE --table {options.table}")


def _contract_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table")
    parser.add_argument("--at", default="", metavar="REF", help="by which the commit's rows landed (default: the file)")
    parser.add_argument("--against", default="", metavar="REF", help="say what changed since the one of that commit")


def _contract(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import contracts

    with terminal.project() as project:
        now = _contract_at(project, options.table, options.at)
        changes = contracts.diff(_contract_at(project, options.table, options.against), now) if options.against else []
    if not options.against:
        terminal.show(now, told={"table": now.table, "columns": len(now.columns)})
        terminal.say(contracts.dump(now).rstrip())
        return
    terminal.show(changes, ("where", "setting", "before", "after", "effect"))
    stricter = sum(one.effect == "stricter" for one in changes)
    looser = sum(one.effect == "looser" for one in changes)
    terminal.say(f"{len(changes)} settings differ: {stricter} are stricter now, {looser} looser.")


def _contract_at(project: Project, table: str, at: str) -> Contract:
    from bucle.ground.core import NotFound
    from bucle.line import contracts, data

    if not at:
        return contracts.load(contracts.path_of(project, table))
    found = data.contract_of(project, table, at=at)
    if found is None:
        raise NotFound(
            f"Table {table!r} was landed without a contract at {at!r}.",
            why="A commit keeps the contracts its rows were held against.",
            fix=f"bucle data infer {table}",
            at=table,
        )
    return found


CONTRACT_VERBS: tuple[Verb, ...] = (
    Verb("check", "hold files, or a table, against its contract; exit status 7 when they break it", _check,
         _check_arguments, "bucle data check later.csv --table samples"),
    Verb("infer", "write contracts/TABLE.yaml from the rows there are", _infer, _infer_arguments,
         "bucle data infer samples --force"),
    Verb("contract", "a table's contract, as its file or a commit has it; what got stricter or looser", _contract,
         _contract_arguments, "bucle data contract samples"),
)  # fmt: skip
