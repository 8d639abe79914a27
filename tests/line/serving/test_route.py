from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.line.serving import Arm, NoRoutes, Routes, load_routes, pick, save_routes


def arms(share: float) -> tuple[Arm, ...]:
    return (
        Arm(name="champion", model="m", version=1, package="a" * 64, share=1 - share),
        Arm(name="canary", model="m", version=2, package="b" * 64, share=share),
    )


@given(key=st.text(), share=st.floats(0, 1), more=st.floats(0, 1))
def test_who_saw_the_canary_sees_it_still_when_its_share_grows(key: str, share: float, more: float) -> None:
    low, high = sorted((share, more))
    if pick(arms(low), "salt", key).name == "canary":
        assert pick(arms(high), "salt", key).name == "canary"


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_the_canary_gets_its_share(share: float) -> None:
    seen = sum(pick(arms(share), "salt", f"key-{at}").name == "canary" for at in range(20_000)) / 20_000
    assert seen == pytest.approx(share, abs=0.01)


def test_another_salt_draws_other_people() -> None:
    first = {at for at in range(2000) if pick(arms(0.1), "first", str(at)).name == "canary"}
    second = {at for at in range(2000) if pick(arms(0.1), "second", str(at)).name == "canary"}
    assert len(first & second) < len(first) / 3


def test_the_order_of_arms_does_not_matter() -> None:
    assert all(pick(arms(0.3), "s", str(at)) == pick(arms(0.3)[::-1], "s", str(at)) for at in range(500))


def test_routes_are_read_as_they_were_written(tmp_path: Path) -> None:
    routes = Routes(endpoint="e", generation=3, salt="s", arms=arms(0.25))
    save_routes(tmp_path, routes)
    assert load_routes(tmp_path) == routes


def test_an_endpoint_without_routes_says_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(NoRoutes, match="bucle deploy roll"):
        load_routes(tmp_path)
