"""Listing: whatever the keys, page size, prefix and delimiter, the pages together are what a plain reading says."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.doors.protocols.s3.listing import listing, listing_v1
from bucle.doors.protocols.s3.wire import Call
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.files import FOLDER, FileEntry

PARTS = st.text("ab-/é", min_size=1, max_size=6).map(lambda text: re.sub("/+", "/", text).strip("/")).filter(bool)
ENTRY = FileEntry(digest="0" * 64, size_bytes=1)


def keys_of(paths: dict[str, FileEntry]) -> list[str]:
    return sorted(f"main/{path}/" if entry.mode == FOLDER else f"main/{path}" for path, entry in paths.items())


def expected(keys: list[str], prefix: str, delimiter: str) -> list[str]:
    found = list[str]()
    for key in keys:
        if key.startswith(prefix):
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            shown = key if end < 0 else key[: end + 1]
            if shown not in found:
                found.append(shown)
    return found


def shown(body: bytes) -> tuple[list[str], str]:
    root = ElementTree.fromstring(body)
    for one in root.iter():
        one.tag = one.tag.rpartition("}")[2]
    found = [one.findtext("Key") or "" for one in root.findall("Contents")]
    found += [one.findtext("Prefix") or "" for one in root.findall("CommonPrefixes")]
    following = root.findtext("NextContinuationToken") or root.findtext("NextMarker") or ""
    assert (root.findtext("IsTruncated") == "true") == bool(following)
    return sorted(found), following


@pytest.fixture
def call(project: Project) -> Any:
    def make(**query: str) -> Call:
        named = {name.replace("_", "-"): value for name, value in query.items()}
        return Call(project, "GET", "test", "", named, {}, "eva", None)  # type: ignore[arg-type]

    return make


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(PARTS, st.sampled_from([0o644, FOLDER]), max_size=12),
    st.sampled_from(["", "main/", "main/a", "main/a/", "main/a-"]),
    st.sampled_from(["", "/", "-"]),
    st.integers(1, 4),
)
def test_pages_together_are_the_whole(  # noqa: PLR0917  hypothesis gives them so
    project: Project, call: Any, tree: dict[str, int], prefix: str, delimiter: str, size: int
) -> None:
    present = data.head_of(project, "main")
    there = dict.fromkeys(data.files(project)) if present else {}
    made = {path: FileEntry(ENTRY.digest, 1, mode) for path, mode in tree.items()}
    made = {
        path: entry
        for path, entry in made.items()
        if not any(other.startswith(f"{path}/") for other in made)
    }  # fmt: skip
    data.change_files(project, {**there, "z": ENTRY}, message="clean")
    data.change_files(project, made, message="made")
    wanted = expected(keys_of(data.files(project)), prefix, delimiter)
    for do, name in ((listing, "continuation_token"), (listing_v1, "marker")):
        found, token = list[str](), ""
        while True:
            more = {name: token} if token else {}
            page, token = shown(do(call(prefix=prefix, delimiter=delimiter, max_keys=str(size), **more)).body)
            assert len(page) <= size
            found += page
            if not token:
                break
        assert found == wanted, (do, name)


def test_a_page_of_a_long_tree_reads_few_blobs(
    project: Project, call: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data.change_files(project, {f"d{n // 1000:03d}/f{n:06d}": ENTRY for n in range(60_000)}, message="many")
    project.close()
    again = Project.open(project.root, clock=project.clock, actor="ana")
    read, get = list[str](), again.blobs.get
    monkeypatch.setattr(again.blobs, "get", lambda digest: read.append(digest) or get(digest))
    try:
        asked = call(prefix="main/d030/", max_keys="1000")
        asked.project = again
        assert len(shown(listing(asked).body)[0]) == 1000
        assert len(read) < 12
        folders = call(prefix="main/", delimiter="/")
        folders.project = again
        assert len(shown(listing(folders).body)[0]) == 60
    finally:
        again.close()


def test_when_an_object_was_last_changed(project: Project, call: Any) -> None:
    def told() -> dict[str, str]:
        text = listing(call(prefix="main/")).body.decode()
        return dict(re.findall("<Key>main/(.*?)</Key><LastModified>(.*?)</LastModified>", text))

    data.commit(project, {}, files={"old": b"1"}, message="one")
    first = told()["old"]
    for number in range(3):
        project.clock.advance(timedelta(minutes=1))  # type: ignore[attr-defined]
        data.commit(project, {}, files={"new": b"%d" % number}, message="more")
        assert told()["old"] == first
    assert told()["new"] > first
