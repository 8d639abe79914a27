"""Turns the toy loop for three weeks: `python toy_loop.py ROOT [DATABASE]`; killed, it can be started again."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from bucle import loop
from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import data, deploy, registry, serving

START = datetime(2020, 1, 1, tzinfo=UTC)
HALF = timedelta(hours=12)
INSTANT = pl.Datetime("us", "UTC")
DAYS = 20
PER_HALF = 25


def batch(week: int) -> dict[str, pl.DataFrame]:
    random = np.random.default_rng(week)
    x, y = random.normal(size=600), random.normal(loc=week / 3, size=600)
    bought = random.random(600) < 1 / (1 + np.exp(-(2 * x - (1 + week) * y)))
    at = [START + timedelta(days=7 * week, minutes=float(m)) for m in np.sort(random.random(600)) * 60 * 24 * 6]
    ids = [f"{week}-{n}" for n in range(600)]
    known = pl.Series(at, dtype=INSTANT)
    visits = pl.DataFrame({"id": ids, "at": known, "x": x, "y": y})
    return {"visits": visits, "outcomes": pl.DataFrame({"id": ids, "bought": bought, "known_at": known})}


def play(project: Project, clock: SimulatedClock) -> None:
    if last := project.ledger.events(newest_first=True, limit=1):
        clock.set(last[0].at)
    policy = loop.policy_of(project, "toy")
    target = deploy.LocalTarget(start=True, stay=False)
    with loop.Controller(project, policy, loop.actions_for(project, policy, target)) as controller:
        data.commit(project, batch(0), message="week 0", key="week/0")
        clock.set(START + timedelta(days=7))
        loop.request(project, "toy", loop.Request(id="first", reason="begin", actor="ana"))
        controller.tick()
        deploy.apply(project, "toy", target)
        answered = set(serving.predictions(project, "toy")["request_id"])
        answered |= set(serving.live(project, "toy")[0]["request_id"])
        process = serving.find_process(project.state, "toy")
        assert process is not None
        with serving.Client(process.url) as client:
            for half in range(2 * DAYS):
                now = START + timedelta(days=7) + half * HALF
                clock.set(now)
                if half % 14 == 0:
                    week = 1 + half // 14
                    data.commit(project, batch(week), message=f"week {week}", key=f"week/{week}")
                controller.tick()
                ask(client, half, now, answered)
        clock.set(START + timedelta(days=7 + DAYS))
        controller.tick()
        serving.collect(project, "toy")


def ask(client: serving.Client, half: int, now: datetime, answered: set[str]) -> None:
    random = np.random.default_rng(1000 + half)
    for n in range(PER_HALF):
        x, y = random.normal(size=2).tolist()
        row = {"id": [f"ask-{half}-{n}"], "at": [now.isoformat()], "x": [x], "y": [y]}
        if (name := f"{half}-{n}") not in answered:
            client.infer("toy", row, request_id=name)


def told(project: Project) -> dict[str, object]:
    """Everything that must come out the same, however often the process was killed."""
    state = loop.read_state(project, loop.policy_of(project, "toy"))
    done = [event.data["decision"] for event in project.ledger.events(kinds=["loop.done"])]
    rows = serving.predictions(project, "toy").filter(pl.col("arm") != "shadow")
    return {
        "cycles": [[c.number, c.trigger, c.outcome, c.candidate, c.digest] for c in loop.cycles(state)],
        "done_once": len(done) == len(set(done)),
        "kinds": dict(Counter(d.split("/")[2] for d in done)),
        "versions": [[v.version, v.digest, v.stage] for v in registry.versions(project, "toy")],
        "rollouts": [[r.candidate, r.state] for r in deploy.rollouts(project, "toy")],
        "commits": [c.message for c in data.log(project) if c.message.startswith("week")],
        "asked": rows["request_id"].n_unique(),
        "rows": rows.filter(pl.col("status") == "ok").height,
        "sound": loop.audit(project).is_sound,
    }


if __name__ == "__main__":
    clock = SimulatedClock(START)
    url = sys.argv[2] if len(sys.argv) > 2 else ""
    opened = Project.open(Path(sys.argv[1]), clock=clock, database=url, actor="ana")
    try:
        play(opened, clock)
    finally:
        serving.stop_process(opened.state, "toy")
    sys.stdout.write(json.dumps(told(opened)) + "\n")
