"""A contract as a file: YAML that people review, read strictly and written without what is default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import yaml

from bucle.ground.core import NotFound, Record, check_name, suggest
from bucle.ground.project import Project
from bucle.ground.store import write_atomically
from bucle.line.contracts.contract import Check, ColumnRule, Comparator, Contract, Measure, Reference, Relation
from bucle.line.contracts.dumper import yaml_text
from bucle.line.contracts.errors import BadExpression, ContractInvalid
from bucle.line.contracts.expression import compile_expression

__all__ = ["dump", "load", "of_project", "parse", "path_of", "save"]

_RULES: dict[str, type[Record]] = {
    "relations": Relation,
    "checks": Check,
    "measures": Measure,
    "references": Reference,
}
"""The lists of rules that are not about one column."""

_ABOUT_COLUMNS = (
    "required", "nullable", "max_null_share", "minimum", "maximum", "mean", "min_length", "max_length", "min_distinct",
    "max_distinct", "max_age_hours", "allowed", "pattern", "unique", "drift", "skew",
)  # fmt: skip
"""The rules of a column, as a report calls them."""

HEADER = """\
# The contract of table {table}: a batch that breaks a rule is refused before any reader sees it.
# Inferred limits are a first guess from the rows seen so far: read them, mend them, keep this file in git.
"""


def path_of(project: Project, table: str) -> Path:
    """Where a table's contract is kept: `contracts/TABLE.yaml` beside `bucle.toml`."""
    return project.root / "contracts" / f"{check_name(table, 'table name')}.yaml"


def of_project(project: Project) -> dict[str, Contract]:
    """Table -> contract of every file in `contracts/`.

    Raises:
        ContractInvalid: one cannot be understood, or is named otherwise than its table.
    """
    found = dict[str, Contract]()
    for path in sorted((project.root / "contracts").glob("*.yaml")):
        contract = load(path)
        if contract.table != path.stem:
            raise _invalid(
                path.name, f"it is the contract of {contract.table!r}", f"Name the file {contract.table}.yaml."
            )
        found[contract.table] = contract
    return found


def load(path: Path) -> Contract:
    """The contract in a file.

    Raises:
        NotFound: there is no such file.
        ContractInvalid: it is no YAML, has an unknown key, a value of the wrong kind or a pattern that is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(
            f"There is no contract {path}.",
            why="A table's contract is kept in contracts/TABLE.yaml.",
            fix="Make a first one from its rows: bucle data infer TABLE",
            at=str(path),
        ) from error
    return parse(text, path.name)


def parse(text: str, source: str = "contract") -> Contract:
    """The contract in a YAML text; errors as for `load`."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _invalid(source, f"no valid YAML: {error}", "Mend that line.") from error
    _check_keys(raw, source)
    try:
        contract = msgspec.convert(_plain(raw), Contract)
    except msgspec.ValidationError as error:
        raise _invalid(source, str(error), "Mend that value.") from error
    _check_rules(contract, source)
    return contract


def save(contract: Contract, path: Path) -> None:
    """Write a contract as YAML, leaving out what is as by default."""
    write_atomically(path, dump(contract).encode())


def dump(contract: Contract) -> str:
    """A contract as YAML for people."""
    return HEADER.format(table=contract.table) + yaml_text(contract)


