"""Language: English is what the templates say; a catalogue gives it in Spanish."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files

__all__ = ["LANGUAGES", "NOTHING", "Language", "choose", "language"]

LANGUAGES: Mapping[str, str] = {"en": "English", "es": "Español"}
"""Code -> what it is called in itself."""

NOTHING = "\u2013"
"""What stands where there is no value: a dash."""

_MONTHS = {
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    "es": ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"],
}


class Language:
    """How one language says and writes things.

    Args:
        code: `en` or `es`.
        catalogue: English text -> text in this language; empty for English.
    """

    def __init__(self, code: str, catalogue: Mapping[str, str]) -> None:
        self.code = code
        self._catalogue = catalogue

    def say(self, text: str, /, **values: object) -> str:
        """A text in this language, with `{name}` filled in; the English one when the catalogue lacks it."""
        said = self._catalogue.get(text, text)
        return said.format(**values) if values else said

    def number(self, value: float | None, digits: int | None = None) -> str:
        """A number with this language's separators; `–` for none.

        Args:
            digits: after the point; without it as few as tell the value to four significant digits.
        """
        if value is None:
            return NOTHING
        if isinstance(value, int) and digits is None:
            text = f"{value:,}"
        elif digits is None:
            text = f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
        else:
            text = f"{value:,.{digits}f}"
        return self.separated(text)

    def value(self, value: float | None) -> str:
        """A measured value in five significant digits, whatever its size; `–` for none."""
        if value is None:
            return NOTHING
        if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
        if value and not 1e-4 <= abs(value) < 1e7:
            return self.separated(f"{value:.4g}")
        whole = math.floor(math.log10(abs(value))) if value else 0
        digits = max(0, 4 - max(0, whole)) if whole >= -1 else 3 - whole
        text = f"{value:,.{digits}f}"
        return self.separated(text.rstrip("0").rstrip(".") if "." in text else text)

    def share(self, value: float | None, digits: int = 0) -> str:
        """A share from 0 to 1 in per cent."""
        if value is None:
            return NOTHING
        gap = "\u202f" if self.code == "es" else ""
        return self.separated(f"{value * 100:,.{digits}f}") + f"{gap}%"

    def size(self, count: int | None) -> str:
        """Bytes in the unit that leaves a short number."""
        if count is None:
            return NOTHING
        if count < 1000:
            return f"{count} B"
        unit = next(unit for unit in (1, 2, 3) if count < 1000 ** (unit + 1) or unit == 3)
        return f"{self.number(count / 1000**unit, 1)} {('kB', 'MB', 'GB')[unit - 1]}"

    def day(self, at: datetime | None) -> str:
        """A date, e.g. `1 Mar 2013`."""
        return NOTHING if at is None else f"{at.day} {_MONTHS[self.code][at.month - 1]} {at.year}"

    def instant(self, at: datetime | None) -> str:
        """A date and the time of day in UTC."""
        return NOTHING if at is None else f"{self.day(at)}, {at.astimezone(UTC):%H:%M}"

    def span(self, seconds: float | None) -> str:
        """A duration in its two greatest units."""
        if seconds is None:
            return NOTHING
        if seconds < 60:
            return f"{self.number(seconds * 1000, 0)} ms" if seconds < 1 else f"{self.number(seconds, 1)} s"
        left, parts = int(seconds), []
        for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
            count, left = divmod(left, size)
            if count:
                parts.append(f"{count} {unit}")
        return " ".join(parts[:2])

    def separated(self, text: str) -> str:
        """A number written with commas and a point, with this language's separators."""
        if self.code != "es":
            return text
        return text.replace(",", "\u202f").replace(".", ",")


@lru_cache(maxsize=len(LANGUAGES))
def language(code: str) -> Language:
    """A language by its code."""
    if code == "en":
        return Language("en", {})
    text = files("bucle.doors.ui").joinpath("locale", f"{code}.json").read_text(encoding="utf-8")
    return Language(code, json.loads(text))


def choose(asked: str, cookie: str, accepted: str) -> Language:
    """The language to answer in.

    Args:
        asked: of `?lang=`; wins when it is one we have.
        cookie: what was asked for before.
        accepted: the header Accept-Language.
    """
    for code in (asked, cookie, *_preferred(accepted)):
        if code in LANGUAGES:
            return language(code)
    return language("en")


def _preferred(accepted: str) -> list[str]:
    """The codes of an Accept-Language header, the most wanted first."""
    wanted = []
    for part in accepted.split(",")[:20]:
        code, _, weight = part.strip().partition(";q=")
        try:
            wanted.append((-float(weight or 1), code.partition("-")[0].lower()))
        except ValueError:
            continue
    return [code for _, code in sorted(wanted)]
