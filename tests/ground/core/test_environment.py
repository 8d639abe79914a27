"""What is recorded of an environment: content that does not depend on who installed it, and no secret of an address."""

from __future__ import annotations

import json
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from bucle.ground.core import Environment, Machine, decode, encode, environment


def installed(folder: Path, record: list[str], direct_url: dict[str, object] | None = None) -> PathDistribution:
    own = folder / "some_thing-1.2.post1.dist-info"
    own.mkdir(parents=True)
    (own / "METADATA").write_text("Metadata-Version: 2.1\nName: Some.Thing\nVersion: 1.2.post1\n")
    (own / "RECORD").write_text("\n".join(record) + "\n")
    if direct_url:
        (own / "direct_url.json").write_text(json.dumps(direct_url))
    return PathDistribution(own)


def looked_at(monkeypatch: pytest.MonkeyPatch, *found: PathDistribution) -> Environment:
    monkeypatch.setattr("importlib.metadata.distributions", lambda: iter(found))
    return environment.__wrapped__()  # type: ignore[no-any-return]


WHEEL = ["some/a.py,sha256=AAA,10", "some/b.so,sha256=BBB,20", "some_thing-1.2.post1.dist-info/METADATA,sha256=C,3"]


def test_the_same_wheel_has_the_same_content_whoever_installed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = [
        "../../../bin/some,sha256=xyz,230",
        "some_thing-1.2.post1.dist-info/INSTALLER,sha256=pip,4",
        "some_thing-1.2.post1.dist-info/RECORD,,",
        "some/__pycache__/a.cpython-311.pyc,,",
        *WHEEL,
    ]
    uv = [*reversed(WHEEL), "some_thing-1.2.post1.dist-info/uv_cache.json,sha256=q,1"]
    one, other = (
        looked_at(monkeypatch, installed(tmp_path / name, record)) for name, record in (("pip", pip), ("uv", uv))
    )
    assert one.packages == {"some-thing": "1.2.post1"}
    assert one.contents == other.contents != {}
    assert one.digest == other.digest


def test_another_build_of_the_same_version_is_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = looked_at(monkeypatch, installed(tmp_path / "one", WHEEL))
    other = looked_at(monkeypatch, installed(tmp_path / "two", [*WHEEL[:1], "some/b.so,sha256=ZZZ,20", *WHEEL[2:]]))
    assert one.packages == other.packages
    assert one.digest != other.digest


def test_where_a_package_came_from_is_told_without_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url: dict[str, object] = {
        "url": "https://ana:secret@example.org/some.git",
        "vcs_info": {"vcs": "git", "commit_id": "abc"},
    }
    found = looked_at(monkeypatch, installed(tmp_path, WHEEL, url))
    assert found.origins == {"some-thing": "git+https://example.org/some.git@abc"}
    assert found.lock() == "some-thing @ git+https://example.org/some.git@abc\n"


def test_what_is_edited_has_no_content_and_a_plain_pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url: dict[str, object] = {"url": "file:///home/ana/some", "dir_info": {"editable": True}}
    found = looked_at(monkeypatch, installed(tmp_path, WHEEL, url))
    assert found.contents == {}
    assert found.lock() == "some-thing==1.2.post1  # file:///home/ana/some\n"


def test_the_first_of_two_installed_versions_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = installed(tmp_path / "one", WHEEL)
    second = installed(tmp_path / "two", WHEEL)
    assert list(looked_at(monkeypatch, first, second).packages) == ["some-thing"]


def test_the_machine_is_told_and_makes_no_other_environment() -> None:
    here = environment()
    elsewhere = Environment(
        python=here.python,
        implementation=here.implementation,
        system=here.system,
        packages=here.packages,
        contents=here.contents,
        machine=Machine(os="another"),
    )
    assert here.machine is not None
    assert here.machine.cores >= 1
    assert elsewhere.digest == here.digest
    assert decode(encode(here), Environment) == here
