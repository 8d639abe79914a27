"""`bucle feature`: feature views: list, check, fill the online store."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import count, instant
from bucle.doors.cli.references import chosen
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb
from bucle.ground.core import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bucle.ground.project import Project
    from bucle.line.features import FeatureView, View

__all__ = ["VERBS", "Peek"]


class Peek(Record, frozen=True):
    """What hiding the future from a view showed.

    Attributes:
        view: which.
        cuts: at so many instants.
        passed: whether its rows stayed the same.
        detail: the row that did not.
    """

    view: str
    cuts: int
    passed: bool
    detail: str = ""


def _views(project: Project, names: Sequence[str]) -> list[View]:
    """The views of these names, all when none is named. Raises: NoSuchView."""
    from bucle.line import features

    known = features.views_of(project.modules())
    fix = "bucle feature list"
    return [known[chosen(name, known, features.NoSuchView, "feature view", fix)] for name in names or known]


def _timed(views: Sequence[View]) -> list[FeatureView]:
    from bucle.line import features

    return [view for view in views if isinstance(view, features.FeatureView)]


def _record(view: View) -> dict[str, Any]:
    timed = _timed([view])
    told: dict[str, Any] = {"name": view.name, "kind": "feature view" if timed else "request view", "pin": view.pin}
    told["keys"] = list(timed[0].keys) if timed else []
    told["sources"] = [source.table for source in timed[0].sources] if timed else list(getattr(view, "inputs", ()))
    told["features"] = {name: str(kind) for name, kind in view.schema.items()}
    told["ttl_s"] = timed[0].ttl.total_seconds() if timed and timed[0].ttl else None
    told["about"] = (view.function.__doc__ or "").strip()
    return told


def _list(options: Namespace, terminal: Terminal) -> None:
    with terminal.project() as project:
        found = [_record(view) for view in _views(project, ())]
    names = ("keys", "sources", "features")
    rows = [{**one, **{name: ", ".join(one[name]) for name in names}} for one in found]
    terminal.show(found, ("name", "kind", "keys", "sources", "features", "about"), told=rows)
    terminal.next(
        f"bucle feature show {found[0]['name']}" if found else "write a view in a module of [project] modules"
    )


def _show_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("view")


def _show(options: Namespace, terminal: Terminal) -> None:
    import inspect

    with terminal.project() as project:
        (view,) = _views(project, [options.view])
        code = inspect.getsource(view.function)
    terminal.show({**_record(view), "code": code}, told=_record(view))
    if not terminal.as_json:
        terminal.line(f"\n{code.rstrip()}")
    terminal.next(f"bucle feature check {view.name}")


def _check_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("views", nargs="*", metavar="VIEW", help="which (default: all)")
    parser.add_argument("--cuts", type=count, default=3, metavar="N", help="at how many instants (default: 3)")
    parser.add_argument("--until", type=instant, default=None, metavar="INSTANT", help="look no further (default: now)")
    parser.add_argument("--at", default="main", help="a branch or commit (default: main)")


def _check(options: Namespace, terminal: Terminal) -> int:
    """Prove that no view sees what became known only later; the ledger keeps what came of it."""
    with terminal.project() as project:
        until = options.until or project.clock.now()
        views = _timed(_views(project, options.views))
        found = [_peek(project, view, until, options.cuts, options.at) for view in views]
    terminal.show(found, ("view", "cuts", "passed", "detail"))
    terminal.say("A request view sees only the request: there is nothing to check." if not found else "")
    return 0 if all(one.passed for one in found) else FOUND


def _peek(project: Project, view: FeatureView, until: datetime, cuts: int, at: str) -> Peek:
    from bucle.line import features

    held = features.compute(project, view, until=until, at=at)["event_at"].unique().sort()
    places = sorted({round((number + 1) * len(held) / (cuts + 1)) for number in range(cuts)})
    instants = [held[place] for place in places if place < len(held)]
    try:
        features.check_no_peeking(project, view, until=until, cuts=instants, at=at)
    except features.PeekingView as error:
        features.checked(project, view, passed=False, cuts=len(instants), at=at)
        return Peek(view=view.name, cuts=len(instants), passed=False, detail=error.what)
    features.checked(project, view, passed=True, cuts=len(instants), at=at)
    return Peek(view=view.name, cuts=len(instants), passed=True)


def _materialise_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("views", nargs="*", metavar="VIEW", help="which (default: all)")
    parser.add_argument(
        "--since", type=instant, default=None, metavar="INSTANT", help="rows from then on (default: all)"
    )
    parser.add_argument(
        "--until", type=instant, default=None, metavar="INSTANT", help="rows before then (default: now)"
    )
    parser.add_argument("--at", default="main", help="a branch or commit (default: main)")


def _materialise(options: Namespace, terminal: Terminal) -> None:
    from datetime import UTC

    from bucle.line import features

    with terminal.project() as project:
        views = _timed(_views(project, options.views))
        since = options.since or datetime(1970, 1, 1, tzinfo=UTC)
        until = options.until or project.clock.now()
        store = features.local_online(project)
        made = features.materialise(project, views, since=since, until=until, store=store, at=options.at)
    rows = [{"view": name, "rows": frame.height} for name, frame in made.items()]
    terminal.show(rows, ("view", "rows"))
    terminal.next("bucle serve ENDPOINT")


VERBS: tuple[Verb, ...] = (
    Verb("list", "every view of the project", _list, example="bucle feature list"),
    Verb("show", "one view with its code", _show, _show_arguments, "bucle feature show shape"),
    Verb("check", "prove that no view sees the future; exit status 7 when one does", _check, _check_arguments,
         "bucle feature check"),
    Verb("materialise", "compute rows and put them into the online store", _materialise, _materialise_arguments,
         "bucle feature materialise --since 2013-01-01"),
)  # fmt: skip
