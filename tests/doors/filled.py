"""A project with a year behind it, made through the rooms' own verbs: what the pages are looked at with."""

from __future__ import annotations

import contextlib
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from onnx import TensorProto, helper, numpy_helper

from bucle.ground import governance
from bucle.ground.core import SimulatedClock, encode, to_builtins
from bucle.ground.project import Project
from bucle.line import contracts, data, deploy, gates, monitoring, pipelines, registry, serving, tracking
from bucle.loop import Controller, Decision, Look, Measurement, Request, State, policy_of, request

NASTY = "<script>alert('hola')</script>"
"""Stands in messages and names, and must never be more than text."""

TOML = """
[project]
name = "flights"
modules = ["flow"]

[loop.flights]
pipeline = "retrain"
tables = ["flights"]
[loop.flights.labels]
table = "arrivals"
entity = "flight_id"
label = "late"
known_at = "known_at"
[loop.flights.retrain]
on = ["quality", "drift", "schedule"]
every = "60d"
[loop.flights.gates]
minimum = { metric = "auc", minimum = 0.58 }
champion = { metric = "auc", margin = 0.01 }
slices = { columns = ["carrier", "origin"], min_support = 60, max_drop = 0.05 }
calibration = { max_ece = 0.12 }
[loop.flights.rollout]
steps = [0.2, 0.5]
hold = "1d"
look_every = "12h"
min_rows = 20
shadows = [1]
[monitoring.guard]
min_requests = 20
max_error_excess = 0.3
"""

FLOW = """
    '''Steps of the example.'''
    from datetime import timedelta

    import polars as pl

    from bucle.line.features import Source, feature_view, request_view
    from bucle.line.pipelines import pipeline, step


    @feature_view(keys=["origin"], schema={"wind_speed": pl.Float64, "temp": pl.Float64},
                  sources=[Source("flights", "known_at")], ttl=timedelta(hours=6))
    def weather_at_origin(flights):
        return flights


    @request_view(inputs=["distance"], schema={"log_distance": pl.Float64})
    def calendar(frame):
        return frame.select(pl.col("distance").log().alias("log_distance"))


    @step
    def build(month: int) -> dict:
        print(f"building the training set of month {month}")
        return {"rows": 1000 * month}


    @step
    def train(frame: dict, month: int, seed: int) -> dict:
        print("\\n".join(f"round {n}: auc {0.6 + n / 1000:.4f}" for n in range(1, 60)))
        if month == 99:
            raise ValueError("labels are all the same <b>")
        return {"weight": 0.5 + month / 10}


    @step
    def package(model: dict) -> dict:
        return {"size": 4096, **model}


    @pipeline
    def retrain(month: int = 1) -> dict:
        '''Trains a candidate on everything known so far.'''
        return package(train(build(month), month, 7))
"""


