from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime

import pytest

from bucle.doors.cli.arguments import instant, pair, shares, values


@pytest.mark.parametrize(
    "text", ["2013-03-01", "2013-03-01T00:00:00", "2013-03-01T00:00:00Z", "2013-03-01T01:00:00+01:00"]
)
def test_an_instant_is_utc(text: str) -> None:
    assert instant(text) == datetime(2013, 3, 1, tzinfo=UTC)


def test_values_are_json_or_text() -> None:
    given = [pair(text) for text in ("a=1", "b=[1, 2]", "c=true", "d=word", "e=x=y", "f=")]
    assert values(given) == {"a": 1, "b": [1, 2], "c": True, "d": "word", "e": "x=y", "f": ""}


def test_a_parameter_that_is_a_text_stays_one() -> None:
    assert values([pair("labels=true")], texts={"labels"}) == {"labels": "true"}


def test_shares_are_numbers_between_0_and_1() -> None:
    assert shares("0.1,0.5") == (0.1, 0.5)
    with pytest.raises(ArgumentTypeError):
        shares("0.1,half")
