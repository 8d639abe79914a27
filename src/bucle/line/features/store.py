"""Computing views, joining them point in time, and serving them: one definition, three ways, equal values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from types import ModuleType

import msgspec
import polars as pl

from bucle.ground.core import suggest
from bucle.ground.project import STATE, Project
from bucle.line import data
from bucle.line.features.errors import BadView, NoSuchView, PeekingView, ViewChanged
from bucle.line.features.online import LocalOnline, OnlineStore, Row, key_text
from bucle.line.features.view import EVENT_AT, FeatureView, RequestView, Source, View

__all__ = [
    "check_no_peeking",
    "checked",
    "compute",
    "encoded",
    "local_online",
    "materialise",
    "online",
    "pinned_views",
    "push",
    "training_set",
    "views_of",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROW = "__row"


def views_of(modules: Iterable[ModuleType]) -> dict[str, View]:
    """The views that modules define, by name.

    Args:
        modules: e.g. `project.modules()`.
    Raises:
        BadView: two different views have one name.
    """
    found: dict[str, View] = {}
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, FeatureView | RequestView) and found.setdefault(value.name, value) is not value:
                raise BadView(f"Two views are called {value.name!r}.", fix="Rename one.")
    return found


def pinned_views(views: Mapping[str, View], pins: Sequence[str]) -> list[View]:
    """The views that a model was trained with, in its order.

    Args:
        views: what there is, see `views_of`.
        pins: `name@digest` each.
    Raises:
        NoSuchView: the project has no view of that name.
        ViewChanged: it has one, but with another definition.
    """
    return [_pinned(views, pin) for pin in pins]


def compute(
    project: Project, view: FeatureView, *, since: datetime = EPOCH, until: datetime, at: str = "main"
) -> pl.DataFrame:
    """A view's rows with `since <= event_at < until`, from what was known before `until`.

    Args:
        at: the branch or commit whose tables are read.
    Returns:
        Columns: the keys, `event_at`, the features; sorted by `event_at`.
    """
    oldest = EPOCH if view.lookback is None or since == EPOCH else since - view.lookback
    frames = {source.table: _known(project, source, at, since=oldest, until=until) for source in view.sources}
    return view(**frames).filter((pl.col(EVENT_AT) >= since) & (pl.col(EVENT_AT) < until))


def training_set(
    project: Project, spine: pl.DataFrame, views: Sequence[View], *, instant: str, at: str = "main"
) -> pl.DataFrame:
    """The spine with every feature as it was known at each row's instant.

    Args:
        spine: one row an example: entity columns, the instant, labels, whatever else.
        views: in the order their features are wanted.
        instant: the spine's column (Datetime[us, UTC]) that says when the prediction is made.
        at: the branch or commit whose tables are read.
    Returns:
        The spine, in its order, with the features as further columns; null where an entity has no row in time.
    Source: point-in-time ("as of") join, as Feast and Hopsworks define it.
    """
    _check_names(views, spine.columns)
    until = spine[instant].max()
    end = (until if isinstance(until, datetime) else EPOCH) + timedelta(microseconds=1)
    batch = [view for view in views if isinstance(view, FeatureView)]
    rows = {view.name: compute(project, view, until=end, at=at) for view in batch}
    ordered = spine.with_row_index(_ROW).sort(instant, maintain_order=True)
    joined = reduce(lambda frame, view: _join(frame, rows[view.name], view, instant), batch, ordered)
    return _with_request_views(joined.sort(_ROW).drop(_ROW), views)


def push(store: OnlineStore, view: FeatureView, rows: pl.DataFrame) -> int:
    """Put computed rows into an online store and return how many; putting them twice changes nothing."""
    return store.put(view.pin, encoded(view, rows))


def encoded(view: FeatureView, rows: pl.DataFrame) -> list[Row]:
    """A view's rows as the online store keeps them, in order; for those who put them in piece by piece."""
    encode = msgspec.msgpack.encode
    keys = map(key_text, rows.select(view.keys).iter_rows())
    instants = rows[EVENT_AT].dt.epoch("us")
    values = map(encode, rows.select(list(view.schema)).iter_rows())
    return list(zip(keys, instants, values, strict=True))


def materialise(
    project: Project, views: Sequence[View], *, since: datetime, until: datetime, store: OnlineStore, at: str = "main"
) -> dict[str, pl.DataFrame]:
    """Compute the rows of a window, put them into the online store, and say so on the ledger.

    Returns:
        The rows of each feature view, by name.
    """
    rows = {
        view.name: compute(project, view, since=since, until=until, at=at)
        for view in views
        if isinstance(view, FeatureView)
    }
    pins = {view.name: view for view in views if isinstance(view, FeatureView)}
    counts = {name: push(store, pins[name], frame) for name, frame in rows.items()}
    project.ledger.record(
        "features.materialised",
        subject=f"commit/{data.resolve(project, at).id}",
        actor=project.actor,
        data={"since": since.isoformat(), "until": until.isoformat(), "rows": counts},
    )
    return rows


def local_online(project: Project) -> LocalOnline:
    """The project's embedded online store."""
    return online_at(project.root)


