"""`/`: is everything in production well, and what is the loop doing?"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from msgspec.structs import replace

from bucle.doors.ui.problems import attempt
from bucle.doors.ui.store import Tally, tallies
from bucle.ground.core import Record
from bucle.ground.ledger import Event
from bucle.ground.project import Project
from bucle.line import data, deploy, features, serving, tracking
from bucle.loop import Policy, State, cycles, policy_of, read_state

__all__ = ["Line", "Live", "Station", "Turn", "Waiting", "line"]

WINDOWS = 24
"""So many monitoring windows a sparkline shows."""

RECENT = 12
"""So many of the last decisions and events are shown."""


class Station(Record, frozen=True):
    """One station of the line.

    Attributes:
        name: its word in the menu.
        url: its page.
        count: of what it makes.
        unit: what is counted.
        state: how it stands, see `states.STATES`.
        note: one line more.
        flags: how many things the note is about; 0 when it counts nothing.
        at: when something last happened there.
    """

    name: str
    url: str
    count: int
    unit: str
    state: str
    note: str
    flags: int
    at: datetime | None


class Live(Record, frozen=True):
    """One version that answers clients, or does so in the shadow.

    Attributes:
        endpoint, model, version: what answers.
        arm: `champion`, `canary` or `shadow`.
        share: of the traffic.
        since: when it was deployed.
        auc: live quality, oldest window first; of the champion's arm whichever version stood there.
        until: the ends of these windows.
        drifted: features that drifted in the newest window.
        rows: predictions in the newest window.
        p95_ms: latency in the newest window.
        decision: the loop's last decision about this model.
        decided_at: when.
    """

    endpoint: str
    model: str
    version: int
    arm: str
    share: float
    since: datetime | None
    auc: tuple[float | None, ...]
    until: tuple[datetime, ...]
    drifted: tuple[str, ...]
    rows: int
    p95_ms: float | None
    decision: str
    decided_at: datetime | None


class Waiting(Record, frozen=True):
    """Something only a person can settle.

    Attributes:
        kind: `approval`, `refused` (a batch that broke its contract) or `failed` (an execution).
        about: the ref it is about.
        count: approvals that are missing.
        url: where to look.
        since: since when it waits.
        fix: the command that settles it.
    """

    kind: str
    about: str
    count: int
    url: str
    since: datetime
    fix: str


class Turn(Record, frozen=True):
    """Where a model's loop stands.

    Attributes:
        model: whose.
        champion: the version that serves.
        phase: of the open cycle; `closed` when none is open.
        cycle: its number; the number of cycles so far when none is open.
        promoted, refused, rolled_back: how the cycles ended.
        decision: the last decision, in words.
        decided_at: when.
    """

    model: str
    champion: int
    phase: str
    cycle: int
    promoted: int
    refused: int
    rolled_back: int
    decision: str
    decided_at: datetime | None


class Line(Record, frozen=True):
    """The whole line at a glance.

    Attributes:
        project: its name.
        now: by the project's clock.
        events: how many stand on the ledger.
        stations: in the order of the line.
        live: what answers now.
        waiting: what waits for a person.
        turns: one a loop.
        decisions: of every loop, newest first.
        recent: what happened last anywhere, newest first.
        problems: what kept a part of this page from being read.
    """

    project: str
    now: datetime
    events: int
    stations: tuple[Station, ...]
    live: tuple[Live, ...]
    waiting: tuple[Waiting, ...]
    turns: tuple[Turn, ...]
    decisions: tuple[Event, ...]
    recent: tuple[Event, ...]
    problems: tuple[dict[str, str], ...]


def line(project: Project) -> Line:
    """The line at a glance. Cost: one pass over the index of events; a fold of each loop."""
    counted, problems = tallies(project), list[dict[str, str]]()
    loops = dict(_loops(project, problems))
    decisions = {model: _last(project, "loop.decided", f"loop/{model}") for model in loops}
    return Line(
        project=project.name,
        now=project.clock.now(),
        events=sum(tally.count for tally in counted.values()),
        stations=tuple(_stations(project, counted, problems)),
        live=tuple(_live(project, decisions)),
        waiting=tuple(_waiting(project, counted, loops)),
        turns=tuple(_turn(state, decisions[model]) for model, (_, state) in loops.items()),
        decisions=tuple(project.ledger.events(kinds=["loop.decided"], limit=RECENT, newest_first=True)),
        recent=tuple(data.told_to_all(project, project.ledger.events(limit=RECENT, newest_first=True))),
        problems=tuple(problems),
    )


def _loops(project: Project, problems: list[dict[str, str]]) -> list[tuple[str, tuple[Policy, State]]]:
    found = []
    for model in project.config.names("loop"):
        policy = attempt(problems, partial(policy_of, project, model))
        if policy is not None:
            found.append((model, (policy, read_state(project, policy))))
    return found


def _stations(project: Project, counted: dict[str, Tally], problems: list[dict[str, str]]) -> list[Station]:
    views = attempt(problems, lambda: len(features.views_of(project.modules())))
    alarms = _alarms(project)
    canary = any(one.state == deploy.CANARY for one in deploy.rollouts(project))
    bad_batch = _is_after(counted, ("data.refused",), ("data.committed", "data.landed"))
    ended_well = ("pipelines.execution_succeeded", "pipelines.execution_started")
    broken = _is_after(counted, ("pipelines.execution_failed",), ended_well)
    verdict = _last(project, "gates.judged")
    said_no = verdict is not None and not verdict.data.get("passed", True)
    found = [
        ("Data", "data", "data.committed", "commits", "attention" if bad_batch else "", "a batch was refused"),
        ("Features", "features", "", "views", "broken" if views is None else "", ""),
        (
            "Pipelines",
            "pipelines",
            "pipelines.execution_started",
            "executions",
            "broken" if broken else "",
            "the last one failed",
        ),
        ("Runs", "tracking", "", "runs", "", ""),
        ("Models", "registry", "registry.version_registered", "versions", "", ""),
        ("Gates", "gates", "gates.judged", "verdicts", "refused" if said_no else "", "the last one was a no"),
        ("Deployments", "deploy", "deploy.rollout_started", "rollouts", "canary" if canary else "", ""),
        ("Monitor", "monitoring", "monitoring.watched", "looks", "attention" if alarms else "", "signals"),
    ]
    stations = [_station(counted, *one) for one in found]
    stations[1] = replace(stations[1], count=views or 0, state=stations[1].state if views is None else _plain(views))
    tracked = sum(one.runs or 0 for one in tracking.experiments(project))
    stations[3] = replace(stations[3], count=tracked, state=_plain(tracked))
    stations[-1] = replace(stations[-1], flags=alarms)
    return stations


def _station(counted: dict[str, Tally], *about: str) -> Station:
    name, room, kind, unit, state, note = about
    total = counted[kind].count if kind in counted else 0
    return Station(
        name=name,
        url=f"/{name.lower()}",
        count=total,
        unit=unit,
        state=state or _plain(total),
        note=note if state else "",
        flags=0,
        at=max((tally.at for key, tally in counted.items() if key.startswith(f"{room}.")), default=None),
    )


def _plain(total: int) -> str:
    return "ok" if total else "empty"


def _is_after(counted: dict[str, Tally], bad: tuple[str, ...], good: tuple[str, ...]) -> bool:
    """Whether the last of the bad kinds came after the last of the good ones."""
    last, mended = _newest(counted, *bad), _newest(counted, *good)
    return last is not None and (mended is None or last.seq > mended.seq)


def _newest(counted: dict[str, Tally], *kinds: str) -> Tally | None:
    return max((counted[kind] for kind in kinds if kind in counted), key=lambda tally: tally.seq, default=None)


def _last(project: Project, kind: str, subject: str | None = None) -> Event | None:
    found = project.ledger.events(kinds=[kind], subject=subject, limit=1, newest_first=True)
    return found[0] if found else None


def _alarms(project: Project) -> int:
    last = _last(project, "monitoring.watched")
    return len(last.data.get("signals", ())) if last else 0


def _live(project: Project, decisions: dict[str, Event | None]) -> list[Live]:
    found = []
    for endpoint in deploy.endpoints(project):
        looks = project.ledger.events(
            kinds=["monitoring.watched"], subject=f"endpoint/{endpoint}", limit=WINDOWS, newest_first=True
        )[::-1]
        routes = deploy.routes(project, endpoint)
        since = {(one.model, one.candidate): one.started_at for one in deploy.rollouts(project, endpoint)}
        for arm, name in (*((arm, arm.name) for arm in routes.arms), *((arm, "shadow") for arm in routes.shadows)):
            found.append(
                _live_arm(
                    arm,
                    name,
                    endpoint=endpoint,
                    looks=looks,
                    since=since.get((arm.model, arm.version)),
                    decision=decisions.get(arm.model),
                )
            )
    return found


def _live_arm(
    arm: serving.Arm,
    name: str,
    *,
    endpoint: str,
    looks: list[Event],
    since: datetime | None,
    decision: Event | None,
) -> Live:
    mine = [brief for look in looks if (brief := _window(look, arm, name)) is not None]
    last, is_shadow = (mine[-1] if mine else {}), name == "shadow"
    return Live(
        endpoint=endpoint,
        model=arm.model,
        version=arm.version,
        arm=name,
        share=0.0 if is_shadow else arm.share,
        since=since,
        auc=tuple(brief["auc"] for brief in mine),
        until=tuple(datetime.fromisoformat(brief["until"]) for brief in mine),
        drifted=tuple(last.get("drifted", ())),
        rows=last.get("rows", 0),
        p95_ms=last.get("p95_ms"),
        decision=f"{decision.data['kind']}: {decision.reason}" if decision and not is_shadow else "",
        decided_at=decision.at if decision and not is_shadow else None,
    )


def _window(look: Event, arm: serving.Arm, name: str) -> dict[str, Any] | None:
    """What a look says of an arm: of the champion's arm whichever version stood there, else of this version."""
    fitting = [
        brief
        for brief in look.data.get("windows", ())
        if brief["model"] == arm.model
        and (brief["arm"] == "shadow") == (name == "shadow")
        and (name == serving.CHAMPION or brief["version"] == arm.version)
    ]
    return max(fitting, key=lambda brief: brief["rows"], default=None)


