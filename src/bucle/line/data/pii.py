"""PII: which columns hold what is personal, and how it is shown to those who may not see it.

Tags are a file of the tree, `.pii/TABLE.json`: they branch, merge and travel in time as everything else. What is read
at an earlier commit is masked by the tags of that commit and by those that `main` has now: a tag given later covers
what was committed before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import msgspec
import polars as pl

from bucle.ground.core import BadName, Record, check_name, suggest
from bucle.ground.project import Project
from bucle.line.contracts import QUARANTINE
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import head_of, resolve
from bucle.line.data.commit import Commit
from bucle.line.data.errors import NoSuchColumn, NoSuchCommit
from bucle.line.data.publish import commit
from bucle.line.data.snapshot import lazy, snapshot
from bucle.line.files import find_entry, pieces_of

__all__ = ["ColumnTag", "Finding", "find_pii", "pii_file", "pii_tags", "tag_columns"]

FOLDER = ".pii/"

Kind = Literal["email", "phone", "card", "iban", "name", "address", "id", "birth", "other"]
Mask = Literal["redact", "hash", "partial", "null", "generalise"]

SAMPLE = 10_000
"""So many rows are looked at to find what is personal."""

SURE = 0.8
"""The share of a column's values that must look like a thing."""


class ColumnTag(Record, frozen=True):
    """A column holds what is personal.

    Attributes:
        kind: what it is.
        mask: what those see who may not see it: `***`; a pseudonym that is the same for the same value in this project;
            the last four characters; nothing; or something coarser: the year of a date, a number rounded down to two
            digits, the first two characters of a text.
    """

    kind: Kind = "other"
    mask: Mask = "redact"


class Finding(Record, frozen=True):
    """A column that seems to hold what is personal.

    Attributes:
        column: its name.
        tag: what is proposed.
        share: of its values that look like it, 0 to 1; 0 when only its name tells.
        tagged: whether it is tagged already.
    """

    column: str
    tag: ColumnTag
    share: float
    tagged: bool


_MASKS: dict[str, Mask] = {
    "email": "hash",
    "phone": "partial",
    "card": "partial",
    "iban": "partial",
    "name": "redact",
    "address": "redact",
    "id": "hash",
    "birth": "generalise",
    "other": "redact",
}
_NAMES: tuple[tuple[Kind, str], ...] = (
    ("email", r"e_?mails?|correo"),
    ("phone", r"phones?|tel|telephone|telefono|mobile|movil|fax"),
    ("card", r"card|credit_?card|card_?number|pan|tarjeta"),
    ("iban", r"iban|account_?number|cuenta"),
    ("birth", r"birth\w*|dob|nacimiento"),
    ("id", r"dni|nif|nie|ssn|passport|pasaporte|tax_?id|national_?id"),
    ("address", r"address|street|direccion|calle|ip|ip_?address"),
    ("name", r"(first|last|full|given|family|sur)_?name|surname|nombre|apellidos?"),
)
_EMAIL = r"^[^@\s]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$"
_PHONE = r"^[+(]{0,2}[0-9][0-9 ().-]{6,18}[0-9]$"
_IBAN = r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$"
_CARD = r"^[0-9]{13,19}$"


def pii_tags(project: Project, table: str, *, at: str = MAIN) -> dict[str, ColumnTag]:
    """Column -> tag, of a commit and of what `main` has now; names that no column has any more are among them.

    Rows that were set aside are masked by the tags of their table, and of the quarantine besides.
    """
    head, found = head_of(project, MAIN), dict[str, ColumnTag]()
    for name in dict.fromkeys((table.removesuffix(QUARANTINE), table)):
        found |= _tags(project, name, at)
        found |= _tags(project, name, head.id) if head is not None else {}
    return found


