"""Gates in `bucle.toml`: read, and refused with the near miss."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from bucle.ground.core import ConfigError
from bucle.line import gates
from bucle.line.gates import Calibration, ChampionChallenger, MinimumMetric, Slices
from bucle.line.gates.policy import policy_bytes, read_policy

TOML = """
[gates]
minimum = [{ metric = "auc", minimum = 0.6 }, { metric = "log_loss", maximum = 0.6 }]
champion = { margin = 0.005, confidence = 0.9 }

[gates.slices]
columns = ["carrier", "origin"]
min_support = 300

[gates.calibration]
max_ece = 0.03
"""


def test_gates_are_read_from_toml() -> None:
    assert gates.gates_of(tomllib.loads(TOML)["gates"]) == (
        MinimumMetric(metric="auc", minimum=0.6),
        MinimumMetric(metric="log_loss", maximum=0.6),
        ChampionChallenger(margin=0.005, confidence=0.9),
        Slices(columns=("carrier", "origin"), min_support=300),
        Calibration(max_ece=0.03),
    )


def test_a_policy_is_written_so_that_it_can_be_read_again() -> None:
    policy = gates.gates_of(tomllib.loads(TOML)["gates"])
    assert read_policy(policy_bytes(policy)) == policy


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ({"chmapion": {}}, "Did you mean 'champion'"),
        ({"champion": {"magrin": 0.1}}, "Did you mean 'margin'"),
        ({"champion": {"margin": "much"}}, "Expected `float`"),
        ({"champion": {"margin": -1}}, "margin >= 0"),
        ({"champion": {"metric": "f7"}}, "Invalid enum value 'f7'"),
        ({"champion": 0.1}, "A gate is a table"),
        ({"minimum": {"metric": "auc"}}, "neither a minimum nor a maximum"),
        ({"slices": {"columns": []}}, "at least one column"),
        ({"slices": {}}, "missing required field `columns`"),
        ({"calibration": {"max_ece": 2}}, "between 0 and 1"),
        ({"support": {"min_rows": 0}}, "numbers of rows"),
    ],
)
def test_a_wrong_setting_is_one_error_with_the_fix(config: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        gates.gates_of(config)
    assert part in str(caught.value)
    assert caught.value.at


def test_an_old_policy_stays_readable() -> None:
    kept = b'[{"gate":"champion","margin":0.005},{"gate":"slices","columns":["carrier"],"metric":"brier"}]'
    assert read_policy(kept) == (
        ChampionChallenger(margin=0.005),
        Slices(columns=("carrier",), metric="brier"),
    )
