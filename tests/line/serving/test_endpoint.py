from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bucle.ground.core import SystemClock
from bucle.ground.project import Project
from bucle.line import registry, serving
from bucle.line.registry import Field, Package, Signature
from bucle.line.serving import App, Endpoint, ModelFailed, ServingSection, read_segments
from bucle.line.serving.request import Request

NAMES = ("hour", "distance", "carrier")


def request(at: int, hour: float = 5.0, rows: int = 1) -> Request:
    columns: dict[str, list[Any]] = {"hour": [hour] * rows, "distance": [200.0] * rows, "carrier": ["UA"] * rows}
    now = SystemClock().now()
    return Request(f"r{at}", f"r{at}", rows, columns, [now] * rows, [])


def run(folder: Path, use: Callable[[Endpoint], Awaitable[Any]], **options: Any) -> Any:
    async def inside() -> Any:
        settings = options.pop("settings", ServingSection())
        endpoint = Endpoint(folder, settings, SystemClock(), **options)
        await endpoint.reload()
        try:
            return await use(endpoint)
        finally:
            await endpoint.close()

    return asyncio.run(inside())


async def ask(endpoint: Endpoint, at: int, **given: Any) -> Any:
    return await endpoint.answer(endpoint.state, request(at, **given), None, time.perf_counter())


def test_a_failing_canary_is_never_seen_and_its_failures_are_on_record(
    pack: Callable[..., Package], deploy: Callable[..., Any], folder: Path
) -> None:
    deploy(pack(), pack("failing"), share=0.5)

    async def use(endpoint: Endpoint) -> list[Any]:
        return [await ask(endpoint, at) for at in range(60)]

    answers = run(folder, use)
    assert {answer.arm.version for answer in answers} == {1}
    logged = read_segments(folder / "log")
    failed = [p.request_id for p in logged if p.arm == "canary"]
    assert 15 < len(failed) < 45
    assert all(p.status == "error" and "Gather" in p.error for p in logged if p.arm == "canary")
    assert [p.request_id for p in logged if p.arm == "fallback" and p.status == "ok"] == failed
    assert sorted(p.request_id for p in logged if p.status == "ok") == sorted(f"r{at}" for at in range(60))


def test_a_slow_canary_is_given_up_in_time_and_stopped(
    pack: Callable[..., Package], deploy: Callable[..., Any], folder: Path
) -> None:
    deploy(pack(), pack("slow"), share=1.0)

    async def use(endpoint: Endpoint) -> tuple[float, Any]:
        started = time.perf_counter()
        answer = await ask(endpoint, 1)
        return time.perf_counter() - started, answer

    took, answer = run(folder, use, settings=ServingSection(trial_timeout_s=0.05))
    assert (answer.arm.version, answer.name) == (1, "fallback")
    assert took < 2
    slow = next(p for p in read_segments(folder / "log") if p.arm == "canary")
    assert "took longer" in slow.error
    assert slow.latency_us >= 50_000


def test_a_good_canary_answers_its_share(
    pack: Callable[..., Package], deploy: Callable[..., Any], folder: Path
) -> None:
    deploy(pack(), pack(bias=1.0), share=0.3)

    async def use(endpoint: Endpoint) -> list[str]:
        return [(await ask(endpoint, at)).name for at in range(300)]

    names = run(folder, use)
    assert 60 < names.count("canary") < 120
    assert names == run(folder, use)


def test_a_failing_champion_is_on_record_and_the_client_is_told(
    pack: Callable[..., Package], deploy: Callable[..., Any], folder: Path
) -> None:
    deploy(pack("failing"))

    async def use(endpoint: Endpoint) -> None:
        with pytest.raises(ModelFailed):
            await ask(endpoint, 1)

    run(folder, use)
    assert [(p.status, p.arm) for p in read_segments(folder / "log")] == [("error", "champion")]


def test_shadows_see_each_request_and_change_no_answer(
    pack: Callable[..., Package], deploy: Callable[..., Any], folder: Path
) -> None:
    async def use(endpoint: Endpoint) -> list[Any]:
        answers = []
        for at in range(20):
            answer = await ask(endpoint, at)
            endpoint.shadow(endpoint.state, answer.request)
            answers.append(answer.outcome.outputs["probability"].tobytes())
        await endpoint.rotate()
        return answers

    deploy(pack())
    plain = run(folder, use)
    deploy(pack(), shadows=(pack(bias=2.0), pack("failing")))
    assert run(folder, use) == plain
    shadows = [p for p in read_segments(folder / "log") if p.arm == "shadow"]
    assert sorted((p.version, p.status) for p in shadows) == [(90, "ok")] * 20 + [(91, "error")] * 20


