"""A profile as one HTML file: nothing is loaded from elsewhere, no script, light and dark, wide and narrow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bucle.line.profiles.comparison import Comparison
from bucle.line.profiles.profile import ColumnProfile, TableProfile

__all__ = ["page"]

NOTHING = "\N{EN DASH}"


def page(shown: TableProfile | Comparison) -> str:
    """A profile, or two side by side, as an HTML document; equal profiles give equal bytes."""
    environment = Environment(
        loader=PackageLoader("bucle.line.profiles", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"figure": _figure, "bars": _bars, "edge": _edge, "percent": _percent, "whole": _whole}
    is_pair = isinstance(shown, Comparison)
    profiles = (shown.before, shown.after) if isinstance(shown, Comparison) else (shown,)
    known = [{one.name: one for one in profile.columns} for profile in profiles]
    names = list(dict.fromkeys(one.name for profile in reversed(profiles) for one in profile.columns))
    changes = {one.name: one for one in shown.changes} if isinstance(shown, Comparison) else {}
    return environment.get_template("page.html").render(
        profiles=profiles, names=names, known=known, changes=changes, is_pair=is_pair
    )


def _figure(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value.replace("T", " ").removesuffix("+00:00")
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}" if abs(value) < 1e15 else f"{value:.6g}"
    return f"{value:,.4g}" if 0.001 <= abs(value) < 1e6 else f"{value:.4g}"


def _whole(value: int) -> str:
    return f"{value:,}"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else NOTHING


def _bars(column: ColumnProfile) -> list[dict[str, Any]]:
    """The histogram's bars: place and height in percent, and what they stand for."""
    most = max(column.counts, default=0)
    width = 100 / max(len(column.counts), 1)
    return [
        {
            "x": round(number * width, 3),
            "width": round(width * 0.92, 3),
            "height": round(100 * count / most, 3) if most else 0,
            "title": f"{_edge(column.edges[number], column)} to {_edge(column.edges[number + 1], column)}: {count:,}",
        }
        for number, count in enumerate(column.counts)
    ]


def _edge(value: float, column: ColumnProfile) -> str:
    if column.kind != "instant":
        return _figure(value)
    return (
        datetime.fromtimestamp(value / 1e6, UTC).strftime("%Y-%m-%d %H:%M") if abs(value) < 2.5e17 else _figure(value)
    )
