"""Cells of the longest table, written before the template: a call a cell is what costs in a template.

With 100 runs and ten columns a template takes four times as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape

from bucle.doors.ui.columns import FIELDS, Column, better_of, written_names
from bucle.doors.ui.language import NOTHING, Language
from bucle.doors.ui.states import state_of

__all__ = [
    "FIELDS",
    "FIELD_WORDS",
    "SHOWN",
    "listed",
    "number_style",
    "of_runs",
    "split",
    "styles_of",
    "turned",
    "with_one",
    "without",
    "written_time",
]

LONGEST = 60

SHOWN: Mapping[str, str] = {"last": "last value", "best": "best value", "both": "last and best"}
"""What a metric's column shows, and how that is called."""

FIELD_WORDS: Mapping[str, str] = {"actor": "By", "code": "Code", "seed": "Seed", "inputs": "Inputs"}


Write = Callable[[float], str]
Cell = Callable[[Any], str]
"""A run -> one cell of its row, as HTML."""


def of_runs(page: Any, say: Language) -> Iterator[Markup]:
    """Each run of a page as a row of its table.

    Args:
        page: the record of the page of runs.
        say: the language.
    """
    cells = [_pick(say.say("Compare")), _name, _of_state(page.runs, say), _started(say), _of_span(say)]
    cells += [] if page.experiment else [_experiment(page.runs)]
    cells += [_spark] if page.spark else []
    metrics, texts, fields = split(page.columns)
    cells += [cell for place, one in enumerate(metrics) for cell in _of_metric(page, one, say, edge=place == 0)]
    cells += [_of_text(one, edge=place == 0) for place, one in enumerate(texts)]
    cells += [_of_field(one.key, edge=place == 0) for place, one in enumerate(fields)]
    for run in page.runs:
        # Each cell escapes what it is given.
        yield Markup(f"<tr>{''.join([cell(run) for cell in cells])}</tr>")  # noqa: S704


def _pick(compare: str) -> Cell:
    front, label = '<td class="tick"><input type="checkbox" name="runs" value="', _safe(compare)
    return lambda run: f'{front}{_safe(run.id)}" aria-label="{label} {_safe(run.name or run.id)}"></td>'


def _name(run: Any) -> str:
    link = run.id if run.id.isalnum() else quote(run.id, safe="")
    title = f"{escape(run.name)} · {link}"
    return f'<td class="name"><a href="/runs/{link}" title="{title}">{_safe(run.name or run.id[:12])}</a></td>'


def _of_state(runs: Sequence[Any], say: Language) -> Cell:
    known = {
        status: f'<td class="st {state_of(status).tone}">{escape(say.say(state_of(status).word))}</td>'
        for status in {run.status for run in runs}
    }
    return lambda run: known[run.status]


def _started(say: Language) -> Cell:
    return lambda run: f'<td class="k">{written_time(say, run.started_at)}</td>'


def _of_span(say: Language) -> Cell:
    return lambda run: f'<td class="n">{_took(run, say)}</td>'


def _experiment(runs: Sequence[Any]) -> Cell:
    known = {
        name: f'<td class="k"><a href="/runs?{urlencode({"experiment": name})}">{escape(_cut(name))}</a></td>'
        for name in {run.experiment for run in runs}
    }
    return lambda run: known[run.experiment]


def _spark(run: Any) -> str:
    size = 'class="spark" width="96" height="20" viewBox="0 0 96 20"'
    return f'<td class="s"><svg {size} aria-hidden="true"><path data-run="{_safe(run.id)}"/></svg></td>'


def written_time(say: Language, at: datetime) -> str:
    """An instant as a machine reads it around what people read, as HTML; a script puts it into the viewer's zone."""
    stamp = at.strftime("%Y-%m-%d %H:%M:%S")
    return f'<time datetime="{stamp[:10]}T{stamp[11:]}Z" title="{stamp} UTC" data-local>{say.instant(at)}</time>'


def split(columns: Sequence[Column]) -> tuple[list[Column], list[Column], list[Column]]:
    """Columns of metrics, of parameters and tags, and of what every run has."""
    return (
        [one for one in columns if one.scope == "metrics"],
        [one for one in columns if one.scope in ("params", "tags")],
        [one for one in columns if not one.scope],
    )