def _turn(state: State, decision: Event | None) -> Turn:
    ended = [cycle.outcome for cycle in state.cycles]
    every = cycles(state)
    return Turn(
        model=state.model,
        champion=state.champion,
        phase=state.cycle.phase if state.cycle else "closed",
        cycle=every[-1].number if every else 0,
        promoted=ended.count("promoted"),
        refused=ended.count("refused"),
        rolled_back=ended.count("rolled_back"),
        decision=f"{decision.data['kind']}: {decision.reason}" if decision else "",
        decided_at=decision.at if decision else None,
    )


def _waiting(project: Project, counted: dict[str, Tally], loops: dict[str, tuple[Policy, State]]) -> list[Waiting]:
    found = [one for model, (policy, state) in loops.items() for one in _approval(model, policy, state)]
    if _is_after(counted, ("data.refused",), ("data.committed", "data.landed")):
        event, refused = _last(project, "data.refused"), counted["data.refused"]
        found.append(
            Waiting(
                kind="refused",
                about=event.subject if event else "",
                count=0,
                url=f"/audit?kind=data.refused#e{refused.seq}",
                since=refused.at,
                fix="",
            )
        )
    if _is_after(counted, ("pipelines.execution_failed",), ("pipelines.execution_succeeded",)):
        event, failed = _last(project, "pipelines.execution_failed"), counted["pipelines.execution_failed"]
        execution = event.subject.partition("/")[2] if event else ""
        found.append(
            Waiting(
                kind="failed",
                about=f"execution/{execution}",
                count=0,
                url=f"/pipelines/{execution}",
                since=failed.at,
                fix=f"bucle run --resume {execution}",
            )
        )
    return found


def _approval(model: str, policy: Policy, state: State) -> list[Waiting]:
    cycle = state.cycle
    if cycle is None or cycle.phase != "approving" or len(cycle.approvals) >= policy.approvals:
        return []
    return [
        Waiting(
            kind="approval",
            about=f"model/{model}@{cycle.candidate}",
            count=policy.approvals - len(cycle.approvals),
            url=f"/models/{model}/{cycle.candidate}",
            since=cycle.opened_at,
            fix=f"bucle model approve {model}@{cycle.candidate}",
        )
    ]