def online(views: Sequence[View], store: OnlineStore, request: pl.DataFrame, *, instant: str) -> pl.DataFrame:
    """The features of each row of a request, from the online store.

    Args:
        views: in the order of the model's package.
        store: filled by `push`.
        request: entity columns and the instant (Datetime[us, UTC]).
        instant: the column that says as of when.
    Returns:
        The request with the features as further columns, equal to what `training_set` gives for the same rows.
    """
    instants = request[instant].dt.epoch("us").to_list()
    columns: list[pl.Series] = []
    for view in views:
        if isinstance(view, FeatureView):
            columns.extend(_lookup(view, store, request, instants))
    return _with_request_views(request.hstack(columns), views)


def online_at(root: Path) -> LocalOnline:
    """The embedded online store of the project in a folder, without opening the project."""
    return LocalOnline(root / STATE / "online.db")


def check_no_peeking(
    project: Project, view: FeatureView, *, until: datetime, cuts: Sequence[datetime], at: str = "main"
) -> None:
    """Prove that rows do not change when the future is hidden.

    For every cut the view is computed once with all that was known before `until` and once with all that was known
    before the cut; the rows before the cut must be equal.

    Raises:
        PeekingView: they are not; the message names the view, the cut and a row.
    """
    whole = compute(project, view, until=until, at=at)
    for cut in cuts:
        seen = whole.filter(pl.col(EVENT_AT) < cut)
        alone = compute(project, view, until=cut, at=at)
        if not seen.equals(alone):
            differs = pl.concat([seen, alone]).unique(keep="none", maintain_order=True)
            raise PeekingView(
                f"View {view.name!r} knows the future: with only what was known before {cut.isoformat()}, "
                f"its rows differ, e.g. {differs.row(0) if differs.height else 'in order'}.",
                why="A model trained on it would look better than it is.",
                fix="Use only source rows whose known_at is before the row's event_at.",
            )


def _pinned(views: Mapping[str, View], pin: str) -> View:
    name, _, digest = pin.partition("@")
    if name not in views:
        raise NoSuchView(f"The project has no feature view {name!r}.", fix=suggest(name, views) or "Restore its code.")
    if views[name].pin != pin:
        raise ViewChanged(
            f"View {name!r} is {views[name].pin} now; the model was trained with {digest}.",
            why="Other code gives other features; the model's answers could not be trusted.",
            fix="Restore the view, or retrain the model with the new one.",
        )
    return views[name]


def _known(project: Project, source: Source, at: str, *, since: datetime, until: datetime) -> pl.DataFrame:
    if source.known_at is None:
        return data.scan(project, source.table, at=at)
    known = pl.col(source.known_at)
    return data.scan(project, source.table, at=at, where=(known >= since) & (known < until))


def checked(project: Project, view: FeatureView, *, passed: bool, cuts: int, at: str = "main") -> None:
    """Put on record that somebody checked a view, as it is defined now, for looking into the future.

    Args:
        passed: whether its rows stayed the same at every cut.
        cuts: at how many instants.
        at: the branch or commit whose tables were read.
    """
    found = {"passed": passed, "cuts": cuts, "commit": data.resolve(project, at).id}
    project.ledger.record("features.checked", subject=view.ref, actor=project.actor, data=found)


def _check_names(views: Sequence[View], taken: Sequence[str]) -> None:
    seen = dict.fromkeys(taken, "the spine")
    for view in views:
        for feature in view.schema:
            if feature in seen:
                other = seen[feature]
                raise BadView(f"Feature {feature!r} is in {other} and in view {view.name!r}.", fix="Rename one.")
            seen[feature] = f"view {view.name!r}"


def _join(frame: pl.DataFrame, rows: pl.DataFrame, view: FeatureView, instant: str) -> pl.DataFrame:
    joined = frame.join_asof(
        rows,
        left_on=instant,
        right_on=EVENT_AT,
        by=list(view.keys),
        strategy="backward",
        tolerance=view.ttl,
        check_sortedness=False,
    )
    return joined.drop(EVENT_AT, strict=False)


def _with_request_views(frame: pl.DataFrame, views: Sequence[View]) -> pl.DataFrame:
    for view in views:
        if isinstance(view, RequestView):
            frame = frame.hstack(view(frame))
    return frame


def _lookup(view: FeatureView, store: OnlineStore, request: pl.DataFrame, instants: list[int]) -> list[pl.Series]:
    keys = [key_text(key) for key in zip(*(request[name].to_list() for name in view.keys), strict=True)]
    wanted = list(dict.fromkeys(zip(keys, instants, strict=True)))
    ttl_us = None if view.ttl is None else view.ttl // timedelta(microseconds=1)
    decode = msgspec.msgpack.decode
    nothing = (None,) * len(view.schema)
    found = {
        pair: nothing if value is None else decode(value)
        for pair, value in zip(wanted, store.get(view.pin, wanted, ttl_us), strict=True)
    }
    columns = zip(*(found[pair] for pair in zip(keys, instants, strict=True)), strict=True)
    return [
        pl.Series(name, values, dtype=kind, strict=True)
        for (name, kind), values in zip(view.schema.items(), columns, strict=True)
    ]
