"""Enrich: what an endpoint's process does to a request before the model sees it; no database is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl

from bucle.ground.core import load_config
from bucle.ground.project import load_modules
from bucle.line.features.online import OnlineStore
from bucle.line.features.store import online, online_at, pinned_views, views_of
from bucle.line.features.view import View

__all__ = ["Pinned", "enricher"]


class Pinned(Protocol):
    """Anything that says which views it was trained with: a model's package."""

    @property
    def features(self) -> tuple[str, ...]:
        """The views, `name@digest` each."""
        ...

    @property
    def instant(self) -> str:
        """The request's column that says as of when; empty means the column `instant`."""
        ...


def enricher(root: Path) -> Callable[[pl.DataFrame, Pinned], pl.DataFrame]:
    """What adds a package's features to a request, from the online store of the project in a folder.

    Returns:
        A function of the request (with the instant as `Datetime("us", "UTC")`) and the package.
    Raises:
        ModuleFailed: a module of the project cannot be imported.
    """
    defined = views_of(load_modules(root, load_config(root / "bucle.toml")))
    return _Enricher(defined, online_at(root))


class _Enricher:
    def __init__(self, defined: Mapping[str, View], store: OnlineStore) -> None:
        self._defined = defined
        self._store = store
        self._pinned: dict[Sequence[str], list[View]] = {}

    def __call__(self, request: pl.DataFrame, package: Pinned) -> pl.DataFrame:
        pins = tuple(package.features)
        if pins not in self._pinned:
            self._pinned[pins] = pinned_views(self._defined, pins)
        return online(self._pinned[pins], self._store, request, instant=package.instant or "instant")