def test_too_many_waiting_shadows_are_dropped_and_counted(
    pack: Callable[..., Package], deploy: Callable[..., Any], folder: Path
) -> None:
    deploy(pack(), shadows=(pack(bias=1.0),))

    async def use(endpoint: Endpoint) -> int:
        for at in range(10):
            endpoint.shadow(endpoint.state, request(at))
        return endpoint.metrics.shadows_dropped

    assert run(folder, use, settings=ServingSection(max_shadows=3)) == 7


def test_routes_that_cannot_be_loaded_leave_the_old_ones_in_force(
    pack: Callable[..., Package], deploy: Callable[..., Any], folder: Path
) -> None:
    deploy(pack())

    async def use(endpoint: Endpoint) -> tuple[int, str]:
        fresh = pack(bias=3.0)
        deploy(fresh, version=2)
        model = folder / "packages" / fresh.digest / "model.onnx"
        model.write_bytes(model.read_bytes()[:-1] + b"\0")
        with pytest.raises(registry.PackageDamaged):
            await endpoint.reload()
        return endpoint.state.routes.generation, (await ask(endpoint, 1)).name

    assert run(folder, use) == (1, "champion")


def test_an_older_generation_never_comes_into_force(
    pack: Callable[..., Package], deploy: Callable[..., Any], folder: Path
) -> None:
    first = deploy(pack())
    deploy(pack(bias=1.0), version=2)

    async def use(endpoint: Endpoint) -> int:
        serving.save_routes(folder, first)
        return await endpoint.reload()

    assert run(folder, use) == 2


def test_the_same_row_has_the_same_bits_in_every_batch(
    pack: Callable[..., Package], deploy: Callable[..., Any], folder: Path
) -> None:
    deploy(pack())

    async def use(endpoint: Endpoint) -> set[bytes]:
        seen = set()
        for rows in (1, 2, 7, 64, 1000):
            answer = await ask(endpoint, rows, hour=17.3, rows=rows)
            seen |= {value.tobytes() for value in answer.outcome.outputs["probability"]}
        return seen

    assert len(run(folder, use)) == 1


@pytest.fixture
def enriched(project: Project, pack: Callable[..., Package]) -> Package:
    """A package whose client sends only an hour and a route; two inputs come from a feature view."""
    sent = Signature(inputs=(Field(name="hour", type="float"), Field(name="route", type="string")))
    return pack(request=sent, features=("routes@" + "f" * 64,), entity="route")


def add_features(frame: pl.DataFrame, package: Package) -> pl.DataFrame:
    assert package.features
    assert frame.schema["instant"] == pl.Datetime("us", "UTC")
    return frame.with_columns(pl.lit(200.0).alias("distance"), pl.lit("UA").alias("carrier"))


def short_request(at: int) -> Request:
    return Request(f"r{at}", f"r{at}", 1, {"hour": [5.0], "route": ["JFK-LAX"]}, [SystemClock().now()], ["JFK-LAX"])


def test_feature_views_add_what_the_client_does_not_send(
    enriched: Package, pack: Callable[..., Package], deploy: Callable[..., Any], folder: Path
) -> None:
    deploy(enriched)

    async def use(endpoint: Endpoint) -> Any:
        return await endpoint.answer(endpoint.state, short_request(1), None, time.perf_counter())

    answer = run(folder, use, enrich=add_features)
    assert answer.outcome.outputs["probability"][0] == pytest.approx(0.5744425)
    logged = read_segments(folder / "log")[0]
    assert logged.features == {"distance": [200.0], "carrier": ["UA"]}
    assert logged.request == {"hour": [5.0], "route": ["JFK-LAX"]}


def test_a_failing_feature_view_is_the_model_s_failure(
    enriched: Package, deploy: Callable[..., Any], folder: Path
) -> None:
    deploy(enriched)

    def broken(frame: pl.DataFrame, package: Package) -> pl.DataFrame:
        raise OSError("the store is away")

    async def use(endpoint: Endpoint) -> None:
        with pytest.raises(ModelFailed, match="the store is away"):
            await endpoint.answer(endpoint.state, short_request(1), None, time.perf_counter())

    run(folder, use, enrich=broken)


def test_a_package_with_feature_views_is_not_loaded_without_them(
    enriched: Package, deploy: Callable[..., Any], folder: Path
) -> None:
    deploy(enriched)
    with pytest.raises(serving.EnrichMissing, match="routes@"):
        run(folder, lambda endpoint: ask(endpoint, 1))


def test_an_application_without_routes_is_alive_and_not_ready(project: Project, folder: Path) -> None:
    async def status(path: str) -> int:
        app, sent = App(Endpoint(folder, ServingSection(), SystemClock()), SystemClock()), []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await app({"type": "http", "path": path, "method": "GET", "headers": []}, receive, send)
        return int(sent[0]["status"])

    assert asyncio.run(status("/v2/health/live")) == 200
    assert asyncio.run(status("/v2/health/ready")) == 503
    assert asyncio.run(status("/v2/models/flights")) == 503
