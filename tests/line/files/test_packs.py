"""The store of contents: what went in comes out, once, in whatever order and from however many packs."""

import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bucle.ground.core import digest_of
from bucle.ground.store import FolderObjects
from bucle.line.files import LARGE_BYTES, FarPacks, Packs, filling

CONTENTS = st.one_of(
    st.binary(max_size=100),
    st.builds(
        lambda seed, count: random.Random(seed).randbytes(count),
        st.integers(0, 3),
        st.sampled_from([LARGE_BYTES - 1, LARGE_BYTES, 3 * LARGE_BYTES + 17]),
    ),
)
ADDS = st.lists(st.lists(CONTENTS, max_size=4), min_size=1, max_size=4)


def add(packs: Packs, folder: Path, contents: list[bytes]) -> None:
    with filling(packs) as filler:
        for number, content in enumerate(contents):
            file = folder / str(number)
            file.write_bytes(content)
            assert filler.put_path(str(file), len(content)) == (digest_of(content), len(content))
        filler.settle()


def size_of(packs: Packs) -> int:
    return sum(length for _, _, length in packs.listed.places.values())


@given(adds=ADDS, chosen=st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_any_order_of_adds_keeps_the_same_contents_once(adds: list[list[bytes]], chosen: random.Random) -> None:
    with tempfile.TemporaryDirectory() as one:
        root = Path(one)
        here, other = Packs(root / "here"), Packs(root / "other")
        for contents in adds:
            add(here, root, contents)
        flat = [content for contents in adds for content in contents]
        chosen.shuffle(flat)
        for content in flat:
            add(other, root, [content])
        assert set(here.listed.places) == set(other.listed.places)
        assert size_of(here) == size_of(other)
        whole = {content for content in flat if len(content) < LARGE_BYTES}
        assert sum(map(len, whole)) <= size_of(here) <= sum(map(len, set(flat)))
        fresh = Packs(root / "here")
        for packs in (here, other, fresh):
            assert all(packs.find(digest_of(content)) for content in flat)
            assert all(b"".join(packs.read(digest_of(content))) == content for content in flat)
        count = len(list(here.names()))
        add(here, root, flat)
        assert len(list(here.names())) == count
        here.close()
        other.close()
        fresh.close()


@given(adds=ADDS)
@settings(max_examples=15)
def test_packs_that_were_sent_come_back_as_they_were(adds: list[list[bytes]]) -> None:
    with tempfile.TemporaryDirectory() as one:
        root = Path(one)
        far = FarPacks(FolderObjects(root / "far"), root / "lists")
        here = Packs(root / "here", far)
        for contents in adds:
            add(here, root, contents)
        again = Packs(root / "again", FarPacks(FolderObjects(root / "far"), root / "more"))
        for contents in adds:
            for content in contents:
                assert again.find(digest_of(content))
                assert b"".join(again.read(digest_of(content))) == content
        assert set(again.names()) == set(here.names())
        for name in list(here.names()):
            assert far.send(here.path(name)) in (0, here.path(name).stat().st_size) or name in far.listed.packs
            assert again.fetch(name).read_bytes() == here.path(name).read_bytes()
        here.close()
        again.close()