def write_project(root: Path) -> None:
    """The files of the project."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "bucle.toml").write_text(TOML)
    (root / "flow.py").write_text(textwrap.dedent(FLOW))


def onnx_model(weight: float) -> bytes:
    """probability[N] = sigmoid(weight * distance)."""
    nodes = [
        helper.make_node("Mul", ["distance", "weight"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "flat"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("distance", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"])],
        initializer=[
            numpy_helper.from_array(np.array([weight], dtype=np.float32), "weight"),
            numpy_helper.from_array(np.array([-1], dtype=np.int64), "flat"),
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString(deterministic=True)


class Year:
    """Months of synthetic flights; whoever the engine asks is answered with the rooms' verbs."""

    def __init__(self, project: Project, clock: SimulatedClock, *, executions: int = 3) -> None:
        self.project = project
        self.clock = clock
        self.policy = policy_of(project, "flights")
        self.random = np.random.default_rng(7)
        self.executions = executions
        self.trained = 0
        self.asked = 0

    def play(self, months: int) -> None:
        for month in range(1, months + 1):
            self.month = month
            self.clock.set(datetime(2013, month, 28, 12, tzinfo=UTC))
            self.land(month)
            if month == 1:
                self.run_by_hand()
                request(self.project, "flights", Request(id="first", reason="the first model", actor="ana"))
            self.turn()
            self.traffic()
            self.clock.set(datetime(2013, month + 1, 1, tzinfo=UTC))
            self.turn()

    def turn(self) -> None:
        with Controller(self.project, self.policy, self.act) as controller:
            for _ in range(8):
                controller.tick()
                self.clock.advance(timedelta(hours=12))
                if controller.state().cycle is None:
                    break
                self.traffic(40)

    def land(self, month: int) -> None:
        rows = 900 + 40 * month
        frame = pl.DataFrame(
            {
                "flight_id": [f"{month:02d}-{n:05d}" for n in range(rows)],
                "carrier": self.random.choice(["AA", "B6", "DL", "EV", "UA"], rows).tolist(),
                "origin": self.random.choice(["EWR", "JFK", "LGA"], rows).tolist(),
                "distance": self.random.uniform(100, 2500, rows),
                "temp": self.random.normal(45 + 5 * month, 8, rows),
            }
        )
        contract = contracts.infer(frame, "flights", slack=0.6) if month == 1 else self.contract
        self.contract = contract
        if month == 1:
            contracts.save(contract, contracts.path_of(self.project, "flights"))
        if month == 5:
            bad = frame.with_columns(pl.col("temp") * 40 + 900)
            with contextlib.suppress(contracts.ContractViolated):
                data.land(self.project, {"flights": bad}, contracts={"flights": contract}, message=f"May, {NASTY}")
        data.commit(self.project, {"flights": frame}, message=f"Flights of 2013-{month:02d}")

    def run_by_hand(self) -> None:
        for n in range(6):
            with tracking.start(
                self.project,
                "tuning",
                name=f"rounds-{n}" if n else NASTY,
                seed=n,
                params={"num_leaves": 15 + 8 * n, "learning_rate": 0.06, "objective": "binary"},
            ) as run:
                for round_ in range(40):
                    run.log_metrics(
                        {"auc": 0.6 + 0.1 * (1 - np.exp(-round_ / (6 + n))), "log_loss": 0.7 - round_ / 300}, round_
                    )
        pipelines.run(self.project, "retrain", {"month": 1}, key="by-hand")
        with contextlib.suppress(pipelines.StepFailed):
            pipelines.run(self.project, "retrain", {"month": 99})
        pipelines.run(self.project, "retrain", {"month": 1})

    def act(self, state: State, decision: Decision) -> dict[str, Any]:
        return getattr(self, f"do_{decision.kind}")(state, decision) or {}

    def do_hold(self, state: State, decision: Decision) -> None:
        pass

    def do_retrain(self, state: State, decision: Decision) -> dict[str, Any]:
        self.trained += 1
        execution = ""
        if self.trained <= self.executions:
            execution = pipelines.run(self.project, "retrain", {"month": self.month}, key=f"{decision.id}/x").id
        quality = 0.66 + 0.006 * self.trained
        with tracking.start(
            self.project,
            "retrain",
            name=f"month {self.month}",
            key=f"{decision.id}/x",
            seed=7,
            params={"month": self.month, "num_leaves": 31},
            inputs=[f"commit/{decision.commit}"],
        ) as run:
            for round_ in range(30):
                run.log_metrics({"auc": quality * (1 - 0.2 * np.exp(-round_ / 8))}, round_)
        profile = monitoring.profile_of(self.features(800, 1), self.random.beta(2, 5, 800))
        package = registry.pack(
            self.project,
            onnx_model(0.1 * self.trained),
            files={"profile.json": encode(profile)},
            features=["calendar@0123456789ab"],
        )
        made = registry.register(
            self.project,
            "flights",
            package,
            run=run.id,
            execution=execution,
            commit=decision.commit,
            metrics={"auc": quality, "log_loss": 0.6 - quality / 10},
            author="loop/flights",
            key=f"{decision.id}/x",
        )
        registry.set_alias(self.project, "flights", "challenger", made.version, actor="loop/flights", reason="trained")
        return {"version": made.version, "digest": made.digest, "run": run.id, "execution": execution}

    def do_judge(self, state: State, decision: Decision) -> dict[str, Any]:
        n = 1500
        labels = self.random.random(n) < 0.3
        skill = 0.1 if self.trained == 3 else 1.2
        logits = np.where(labels, skill, 0.0) + self.random.normal(-0.9, 1, n)
        champion = np.where(labels, 1.1, 0.0) + np.random.default_rng(3).normal(-0.9, 1, n)
        evidence = gates.Evidence(
            labels=labels,
            challenger=1 / (1 + np.exp(-logits)),
            champion=1 / (1 + np.exp(-champion)) if state.champion else None,
            slices={
                "carrier": self.random.choice(["AA", "B6", "DL", "EV", "UA"], n),
                "origin": self.random.choice(["EWR", "JFK", "LGA"], n),
            },
        )
        wanted = {"minimum": self.policy.gates["minimum"], "calibration": {"max_ece": 0.3}}
        if state.champion:
            wanted |= {
                "champion": {"metric": "auc", "margin": 0.1},
                "slices": {**self.policy.gates["slices"], "max_drop": 0.3},
            }
        verdict = gates.judge(
            self.project,
            f"model/flights@{decision.version}",
            gates.gates_of(wanted),
            evidence,
            against=f"model/flights@{state.champion}" if state.champion else "",
            key=f"{decision.id}/x",
        )
        if verdict.passed:
            self.move(decision.version, "validated")
        return {
            "passed": verdict.passed,
            "verdict": verdict.id,
            "failures": [f"{check.gate}: {check.detail}" for check in verdict.refusals],
        }

    def do_refuse(self, state: State, decision: Decision) -> None:
        self.move(decision.version, "rejected")

    def do_approve(self, state: State, decision: Decision) -> None:
        version = registry.version(self.project, "flights", decision.version)
        governance.approve(
            self.project,
            version.ref,
            digest=version.digest,
            principal=self.policy.principal,
            author=version.author,
            reason=decision.reason,
        )

    def do_roll(self, state: State, decision: Decision) -> dict[str, Any]:
        rollout = deploy.start(
            self.project,
            "flights",
            "flights",
            decision.version,
            share=decision.share,
            steps=self.policy.rollout.steps,
            actor="loop/flights",
            reason=decision.reason,
            key=f"{decision.id}/x",
        )
        return {"rollout": rollout.id}

    def do_look(self, state: State, decision: Decision) -> dict[str, Any]:
        assert state.cycle is not None
        now = self.clock.now()
        since = state.cycle.step_since or now
        frame = serving.predictions(self.project, "flights", since=since, until=now).filter(pl.col("arm") != "shadow")
        plain = monitoring.Profile(rows=0, features=(), scores=())
        sides = []
        for number, arm in ((state.champion, "champion"), (decision.version, "canary")):
            mine = frame.filter(pl.col("version") == number)
            found = monitoring.summarise(mine, pl.DataFrame(), None, plain, since=since, until=now)
            sides.append(found[0] if found else monitoring.empty_window("flights", "flights", number, arm, plain))
        guard = monitoring.guard(sides[0], sides[1], monitoring.rules_of(self.project).guard)
        failing = self.trained == 4
        status = "failing" if failing else "healthy" if sides[1].rows >= 20 else guard.status
        reasons = ("The canary failed 9 of 24 requests; 5.0% is allowed.",) if failing else guard.reasons
        look = Look(at=now, status=status, rows=sides[1].rows, reasons=reasons)  # type: ignore[arg-type]
        return {"look": to_builtins(look), "guard": to_builtins(guard)}

    def do_shift(self, state: State, decision: Decision) -> None:
        assert state.cycle is not None
        deploy.shift(
            self.project,
            state.cycle.rollout,
            decision.share,
            actor="loop/flights",
            reason=decision.reason,
            key=f"{decision.id}/x",
        )

    def do_promote(self, state: State, decision: Decision) -> None:
        assert state.cycle is not None
        deploy.promote(
            self.project, state.cycle.rollout, actor="loop/flights", reason=decision.reason, key=f"{decision.id}/x"
        )
        self.move(decision.version, "production")
        if decision.version > 1:
            deploy.set_shadows(self.project, "flights", [("flights", 1)], reason="the policy's shadows")
        registry.set_alias(
            self.project, "flights", "champion", decision.version, actor="loop/flights", reason=decision.reason
        )
        registry.set_alias(self.project, "flights", "challenger", None, actor="loop/flights", reason="promoted")

    def do_roll_back(self, state: State, decision: Decision) -> None:
        assert state.cycle is not None
        deploy.roll_back(
            self.project, state.cycle.rollout, actor="loop/flights", reason=decision.reason, key=f"{decision.id}/x"
        )
        self.move(decision.version, "rejected")

    def do_watch(self, state: State, decision: Decision) -> dict[str, Any]:
        assert decision.since is not None
        assert decision.until is not None
        frame = serving.predictions(self.project, "flights", since=decision.since, until=decision.until)
        if frame.height == 0:
            return {"measurement": None}
        truth = np.random.default_rng(self.month)
        entities = frame["entity"].unique(maintain_order=True)
        scores = dict(zip(frame["entity"], frame["score"].fill_null(0.3), strict=True))
        labels = pl.DataFrame(
            {
                "entity": entities,
                "label": [bool(truth.random() < 0.12 + 0.6 * scores[one]) for one in entities],
                "known_at": [decision.until] * len(entities),
            },
            schema_overrides={"known_at": pl.Datetime("us", "UTC")},
        )
        numbers = sorted(frame["version"].unique().to_list())
        profiles, windows = {}, []
        for number in numbers:
            package = registry.load_package(self.project, registry.version(self.project, "flights", number).digest)
            profiles[number] = _profile(self.project, package)
            mine = frame.filter(pl.col("version") == number)
            windows += monitoring.summarise(
                mine,
                monitoring.features_of(mine, profiles[number]),
                labels,
                profiles[number],
                since=decision.since,
                until=decision.until,
            )
        seen = monitoring.watch(
            self.project, "flights", windows, profiles, key=f"{decision.id}/x", actor="loop/flights"
        )
        own = [one for one in seen.windows if one.version == state.champion and one.arm != "shadow"]
        if not own:
            return {"measurement": None}
        quality = monitoring.quality(*own)
        measured = Measurement(
            since=decision.since,
            until=decision.until,
            version=state.champion,
            rows=own[0].rows,
            labelled=quality.labelled,
            auc=quality.auc,
            baseline_auc=0.7,
            psi={one.feature: one.psi for one in seen.drifts if one.kind != "prediction"},
            prediction_psi=0.05,
            error_rate=own[0].error_rate,
            p95_ms=own[0].latency_ms(0.95) or 0,
        )
        return {"measurement": to_builtins(measured), "signals": len(seen.signals)}

    def features(self, rows: int, month: int) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "distance": self.random.uniform(100, 2500, rows),
                "temp": self.random.normal(40 + 6 * min(month, 14 - month), 8, rows),
                "wind_speed": self.random.gamma(4, 2 + month / 10, rows),
                "hour": self.random.integers(5, 23, rows).astype(float),
                "carrier": self.random.choice(["AA", "B6", "DL", "EV", "UA"], rows).tolist(),
                "carrier_late_28d": self.random.beta(2, 6 + month % 5, rows),
            }
        )

    def traffic(self, rows: int = 260) -> None:
        if "flights" not in deploy.endpoints(self.project):
            return
        routes, now = deploy.routes(self.project, "flights"), self.clock.now()
        features, found = self.features(rows, self.month), []
        for row in range(rows):
            self.asked += 1
            pick = self.random.random()
            arm = routes.arms[-1] if len(routes.arms) > 1 and pick < routes.arms[-1].share else routes.champion
            for one in (arm, *routes.shadows):
                name = one.name if one in routes.arms else "shadow"
                failed = name == "canary" and self.trained == 4 and row % 3 == 0
                score = float(self.random.beta(2, 5))
                found.append(
                    serving.Prediction(
                        request_id=f"r{self.asked:06d}",
                        at=now,
                        endpoint="flights",
                        model=one.model,
                        version=one.version,
                        package=one.package,
                        arm=name,
                        routing_key=str(row),
                        status="error" if failed else "ok",
                        error="ValueError: bad" if failed else "",
                        latency_us=int(self.random.gamma(4, 500) * (3 if failed else 1)),
                        rows=1,
                        ids=[f"f{self.asked}"],
                        instants=[now],
                        request={"carrier": [features["carrier"][row]]},
                        features={name: [features[name][row]] for name in features.columns},
                        outputs={} if failed else {"probability": [score]},
                        score="" if failed else "probability",
                    )
                )
        data.commit(
            self.project,
            {serving.PREDICTIONS: serving.frame_of(found)},
            message=f"Predictions of flights: {len(found)} rows",
        )

    def move(self, version: int, stage: str) -> None:
        registry.transition(self.project, "flights", version, stage, actor="loop/flights", reason="the loop decided so")


def _profile(project: Project, package: registry.Package) -> monitoring.Profile:
    from bucle.ground.core import decode

    return decode(project.blobs.get(package.files["profile.json"]), monitoring.Profile)


def ask_for_a_review(project: Project) -> None:
    """A tag, and a branch with a day more that asks to be merged."""
    data.create_tag(project, "year-end", message="what the last model of the year saw")
    data.create_branch(project, "mended", "main")
    day = data.scan(project, "flights").tail(20)
    data.commit(project, {"flights": day}, branch="mended", message="a day that was missing")
    data.protect(project, "release-*", approvals=2)
    data.open_review(project, "mended", title="The day the collector was down")


def fill(root: Path, *, months: int = 10, executions: int = 3) -> None:
    """Write the project and play its year."""
    write_project(root)
    clock = SimulatedClock(datetime(2013, 1, 2, tzinfo=UTC))
    project = Project.open(root, clock=clock, actor="ana")
    try:
        Year(project, clock, executions=executions).play(months)
        ask_for_a_review(project)
    finally:
        project.close()
