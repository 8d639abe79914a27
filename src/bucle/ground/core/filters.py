"""Filters and orders as people write them, `metrics.auc > 0.9 AND tags.team = 'fraud'`, read into plain values.

The language is that of MLflow's searches: comparisons joined by AND; a key behind a scope (`metrics.auc`), quoted with
backticks or double quotes where it has other characters than a word; texts in single or double quotes. What a room lets
people search by is its `Grammar`; the room turns the clauses into SQL itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from bucle.ground.core.codec import Record
from bucle.ground.core.errors import UserError, suggest

__all__ = [
    "LONGEST_FILTER",
    "NUMBER_OPERATORS",
    "TEXT_OPERATORS",
    "BadFilter",
    "Clause",
    "Field",
    "Grammar",
    "Order",
    "Value",
    "parse_filter",
    "parse_order",
]

LONGEST_FILTER = 20_000
"""Characters; a longer filter is refused before it is read."""

NUMBER_OPERATORS = ("=", "!=", ">", ">=", "<", "<=")
TEXT_OPERATORS = ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")

Value = str | int | float | tuple[str, ...] | None


class BadFilter(UserError):
    """A filter or an order cannot be read."""

    code = "BU0112"


class Field(Record, frozen=True):
    """What can stand on the left of a comparison.

    Attributes:
        name: how the room calls it, whatever alias was written: a scope (`metrics`) or an attribute (`start_time`).
        kind: `number`, `text`, `either` of the two, or `instant`: milliseconds since 1970, which may also be written as
            ISO 8601 text.
        operators: which comparisons it allows.
    """

    name: str
    kind: Literal["number", "text", "either", "instant"]
    operators: tuple[str, ...]


class Grammar(Record, frozen=True):
    """What a room lets people search by.

    Attributes:
        scopes: alias -> a family of keys, e.g. `metric`, `metrics` -> the scope `metrics`.
        attributes: alias -> a fixed field, e.g. `created`, `start_time` -> `start_time`.
        attribute_scopes: what may stand before an attribute, e.g. `attributes`, `attr`; bare is always possible.
    """

    scopes: Mapping[str, Field]
    attributes: Mapping[str, Field]
    attribute_scopes: tuple[str, ...] = ("attributes", "attribute", "attr")


class Clause(Record, frozen=True):
    """One comparison.

    Attributes:
        scope: name of the scope; empty for an attribute.
        key: the key within the scope, or the attribute's name.
        op: `=`, `!=`, `>`, `>=`, `<`, `<=`, `LIKE`, `ILIKE`, `RLIKE`, `IN`, `NOT IN`, `IS NULL`, `IS NOT NULL`.
        value: a number for numbers and instants, a text, several texts for IN, None for IS [NOT] NULL.
        at: the character of the filter it begins at, from 0.
    """

    scope: str
    key: str
    op: str
    value: Value
    at: int


class Order(Record, frozen=True):
    """One key to order by; scope and key as in `Clause`."""

    scope: str
    key: str
    ascending: bool


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


_TOKENS = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
    | (?P<name>(?:[^\W\d][\w/:@-]*|`[^`]*`)(?:\.(?:`[^`]*`|"[^"]*"|'[^']*'|[\w/:@-]+))*)
    | (?P<op>>=|<=|!=|<>|==|=|>|<)
    | (?P<mark>[(),])
    )""",
    re.VERBOSE,
)
_PART = re.compile(r"""`([^`]*)`|"([^"]*)"|'([^']*)'|([\w/:@-]+)""")
_SAME = {"==": "=", "<>": "!="}
_WORDS = {"AND", "IN", "NOT", "LIKE", "ILIKE", "RLIKE", "IS", "NULL", "ASC", "DESC", "OR"}