def tag_columns(
    project: Project, table: str, tags: Mapping[str, ColumnTag | None], *, branch: str = MAIN, message: str = ""
) -> Commit:
    """Tag columns in one commit; None takes a tag off.

    Raises:
        NoSuchTable, NoSuchBranch: there is none.
        NoSuchColumn: the table has no such column.
        BadName: a tag is of no kind or mask there is.
    """
    known = snapshot(project, check_name(table, "table name"), at=branch).columns
    before = _tags(project, table, branch)
    for column, tag in tags.items():
        if column not in known and not (tag is None and column in before):
            raise NoSuchColumn(
                f"Table {table!r} has no column {column!r}.",
                why=f"It has: {', '.join(known)}.",
                fix=suggest(column, known) or "Name one of those.",
                at=column,
            )
    after = {name: tag for name, tag in {**before, **tags}.items() if tag is not None}
    content = msgspec.json.encode(after, order="sorted")
    try:
        msgspec.json.decode(content, type=dict[str, ColumnTag])
    except msgspec.ValidationError as error:
        raise BadName(
            f"A tag of table {table!r} cannot be understood: {error}.",
            why="Readers would not know how to mask the column.",
            fix=f"A kind is one of {', '.join(get_args(Kind))}; a mask one of {', '.join(get_args(Mask))}.",
            at=table,
        ) from error
    said = message or f"PII of {table}: {', '.join(sorted(tags))}"
    return commit(project, {}, files={pii_file(table): content}, branch=branch, message=said)


def pii_file(table: str) -> str:
    """The path in the file tree at which a commit keeps a table's tags."""
    return f"{FOLDER}{table}.json"


def find_pii(project: Project, table: str, *, at: str = MAIN) -> list[Finding]:
    """Columns that seem to hold what is personal, by their names and their first values; a guess, to be reviewed.

    Raises:
        NoSuchTable, NoSuchCommit: there is none.
    Cost: a read of the first rows.
    """
    rows = lazy(project, table, at=at).head(SAMPLE).collect()
    tags = pii_tags(project, table, at=at)
    found = list[Finding]()
    for column in rows.get_columns():
        kind, share = _guess(column)
        if kind is not None:
            tag = tags.get(column.name) or ColumnTag(kind=kind, mask=_MASKS[kind])
            found.append(Finding(column=column.name, tag=tag, share=share, tagged=column.name in tags))
    return found


def _tags(project: Project, table: str, at: str) -> dict[str, ColumnTag]:
    try:
        entry = find_entry(project, resolve(project, at).files, pii_file(table))
    except NoSuchCommit:
        return {}
    if entry is None:
        return {}
    return msgspec.json.decode(b"".join(pieces_of(project, entry.digest)), type=dict[str, ColumnTag])


def _guess(column: pl.Series) -> tuple[Kind | None, float]:
    texts = column.drop_nulls().cast(pl.String) if column.dtype in (pl.String, pl.Int64, pl.UInt64) else None
    if texts is not None and texts.len():
        plain = texts.str.replace_all(r"[ -]", "")
        tests: tuple[tuple[Kind, pl.Series], ...] = (
            ("email", texts.str.contains(_EMAIL)),
            ("iban", _checked(plain.str.to_uppercase(), _IBAN, is_iban)),
            ("card", _checked(plain, _CARD, is_card)),
            ("phone", texts.str.contains(_PHONE) & texts.str.contains(r"[+ ().-]")),
        )
        for kind, holds in tests:
            share = float(holds.mean() or 0.0)  # type: ignore[arg-type]
            # An instant or a number has dashes and dots too.
            if share >= SURE and not (kind == "phone" and texts.str.contains(r"^\d{4}-\d\d-\d\d|^\d+\.\d+$").any()):
                return kind, share
    name = re.sub(r"[^a-z0-9]+", "_", column.name.lower())
    for kind, pattern in _NAMES:
        if re.fullmatch(rf"(.*_)?({pattern})(_.*)?", name) and column.dtype in (pl.String, pl.Date, pl.Int64):
            return kind, 0.0
    return None, 0.0


def _checked(texts: pl.Series, pattern: str, test: Callable[[str], bool]) -> pl.Series:
    return pl.Series([bool(re.match(pattern, text)) and test(text) for text in texts], dtype=pl.Boolean)


def is_card(digits: str) -> bool:
    """Whether digits are a card's: ISO/IEC 7812-1, the Luhn checksum.

    Example:
        >>> is_card("4111111111111111"), is_card("4111111111111112")
        (True, False)
    """
    doubled = [int(one) * (1 + place % 2) for place, one in enumerate(reversed(digits))]
    return sum(one - 9 if one > 9 else one for one in doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether a text is an account's number: ISO 13616, the remainder by 97.

    Example:
        >>> is_iban("ES9121000418450200051332"), is_iban("ES9121000418450200051333")
        (True, False)
    """
    return int("".join(str(int(one, 36)) for one in text[4:] + text[:4])) % 97 == 1