def listed(columns: Sequence[Column]) -> str:
    """Columns as an address lists them; `-` for none at all."""
    return written_names(one.name for one in columns) or "-"


def without(columns: Sequence[Column], gone: Column) -> str:
    """The columns but one."""
    return listed([one for one in columns if one != gone])


def with_one(columns: Sequence[Column], name: str) -> str:
    """The columns and one more."""
    return written_names([*(one.name for one in columns), name])


def turned(better: str, column: Column) -> str:
    """What is best, with one metric turned round."""
    chosen = {**better_of(better), column.key: not column.smaller}
    return written_names(f"{key}:{'lower' if smaller else 'higher'}" for key, smaller in chosen.items())


def number_style(values: Sequence[float], say: Language) -> Write:
    """How the numbers of one column are written, all alike, so that their points stand under each other."""
    known = [abs(value) for value in values if math.isfinite(value)]
    most = max(known, default=0)
    if most >= 1e7 or 0 < most < 1e-4:
        return lambda value: say.separated(f"{value:.3e}")
    if all(value.is_integer() for value in known):
        return lambda value: say.separated(f"{value:,.0f}")
    whole = math.floor(math.log10(most))
    digits = max(0, 4 - max(0, whole)) if whole >= -1 else min(8, 3 - whole)
    return lambda value: say.separated(f"{value:,.{digits}f}")


def styles_of(rows: Sequence[Any], say: Language) -> dict[str, Write]:
    """How the numbers of each metric of a comparison are written."""
    return {
        row.name: number_style([value for value in row.values if value is not None], say)
        for row in rows
        if row.kind == "metric"
    }


def _style(page: Any, key: str, say: Language) -> Write:
    extents = (one[key] for one in page.extents.values() if key in one)
    return number_style([value for one in extents for value in one if value is not None], say)


def _of_metric(page: Any, column: Column, say: Language, *, edge: bool) -> Iterator[Cell]:
    """The cells of a metric: its last value, its best, or both."""
    key, best, write = column.key, page.best.get(column.key), _style(page, column.key, say)
    which = "least" if column.smaller else "greatest"
    shown = ([] if page.value == "best" else ["last"]) + ([] if page.value == "last" else [which])
    for place, name in enumerate(shown):
        starred = best if page.value != "both" or name != "last" else None
        yield _of_extent(page.extents, key, (name, starred, write), _edge("n", edge=edge and place == 0))


def _of_extent(
    extents: Mapping[str, Mapping[str, Any]], key: str, shown: tuple[str, str | None, Write], css: str
) -> Cell:
    name, best, write = shown
    plain, starred, nothing = f'<td class="{css}">', f'<td class="{css} best">', f'<td class="{css}">{NOTHING}</td>'

    def cell(run: Any) -> str:
        extent = extents[run.id].get(key)
        value = getattr(extent, name) if extent is not None else None
        if value is None or not math.isfinite(value):
            return nothing
        return f"{starred if run.id == best else plain}{write(value)}</td>"

    return cell


def _of_text(column: Column, *, edge: bool) -> Cell:
    key, start, of_params = column.key, f'<td class="{_edge("v", edge=edge)}">', column.scope == "params"

    def cell(run: Any) -> str:
        value = (run.params if of_params else run.tags).get(key, NOTHING)
        return f"{start}{_safe(value)}</td>"

    return cell


def _of_field(key: str, *, edge: bool) -> Cell:
    start = f'<td class="{_edge("v", edge=edge)}">'
    return lambda run: f"{start}{_safe(_field(run, key))}</td>"


def _safe(text: str) -> str:
    """A text as HTML, no longer than a cell takes; most are words and numbers, which need nothing."""
    return text if len(text) <= LONGEST and text.isalnum() else str(escape(_cut(text)))


def _field(run: Any, key: str) -> str:
    if key == "code":
        return f"{run.code_commit[:7]}{'*' if run.code_diff else ''}" if run.code_commit else NOTHING
    if key == "inputs":
        return ", ".join(run.inputs) or NOTHING
    value = getattr(run, key)
    return NOTHING if value is None or value == "" else str(value)


def _took(run: Any, say: Language) -> str:
    if run.ended_at is None or run.ended_at <= run.started_at:
        return NOTHING
    return say.span((run.ended_at - run.started_at).total_seconds())


def _edge(css: str, *, edge: bool) -> str:
    return f"{css} edge" if edge else css


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
