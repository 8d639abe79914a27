"""Expressions: conditions and measures as people write them in SQL, compiled to Polars without ever running code.

Only what stands here is understood: columns, literals, operators, `CASE`, `CAST` and the functions of `FUNCTIONS` and
`AGGREGATES`; there are no queries, no tables and no files in this language. Polars' own `sql_expr` was tried first: it
knows no column's type, so `a + b` and `a IN (1, 2)` fail in it, and some texts make it panic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple, NoReturn

import polars as pl

from bucle.ground.core import suggest
from bucle.line.contracts.errors import BadExpression

__all__ = ["AGGREGATES", "FUNCTIONS", "compile_expression"]

LONGEST = 4000
"""So many characters an expression may have."""

DEEPEST = 40
"""So many brackets and operators may stand within each other."""

Expr = pl.Expr

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<text>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")+")
    |(?P<word>[^\W\d]\w*)|(?P<sign><=|>=|<>|!=|==|\|\||[-+*/%()<>=,]))""",
    re.VERBOSE,
)
_WORDS = frozenset({
    "AND", "OR", "NOT", "IN", "LIKE", "ILIKE", "BETWEEN", "IS", "NULL", "TRUE", "FALSE", "CASE", "WHEN", "THEN", "ELSE",
    "END", "CAST", "AS", "DISTINCT", "DATE", "TIMESTAMP",
})  # fmt: skip
_TYPES: dict[str, pl.DataType] = {
    "BOOLEAN": pl.Boolean(),
    "INT": pl.Int64(),
    "INTEGER": pl.Int64(),
    "BIGINT": pl.Int64(),
    "DOUBLE": pl.Float64(),
    "FLOAT": pl.Float64(),
    "TEXT": pl.String(),
    "VARCHAR": pl.String(),
    "DATE": pl.Date(),
    "TIMESTAMP": pl.Datetime("us"),
}


class _Function(NamedTuple):
    """How many arguments a function takes, and what it makes of them."""

    least: int
    most: int
    make: Callable[..., Expr]


def _round(value: Expr, digits: Expr | None = None) -> Expr:
    return value.round(0 if digits is None else int(_constant(digits)))


def _substr(text: Expr, start: Expr, length: Expr | None = None) -> Expr:
    return text.str.slice(start - 1, length)


FUNCTIONS: dict[str, _Function] = {
    "ABS": _Function(1, 1, lambda a: a.abs()),
    "CEIL": _Function(1, 1, lambda a: a.ceil()),
    "COALESCE": _Function(1, 20, pl.coalesce),
    "CONTAINS": _Function(2, 2, lambda a, b: a.str.contains(b, literal=True)),
    "DAY": _Function(1, 1, lambda a: a.dt.day()),
    "ENDS_WITH": _Function(2, 2, lambda a, b: a.str.ends_with(b)),
    "EXP": _Function(1, 1, lambda a: a.exp()),
    "FLOOR": _Function(1, 1, lambda a: a.floor()),
    "GREATEST": _Function(1, 20, pl.max_horizontal),
    "HOUR": _Function(1, 1, lambda a: a.dt.hour()),
    "LEAST": _Function(1, 20, pl.min_horizontal),
    "LENGTH": _Function(1, 1, lambda a: a.str.len_chars()),
    "LN": _Function(1, 1, lambda a: a.log()),
    "LOG10": _Function(1, 1, lambda a: a.log10()),
    "LOWER": _Function(1, 1, lambda a: a.str.to_lowercase()),
    "MINUTE": _Function(1, 1, lambda a: a.dt.minute()),
    "MONTH": _Function(1, 1, lambda a: a.dt.month()),
    "NULLIF": _Function(2, 2, lambda a, b: pl.when(a.eq_missing(b)).then(None).otherwise(a)),
    "POWER": _Function(2, 2, lambda a, b: a.pow(b)),
    "REGEXP_LIKE": _Function(2, 2, lambda a, b: a.str.contains(b)),
    "ROUND": _Function(1, 2, _round),
    "SIGN": _Function(1, 1, lambda a: a.sign()),
    "SQRT": _Function(1, 1, lambda a: a.sqrt()),
    "STARTS_WITH": _Function(2, 2, lambda a, b: a.str.starts_with(b)),
    "SUBSTR": _Function(2, 3, _substr),
    "TRIM": _Function(1, 1, lambda a: a.str.strip_chars()),
    "UPPER": _Function(1, 1, lambda a: a.str.to_uppercase()),
    "WEEKDAY": _Function(1, 1, lambda a: a.dt.weekday()),
    "YEAR": _Function(1, 1, lambda a: a.dt.year()),
}
"""What may be computed from a row's values; `WEEKDAY` counts from Monday as 1."""