def _plain(value: Any) -> Any:
    """YAML reads bare instants as such; in a contract they are ISO text."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _check_keys(raw: Any, source: str) -> None:
    if not isinstance(raw, Mapping):
        raise _invalid(source, "it holds no table of settings", "Start it with `table: NAME`.")
    _known(raw, Contract.__struct_fields__, source)
    for rule in _mappings(raw.get("columns")):
        _known(rule, ColumnRule.__struct_fields__, f"{source}, column {rule.get('name')!r}")
        for which in ("drift", "skew"):
            if isinstance(rule.get(which), Mapping):
                _known(rule[which], Comparator.__struct_fields__, f"{source}, {which} of {rule.get('name')!r}")
    for name, kind in _RULES.items():
        for one in _mappings(raw.get(name)):
            _known(one, kind.__struct_fields__, f"{source}, one of {name}")


def _mappings(value: Any) -> Iterable[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _known(given: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in given:
        if key not in known:
            raise _invalid(where, f"there is no setting {key!r}", suggest(str(key), known) or f"Remove {key!r}.")


def _check_rules(contract: Contract, source: str) -> None:
    names = [rule.name for rule in contract.columns]
    for name in names:
        if names.count(name) > 1:
            raise _invalid(source, f"column {name!r} has two rules", "Keep one of them.")
    for rule in contract.columns:
        _check_column(rule, source)
    for name in _named_columns(contract):
        # A column may have no rule where such columns are allowed.
        if name not in names and contract.extra_columns == "refuse":
            raise _invalid(source, f"there is no rule for column {name!r}", suggest(name, names) or "Add its rule.")
    for one in contract.references:
        if one.to and len(one.to) != len(one.columns):
            raise _invalid(source, f"the reference to {one.table!r} pairs unequal columns", "Name as many in `to`.")
    _check_names(contract, source)
    _check_expressions(contract, source)
    if not 0 <= contract.max_quarantine_share <= 1:
        raise _invalid(source, "max_quarantine_share is no share", "Give a number from 0 to 1.")


def _check_column(rule: ColumnRule, source: str) -> None:
    try:
        pl.Series([""]).str.contains(rule.pattern)
    except pl.exceptions.ComputeError as error:
        raise _invalid(source, f"the pattern of {rule.name!r} is none: {error}", "Mend the pattern.") from error
    for setting in ("tolerances", "severities"):
        for what in getattr(rule, setting):
            if what not in _ABOUT_COLUMNS:
                near = suggest(what, _ABOUT_COLUMNS) or f"There are: {', '.join(_ABOUT_COLUMNS)}."
                raise _invalid(source, f"{setting} of {rule.name!r} names no rule {what!r}", near)
    shares = {"tolerance": rule.tolerance, "max_null_share": rule.max_null_share, **rule.tolerances}
    shares |= {name: one.threshold for name in ("drift", "skew") if (one := getattr(rule, name)) is not None}
    for what, share in shares.items():
        if share is not None and not 0 <= share <= 1:
            raise _invalid(source, f"{what} of {rule.name!r} is {share}", "Give a number from 0 to 1.")


def _named_columns(contract: Contract) -> list[str]:
    return [
        *(name for group in contract.unique for name in group),
        *(name for one in contract.relations for name in (one.left, one.right)),
        *(name for one in contract.references for name in one.columns),
    ]


def _check_names(contract: Contract, source: str) -> None:
    names = [*(one.name for one in contract.checks), *(one.name for one in contract.measures)]
    for name in names:
        if names.count(name) > 1:
            raise _invalid(source, f"two checks are called {name!r}", "Give each a name of its own.")


def _check_expressions(contract: Contract, source: str) -> None:
    """Types are not known yet, so any column may stand anywhere; the names must be right."""
    # An expression may name a column that has no rule where such columns are allowed.
    schema: Mapping[str, pl.DataType] = {rule.name: pl.Null() for rule in contract.columns}
    texts = [rule.where for rule in contract.columns]
    texts += [text for one in contract.checks for text in (one.holds, one.where)]
    texts += [one.value for one in contract.measures]
    for text in filter(None, texts):
        try:
            compile_expression(text, _Any(schema) if contract.extra_columns == "allow" else schema)
        except BadExpression as error:
            raise _invalid(source, error.what.rstrip("."), error.fix) from error


class _Any(dict[str, pl.DataType]):
    """A schema in which every column is."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> pl.DataType:
        return pl.Null()


def _invalid(source: str, what: str, fix: str) -> ContractInvalid:
    return ContractInvalid(
        f"{source}: {what}.", why="A rule that is not understood cannot be kept.", fix=fix, at=source
    )
