"""Steps in processes of their own, whose outputs lie in a bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from buckets import bucket, client_of, credentials, s3_server
from bucle.ground.project import Project
from bucle.line import pipelines
from bucle.loop import audit

from .conftest import Flow

__all__ = ["bucket", "credentials", "s3_server"]


@pytest.mark.usefixtures("credentials")
def test_a_pipeline_runs_and_is_cached_with_blobs_in_a_bucket(
    flow: Flow, opened: Callable[[], Project], bucket: str, s3_server: str
) -> None:
    store = f'[store]\nblobs = "s3://{bucket}/team"\n[store.s3]\nendpoint = "{s3_server}"\n'
    settings = flow.root / "bucle.toml"
    settings.write_text(settings.read_text() + store)
    flow.write("""
        @step
        def build(rows: int) -> pl.DataFrame:
            ran("build")
            print("building")
            return pl.DataFrame({"a": range(rows)})

        @step
        def total(frame: pl.DataFrame) -> int:
            ran("total")
            return int(frame["a"].sum())

        @pipeline
        def line(rows: int = 10) -> int:
            return total(build(rows))
    """)
    first = pipelines.run(opened(), "line", {})
    second = pipelines.run(opened(), "line", {})
    project = opened()
    assert (first.status, second.status) == ("succeeded", "succeeded")
    assert flow.ran() == ["build", "total"]
    steps = pipelines.step_runs(project, first.id)
    assert pipelines.log_of(project, steps[0]) == "building\n"
    assert not (Path(project.state) / "blobs").exists()
    assert audit(project).is_sound
    digest = steps[0].outputs["result"]
    key = f"team/{digest[:2]}/{digest[2:]}"
    client_of(s3_server).put_object(Bucket=bucket, Key=key, Body=b"damaged")
    assert [fault.where for fault in audit(project).faults] == [f"blob {digest[:12]}"]
