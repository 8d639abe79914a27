from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground.ledger.merkle import EMPTY_ROOT, Frontier, leaf_hash

# The entries and roots of the reference implementation's tests:
# https://github.com/google/certificate-transparency/blob/master/python/ct/crypto/merkle_test.py
ENTRIES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")] + [
    bytes(range(0x60, 0x70))
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def naive(entries: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return sha256(b"\x01" + naive(entries[:split]) + naive(entries[split:])).digest()


def grown(entries: list[bytes]) -> Frontier:
    frontier = Frontier()
    for entry in entries:
        frontier.append(leaf_hash(entry))
    return frontier


def test_the_empty_list_has_the_published_root() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Frontier().root() == EMPTY_ROOT


@pytest.mark.parametrize("size", range(1, 9))
def test_the_roots_are_those_of_the_published_vectors(size: int) -> None:
    assert grown(ENTRIES[:size]).root().hex() == ROOTS[size - 1]


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_the_root_is_the_recursive_definitions(entries: list[bytes]) -> None:
    assert grown(entries).root() == naive(entries)


@given(st.lists(st.binary(max_size=4), max_size=70), st.data())
def test_a_frontier_kept_and_taken_up_again_goes_on_as_if_nothing_happened(
    entries: list[bytes], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(entries)))
    first = grown(entries[:cut])
    taken_up = Frontier(first.size, first.peaks)
    for entry in entries[cut:]:
        taken_up.append(leaf_hash(entry))
    assert (taken_up.size, taken_up.root()) == (len(entries), naive(entries))
    assert len(taken_up.peaks) == bin(len(entries)).count("1")


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=40), st.data())
def test_any_change_of_the_past_changes_the_root(entries: list[bytes], data: st.DataObject) -> None:
    changed = list(entries)
    at = data.draw(st.integers(0, len(entries) - 1))
    changed[at] = data.draw(st.binary(max_size=3).filter(lambda other: other != entries[at]))
    assert grown(changed).root() != grown(entries).root()


@given(st.lists(st.binary(max_size=3), min_size=2, max_size=40, unique=True), st.randoms())
def test_another_order_has_another_root(entries: list[bytes], random: object) -> None:
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert (grown(shuffled).root() == grown(entries).root()) == (shuffled == entries)


def test_a_leaf_is_never_a_node() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != grown([b"a", b"b"]).root()