def parse_filter(text: str, grammar: Grammar) -> tuple[Clause, ...]:
    """The comparisons of a filter, in order; an empty text has none.

    Raises:
        BadFilter: it cannot be read; the message says at which character and what was expected there.
    Source: the search syntax of MLflow's documentation, "Search Runs".
    Example:
        >>> metrics = Field(name="metrics", kind="number", operators=NUMBER_OPERATORS)
        >>> parse_filter("metrics.auc > 0.9", Grammar(scopes={"metrics": metrics}, attributes={}))
        (Clause(scope='metrics', key='auc', op='>', value=0.9, at=0),)
    """
    if "\0" in text:
        raise BadFilter(
            f"At character {text.index(chr(0))} the filter holds NUL.",
            why="No key and no text that is kept has it.",
            fix="Leave it out.",
            at="filter",
        )
    reader = _Reader(text, grammar)
    if reader.ended():
        return ()
    clauses = [reader.clause()]
    while not reader.ended():
        reader.word("AND")
        clauses.append(reader.clause())
    return tuple(clauses)


def parse_order(texts: Iterable[str], grammar: Grammar) -> tuple[Order, ...]:
    """The keys to order by, each as `metrics.auc DESC`; ascending when nothing is said.

    Raises:
        BadFilter: one cannot be read, or is given twice.
    """
    orders = [_Reader(text, grammar).order() for text in texts]
    for place, order in enumerate(orders):
        if any((order.scope, order.key) == (other.scope, other.key) for other in orders[:place]):
            raise BadFilter(f"{order.key!r} is ordered by twice.", fix="Give each key once.", at="order_by")
    return tuple(orders)


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str, grammar: Grammar) -> None:
        self._text = text
        self._grammar = grammar
        self._tokens = _tokens(text)
        self._place = 0

    def ended(self) -> bool:
        return self._tokens[self._place].kind == "end"

    def clause(self) -> Clause:
        token = self._peek()
        scope, key, field = self._left()
        op = self._operator(field)
        return Clause(scope=scope, key=key, op=op, value=self._value(field, op), at=token.at)

    def order(self) -> Order:
        scope, key, _ = self._left()
        direction = "ASC" if self.ended() else self.word("ASC", "DESC")
        if not self.ended():
            raise self._wrong("the end")
        return Order(scope=scope, key=key, ascending=direction == "ASC")

    def word(self, *words: str) -> str:
        """Take one of these words."""
        token = self._next()
        if token.kind != "name" or token.text.upper() not in words:
            if token.text.upper() == "OR":
                raise BadFilter(
                    f"OR at character {token.at} is not possible.", fix="Join comparisons with AND.", at="filter"
                )
            raise self._wrong(" or ".join(words), token)
        return token.text.upper()

    def _peek(self) -> _Token:
        return self._tokens[self._place]

    def _next(self) -> _Token:
        token = self._tokens[self._place]
        self._place = min(self._place + 1, len(self._tokens) - 1)
        return token

    def _left(self) -> tuple[str, str, Field]:
        token = self._next()
        if token.kind != "name" or token.text.upper() in _WORDS:
            raise self._wrong(f"a key, e.g. {self._example()}", token)
        parts = [next(part for part in found if part is not None) for found in _groups(token.text)]
        head, rest = parts[0], ".".join(parts[1:])
        if rest and head in self._grammar.scopes:
            scope = self._grammar.scopes[head]
            return scope.name, rest, scope
        name = rest if rest and head in self._grammar.attribute_scopes else ".".join(parts)
        if name in self._grammar.attributes:
            field = self._grammar.attributes[name]
            return "", field.name, field
        raise self._unknown(name, token, scoped=bool(rest) and name == ".".join(parts))

    def _operator(self, field: Field) -> str:
        token = self._next()
        op = _SAME.get(token.text, token.text.upper())
        if op == "NOT":
            op = f"NOT {self.word('IN')}"
        elif op == "IS":
            op = "IS NULL" if self.word("NULL", "NOT") == "NULL" else f"IS NOT {self.word('NULL')}"
        if token.kind not in ("op", "name") or op not in field.operators:
            raise self._wrong(f"one of {', '.join(field.operators)}", token)
        return op

    def _value(self, field: Field, op: str) -> Value:
        if op.endswith("NULL"):
            return None
        if op in ("IN", "NOT IN"):
            return self._list()
        token = self._next()
        if token.kind == "text":
            text = _unquoted(token.text)
            return text if field.kind in ("text", "either") else self._number(field, text, token)
        if field.kind == "text":
            raise self._wrong("a text in quotes", token)
        return self._number(field, token.text, token)

    def _number(self, field: Field, text: str, token: _Token) -> int | float:
        if field.kind == "instant" and token.kind == "text":
            try:
                return round(_as_utc(datetime.fromisoformat(text)).timestamp() * 1000)
            except (ValueError, OverflowError) as error:
                raise self._wrong("milliseconds since 1970, or an instant as ISO 8601", token) from error
        if token.kind != "number":
            raise self._wrong("a number", token)
        return int(text) if re.fullmatch(r"[-+]?\d{1,19}", text) else float(text)

    def _list(self) -> tuple[str, ...]:
        self._mark("(")
        texts = [self._text_here()]
        while self._peek().text == ",":
            self._next()
            texts.append(self._text_here())
        self._mark(")")
        return tuple(texts)

    def _text_here(self) -> str:
        token = self._next()
        if token.kind != "text":
            raise self._wrong("a text in quotes", token)
        return _unquoted(token.text)

    def _mark(self, mark: str) -> None:
        token = self._next()
        if token.kind != "mark" or token.text != mark:
            raise self._wrong(repr(mark), token)

    def _example(self) -> str:
        return next((f"{name}.KEY" for name in self._grammar.scopes), "") or next(
            iter(self._grammar.attributes), "name"
        )

    def _unknown(self, name: str, token: _Token, *, scoped: bool) -> BadFilter:
        known = [*self._grammar.attributes, *(f"{scope}." for scope in self._grammar.scopes)]
        return BadFilter(
            f"Nothing is called {name!r} here, at character {token.at}."
            if not scoped
            else f"There is no {token.text.partition('.')[0]!r} to look into, at character {token.at}.",
            why=f"One can search by: {', '.join(dict.fromkeys(known))}.",
            fix=suggest(name, known) or "Quote a key with backticks when it has other characters than a word.",
            at="filter",
        )

    def _wrong(self, expected: str, token: _Token | None = None) -> BadFilter:
        found = token or self._peek()
        shown = "the filter ends" if found.kind == "end" else f"there is {found.text[:40]!r}"
        return BadFilter(
            f"At character {found.at}, {shown} where {expected} was expected.",
            why=f"The filter reads: {self._text[:200]}",
            fix="E.g. metrics.auc > 0.9 AND tags.team = 'fraud'",
            at="filter",
        )


def _tokens(text: str) -> Sequence[_Token]:
    if len(text) > LONGEST_FILTER:
        raise BadFilter(
            f"The filter has {len(text)} characters.",
            why=f"At most {LONGEST_FILTER} are read.",
            at="filter",
            fix="Search for less at once.",
        )
    found, place, end = list[_Token](), 0, len(text.rstrip())
    while place < end:
        match = _TOKENS.match(text, place)
        if match is None or match.lastgroup is None:
            place += len(text[place:]) - len(text[place:].lstrip())
            raise BadFilter(
                f"At character {place}, {text[place : place + 20]!r} cannot be read.",
                why="A quote may be open, or a key may need backticks.",
                fix="E.g. metrics.auc > 0.9 AND tags.`my key` = 'fraud'",
                at="filter",
            )
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        place = match.end()
    return [*found, _Token("end", "", end)]


def _groups(name: str) -> Iterable[tuple[str | None, ...]]:
    return (found.groups() for found in _PART.finditer(name))


def _unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote)


def _as_utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