AGGREGATES: dict[str, _Function] = {
    "AVG": _Function(1, 1, lambda a: a.mean()),
    "CORR": _Function(2, 2, pl.corr),
    "COUNT": _Function(1, 1, lambda a: a.count()),
    "MAX": _Function(1, 1, lambda a: a.max()),
    "MEDIAN": _Function(1, 1, lambda a: a.median()),
    "MIN": _Function(1, 1, lambda a: a.min()),
    "QUANTILE": _Function(2, 2, lambda a, b: a.quantile(float(_constant(b)), "linear")),
    "STDDEV": _Function(1, 1, lambda a: a.std()),
    "SUM": _Function(1, 1, lambda a: a.sum()),
    "VARIANCE": _Function(1, 1, lambda a: a.var()),
}
"""What may be computed from a column."""

_EVERY = {**FUNCTIONS, **AGGREGATES}
_COMPARE: dict[str, Callable[[Expr, Expr], Expr]] = {
    "=": lambda a, b: a == b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def compile_expression(text: str, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """What an expression computes.

    Args:
        text: e.g. `dep_delay BETWEEN -60 AND 1440 OR cancelled`; not-a-number counts as missing.
        schema: the columns there are.
    Raises:
        BadExpression: it is not understood, or names a column or a function that there is not.
    Example:
        >>> rows = pl.DataFrame({"a": [1, 2, 3]})
        >>> rows.filter(compile_expression("a IN (1, 2) AND a * 2 > 2", rows.schema))["a"].to_list()
        [2]
    """
    return _Parser(text, schema).whole()


class _Parser:
    """Recursive descent: each method reads what binds tighter than the one above it."""

    def __init__(self, text: str, schema: Mapping[str, pl.DataType]) -> None:
        self.text, self.schema, self.place, self.depth = text, schema, 0, 0
        if len(text) > LONGEST:
            self.fail(f"it is longer than {LONGEST} characters", "Say it in several checks.")
        self.tokens = self._cut()

    def whole(self) -> Expr:
        found = self.either()
        if self.kind != "end":
            self.fail(f"{self.word!r} was not expected after what came before", "Join conditions with AND or OR.")
        return found

    def either(self) -> Expr:
        self._deeper()
        left = self.both()
        while self.take("OR"):
            left = left | self.both()
        self.depth -= 1
        return left

    def both(self) -> Expr:
        left = self.negated()
        while self.take("AND"):
            left = left & self.negated()
        return left

    def negated(self) -> Expr:
        if not self.take("NOT"):
            return self.compared()
        self._deeper()
        found = ~self.negated()
        self.depth -= 1
        return found

    def compared(self) -> Expr:
        left = self.sum()
        if self.kind == "sign" and self.word in _COMPARE:
            return _COMPARE[self.next()](left, self.sum())
        if self.take("IS"):
            is_not = self.take("NOT")
            self.need("NULL")
            return left.is_not_null() if is_not else left.is_null()
        is_not = self.take("NOT")
        found = self._membership(left)
        if found is None:
            return self.fail("NOT stands alone here", "Write NOT before a condition.") if is_not else left
        return ~found if is_not else found

    def sum(self) -> Expr:
        left = self.product()
        while self.kind == "sign" and self.word in ("+", "-", "||"):
            sign, right = self.next(), self.product()
            left = left + right if sign == "+" else left - right if sign == "-" else pl.concat_str(left, right)
        return left

    def product(self) -> Expr:
        left = self.atom()
        while self.kind == "sign" and self.word in ("*", "/", "%"):
            sign, right = self.next(), self.atom()
            left = left * right if sign == "*" else left / right if sign == "/" else left % right
        return left

    def atom(self) -> Expr:
        kind, word = self.kind, self.word
        if kind == "number":
            self.next()
            return pl.lit(float(word) if re.search("[.eE]", word) else int(word))
        if kind == "text":
            return pl.lit(self.literal())
        if kind == "quoted":
            self.next()
            return self.column(word[1:-1].replace('""', '"'))
        if kind == "word":
            return self._worded(self.next())
        if self.take("-"):
            self._deeper()
            found = -self.atom()
            self.depth -= 1
            return found
        self.need("(")
        found = self.either()
        self.need(")")
        return found

    def column(self, name: str) -> Expr:
        if name not in self.schema:
            near = suggest(name, self.schema) or f"There are: {', '.join(list(self.schema)[:20])}."
            self.fail(f"there is no column {name!r}", near)
        dtype = self.schema[name]
        return pl.col(name).fill_nan(None) if dtype.is_float() else pl.col(name)

    def literal(self) -> str:
        if self.kind != "text":
            self.fail(f"a text in single quotes is expected, not {self.word!r}", "Write it like 'this'.")
        return self.next()[1:-1].replace("''", "'")

    def _membership(self, left: Expr) -> Expr | None:
        if self.take("BETWEEN"):
            low = self.sum()
            self.need("AND")
            return (left >= low) & (left <= self.sum())
        if self.take("IN"):
            self.need("(")
            found = left == self.sum()
            while self.take(","):
                found = found | (left == self.sum())
            self.need(")")
            return found
        if self.take("LIKE"):
            return left.str.contains(_like(self.literal()))
        return left.str.contains("(?i)" + _like(self.literal())) if self.take("ILIKE") else None

    def _worded(self, word: str) -> Expr:
        upper = word.upper()
        if upper in ("TRUE", "FALSE", "NULL"):
            return pl.lit({"TRUE": True, "FALSE": False, "NULL": None}[upper])
        if upper == "CASE":
            return self._case()
        if upper == "CAST":
            return self._cast()
        if upper in ("DATE", "TIMESTAMP") and self.kind == "text":
            return self._instant(upper)
        if self.kind == "sign" and self.word == "(":
            return self._call(upper)
        if upper in _WORDS and word not in self.schema:
            self.fail(f"{word!r} was not expected here", "Put a column of that name in double quotes.")
        return self.column(word)

    def _call(self, name: str) -> Expr:
        if name not in _EVERY:
            known = suggest(name, _EVERY) or f"There are: {', '.join(sorted(_EVERY))}."
            self.fail(f"there is no function {name}", known)
        self.need("(")
        if name == "COUNT" and (self.take("*") or self.take("DISTINCT")):
            counted = pl.len() if self.word == ")" else self.sum().drop_nulls().n_unique()
            self.need(")")
            return counted
        given = list[Expr]()
        while self.word != ")":
            given.append(self.either())
            if not self.take(","):
                break
        self.need(")")
        function = _EVERY[name]
        if not function.least <= len(given) <= function.most:
            self.fail(f"{name} takes {function.least} to {function.most} values, not {len(given)}", "Mend that call.")
        try:
            return function.make(*given)
        except (TypeError, ValueError) as error:
            return self.fail(f"{name} needs a plain number there", f"{error}")

    def _case(self) -> Expr:
        branches = list[tuple[Expr, Expr]]()
        while self.take("WHEN"):
            condition = self.either()
            self.need("THEN")
            branches.append((condition, self.either()))
        if not branches:
            self.fail("CASE needs a WHEN", "Write CASE WHEN a THEN b ELSE c END.")
        otherwise = self.either() if self.take("ELSE") else pl.lit(None)
        self.need("END")
        for condition, then in reversed(branches):
            otherwise = pl.when(condition).then(then).otherwise(otherwise)
        return otherwise

    def _cast(self) -> Expr:
        self.need("(")
        value = self.either()
        self.need("AS")
        kind = self.next().upper()
        if kind not in _TYPES:
            self.fail(f"there is no type {kind}", suggest(kind, _TYPES) or f"There are: {', '.join(_TYPES)}.")
        self.need(")")
        return value.cast(_TYPES[kind], strict=False)

    def _instant(self, kind: str) -> Expr:
        text = self.literal()
        try:
            if kind == "DATE":
                return pl.lit(date.fromisoformat(text))
            instant = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is no {kind.lower()}", "Write it like '2013-01-31' or '2013-01-31T12:00:00Z'.")
        return pl.lit(instant.astimezone(UTC) if instant.tzinfo else instant)

    @property
    def kind(self) -> str:
        return self.tokens[self.place][0]

    @property
    def word(self) -> str:
        return self.tokens[self.place][1]

    def next(self) -> str:
        found = self.word
        if self.kind == "end":
            self.fail("it ends too early", "Finish it.")
        self.place += 1
        return found

    def take(self, wanted: str) -> bool:
        if self.kind in ("word", "sign") and self.word.upper() == wanted:
            self.place += 1
            return True
        return False

    def need(self, wanted: str) -> None:
        if not self.take(wanted):
            self.fail(f"{wanted} is expected, not {self.word or 'the end'!r}", "Mend it there.")

    def fail(self, what: str, fix: str) -> NoReturn:
        raise BadExpression(
            f"The expression {self.text[:200]!r} is not understood: {what}.",
            why="A condition that is not understood cannot be kept.",
            fix=fix,
            at=self.text[:200],
        )

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"more than {DEEPEST} brackets stand within each other", "Say it in several checks.")

    def _cut(self) -> list[tuple[str, str]]:
        found, end = list[tuple[str, str]](), 0
        text = self.text.rstrip()
        while end < len(text):
            match = _TOKEN.match(text, end)
            if match is None:
                self.fail(f"{text[end:].strip()[:1]!r} has no meaning here", "Remove it.")
            kind = match.lastgroup or ""
            found.append((kind, match[kind]))
            end = match.end()
        return [*found, ("end", "")]


def _like(pattern: str) -> str:
    parts = re.split(r"([%_])", pattern)
    return "(?s)^" + "".join({"%": ".*", "_": "."}.get(part, re.escape(part)) for part in parts) + "$"


def _constant(value: Expr) -> float:
    """The number that an argument is; it may not depend on the rows.

    Raises:
        ValueError: it names a column, or is no number.
    """
    if value.meta.root_names():
        raise ValueError("Write a number, not a column.")
    found = pl.select(value).item()
    if not isinstance(found, int | float):
        raise ValueError("Write a number.")
    return found
