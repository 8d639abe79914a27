"""Rendering: a record, a template and a language give a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bucle.doors.ui import cells, columns, draw, fare, graph, parallel, ring
from bucle.doors.ui.language import LANGUAGES, NOTHING, Language
from bucle.doors.ui.links import file_address, link_of
from bucle.doors.ui.states import state_of
from bucle.ground.core import digest_of, from_micros, short, split_ref, to_builtins

__all__ = ["MENU", "page", "static_file"]

MENU = (
    ("Data", "/data"),
    ("Features", "/features"),
    ("Pipelines", "/pipelines"),
    ("Runs", "/runs"),
    ("Models", "/models"),
    ("Gates", "/gates"),
    ("Deployments", "/deployments"),
    ("Monitor", "/monitor"),
    ("Loop", "/loop"),
    ("Audit", "/audit"),
)
"""The menu is the line, left to right."""


def page(template: str, say: Language, theme: str, **values: Any) -> str:
    """The HTML of a page.

    Args:
        template: its file.
        say: the language.
        theme: `light`, `dark`, or empty to follow the system.
        values: what the template shows.
    """
    context = {
        "_": say.say,
        "lang": say,
        "theme": theme,
        "languages": LANGUAGES,
        "menu": MENU,
        "num": say.number,
        "pct": say.share,
        "day": say.day,
        "instant": say.instant,
        "span": say.span,
        "time": partial(_time, say),
        "ref": _ref,
    }
    return _environment().get_template(template).render({**context, **values})


@lru_cache(maxsize=64)
def static_file(name: str) -> tuple[bytes, str]:
    """A static file and the digest of its bytes, by which its address changes when it does."""
    data = files("bucle.doors.ui").joinpath("static", name).read_bytes()
    return data, short(digest_of(data))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bucle.doors.ui"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(short=_short, plain=to_builtins, kind=_kind, raw=_raw, transposed=_transposed)
    environment.tests["startswith"] = str.startswith
    environment.globals.update(
        asset=lambda name: f"/static/{name}?v={static_file(name)[1]}",
        state=state_of,
        link=link_of,
        address=file_address,
        cells=cells,
        columns=columns,
        draw=draw,
        fare=fare,
        graph=graph,
        moment=_moment,
        parallel=parallel,
        ring=ring,
        split_ref=split_ref,
    )
    return environment


def _short(text: str, length: int = 12) -> str:
    """A digest or id, cut to what people compare."""
    return text if len(text) < length + 4 else text[:length]


def _raw(value: object) -> str:
    """A value of the data as it is: a year or a code must not look like an amount."""
    if value is None or value == "":
        return NOTHING
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _kind(value: object) -> str:
    """Which macro shows a value."""
    kinds: tuple[tuple[Callable[[object], bool], str], ...] = (
        (lambda one: one is None or one == "", "nothing"),
        (lambda one: isinstance(one, bool), "bool"),
        (lambda one: isinstance(one, (int, float)), "number"),
        (lambda one: isinstance(one, datetime), "instant"),
        (lambda one: isinstance(one, str), "text"),
        (lambda one: isinstance(one, Mapping), "map"),
        (lambda one: isinstance(one, (list, tuple, set, frozenset)), "list"),
    )
    return next((name for holds, name in kinds if holds(value)), "record")


def _transposed(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Columns of rows as rows."""
    return list(zip(*rows, strict=True))


def _moment(milliseconds: int) -> datetime:
    """An instant as clients of tracking write it; those beyond the calendar stand at its end."""
    return from_micros(min(max(milliseconds, 0), 253_402_300_799_000) * 1000)


def _time(say: Language, at: datetime | None, *, day: bool = False) -> Markup:
    """An instant as a machine reads it around what people read; a script puts it into the viewer's zone."""
    if at is None:
        return escape(NOTHING)
    if day:
        stamp = (f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M:%S}", say.day(at))
        return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(*stamp)
    # Numbers and names of months only: nothing there can need escaping.
    return Markup(cells.written_time(say, at))  # noqa: S704


def _ref(ref: str, *, bare: bool = False) -> Markup:
    """A ref as a link to the page of what it names; bare where the column says of which kind it is."""
    where = link_of(ref)
    kind, _, rest = ref.partition("/")
    name, at, version = rest.rpartition("@")
    text = f"{_short(name)}@{_short(version)}" if at else _short(rest)
    shown = escape(text if rest else ref)
    if rest and not bare:
        shown = Markup('<span class="kind">{}</span>{}').format(kind, text)
    return Markup('<a class="ref" href="{}" title="{}">{}</a>').format(where, ref, shown)
