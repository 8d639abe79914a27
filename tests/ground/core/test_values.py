"""Digests, refs, codec, clock: the values everything else is made of."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground.core import (
    BadName,
    CorruptRecord,
    Record,
    SimulatedClock,
    SystemClock,
    UserError,
    as_utc,
    check_name,
    decode,
    digest_of,
    digest_of_file,
    digest_of_value,
    encode,
    from_micros,
    make_ref,
    split_ref,
    to_micros,
)

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Point(Record, frozen=True):
    x: int
    at: datetime
    tags: tuple[str, ...] = ()


def test_the_digest_is_blake3_as_published() -> None:
    # https://github.com/BLAKE3-team/BLAKE3/blob/master/test_vectors/test_vectors.json, input length 0
    assert digest_of(b"") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


@given(st.binary(max_size=5000))
def test_a_file_has_the_digest_of_its_bytes(data: bytes) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        assert digest_of_file(Path(file.name)) == digest_of(data) == blake3(data).hexdigest()


@given(PLAIN)
def test_plain_values_come_back_from_canonical_json(value: object) -> None:
    assert json.loads(encode(value)) == value
    assert decode(encode(value), object) == value


@given(st.dictionaries(st.text(), PLAIN, max_size=6), st.randoms())
def test_the_order_of_keys_does_not_change_the_digest(value: dict[str, object], random: object) -> None:
    keys = list(value)
    random.shuffle(keys)  # type: ignore[attr-defined]
    assert digest_of_value({key: value[key] for key in keys}) == digest_of_value(value)


def test_what_json_cannot_hold_becomes_null() -> None:
    assert encode([float("nan"), float("inf")]) == b"[null,null]"


def test_a_record_is_frozen_and_comes_back_equal() -> None:
    point = Point(x=1, at=datetime(2013, 1, 1, tzinfo=UTC), tags=("a",))
    assert decode(encode(point), Point) == point
    with pytest.raises(AttributeError):
        point.x = 2  # type: ignore[misc]


def test_a_record_from_a_newer_version_is_read_without_what_is_new() -> None:
    assert decode(b'{"x":1,"at":"2013-01-01T00:00:00Z","colour":"red"}', Point).x == 1


@pytest.mark.parametrize("data", [b"", b"{", b'{"x":"1"}', b"[]", b"\xff", b'{"x":1}'])
def test_damaged_bytes_are_a_corrupt_record(data: bytes) -> None:
    with pytest.raises(CorruptRecord):
        decode(data, Point)


INSTANTS = st.datetimes(
    datetime(1, 1, 2),
    datetime(9999, 12, 30),
    timezones=st.integers(-720, 720).map(lambda m: timezone(timedelta(minutes=m))),
)


@given(INSTANTS)
def test_microseconds_are_exact_both_ways(instant: datetime) -> None:
    assert from_micros(to_micros(instant)) == instant
    assert as_utc(instant) == instant
    assert as_utc(instant).tzinfo is UTC


@given(INSTANTS, INSTANTS)
def test_microseconds_order_as_instants_do(left: datetime, right: datetime) -> None:
    assert (left < right) == (to_micros(left) < to_micros(right))


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(UserError, match="no time zone"):
        SimulatedClock(datetime(2013, 1, 1))


def test_a_simulated_clock_never_goes_back() -> None:
    clock = SimulatedClock(datetime(2013, 1, 2, tzinfo=UTC))
    clock.set(datetime(2013, 1, 1, tzinfo=UTC))
    assert clock.now() == datetime(2013, 1, 2, tzinfo=UTC)
    clock.advance(timedelta(hours=1))
    assert clock.now().hour == 1


def test_the_system_clock_speaks_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}", fullmatch=True)


@given(st.sampled_from(["model", "run", "blob"]), NAMES, st.none() | st.integers(0, 99))
def test_a_ref_comes_apart_as_it_was_put_together(kind: str, name: str, version: int | None) -> None:
    assert split_ref(make_ref(kind, name, version)) == (kind, name, None if version is None else str(version))


@pytest.mark.parametrize("ref", ["", "model", "model/", "/flights"])
def test_what_is_no_ref_is_refused(ref: str) -> None:
    with pytest.raises(BadName):
        split_ref(ref)


@given(NAMES)
def test_a_good_name_is_itself(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "a/b", "a b", "a" * 129, "ñ", "a\n", "../x"])
def test_a_name_that_a_path_or_url_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        check_name(name)
