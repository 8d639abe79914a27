"""Environments compared, kept, locked and made again; what cannot be made says why."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground.core import BadName, Environment, Machine, environment
from bucle.ground.project import Project
from bucle.line import environments
from bucle.line.environments import Difference, uv

names = st.sampled_from(["numpy", "polars", "bucle", "xgboost"])
versions = st.dictionaries(names, st.sampled_from(["1.0", "2.0"]))


def env(packages: dict[str, str], contents: dict[str, str] | None = None, **fields: object) -> Environment:
    given = {"python": "3.11.7", "implementation": "CPython", "system": "Linux-x86_64", **fields}
    return Environment(packages=packages, contents=contents or {}, **given)  # type: ignore[arg-type]


@given(versions, versions)
def test_no_difference_that_counts_exactly_when_the_digests_are_equal(
    left: dict[str, str], right: dict[str, str]
) -> None:
    found = environments.diff(env(left), env(right))
    assert (not [one for one in found if one.counts]) == (env(left).digest == env(right).digest)
    back = environments.diff(env(right), env(left))
    assert [(one.name, one.right, one.left) for one in back] == [(one.name, one.left, one.right) for one in found]


def test_each_kind_of_difference_is_told() -> None:
    left = env({"a": "1", "b": "1", "c": "1"}, {"a": "f" * 64}, machine=Machine(os="Debian", cores=2))
    right = env({"a": "1", "b": "2"}, {"a": "e" * 64}, machine=Machine(os="Alpine", cores=2), python="3.12.1")
    assert environments.diff(left, right) == [
        Difference(part="python", name="python", left="3.11.7", right="3.12.1"),
        Difference(part="package", name="b", left="1", right="2"),
        Difference(part="package", name="c", left="1", right=""),
        Difference(part="build", name="a", left="f" * 12, right="e" * 12),
        Difference(part="machine", name="os", left="Debian", right="Alpine"),
    ]


def test_an_environment_is_kept_under_a_name_and_the_newest_counts(any_project: Project) -> None:
    project = any_project
    environments.keep(project, "prod", env({"a": "1"}), {"server.port": "80"})
    environments.keep(project, "dev", env({"a": "2"}), {"server.port": "4242"})
    environments.keep(project, "prod", env({"a": "2"}), {"server.port": "80"})
    assert list(environments.kept(project)) == ["dev", "prod"]
    dev, prod = (environments.kept_named(project, name) for name in ("dev", "prod"))
    assert [(one.part, one.name, one.left, one.right) for one in environments.compare(dev, prod)] == [
        ("setting", "server.port", "4242", "80")
    ]
    assert len(project.ledger.events(kinds=["environments.kept"])) == 3
    with pytest.raises(environments.NoSuchEnvironment, match="Did you mean"):
        environments.kept_named(project, "prob")
    with pytest.raises(BadName):
        environments.keep(project, "a b", env({}), {})


def test_requirements_are_locked_with_hashes_and_contradictions_are_told() -> None:
    text = environments.locked("packaging>=24,<26\n", "3.11")
    assert text.startswith("packaging==")
    assert "--hash=sha256:" in text
    assert text == environments.locked("packaging>=24,<26\n", "3.11")
    with pytest.raises(environments.NotLocked, match="packaging"):
        environments.locked("packaging>=24\npackaging<20\n", "3.11")


def test_what_cannot_be_made_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("packaging==25.0 --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(environments.NotBuilt, match="Hash mismatch"):
        environments.build_from_lock(lock, tmp_path / "made", python="3.11")
    lock.write_text("packaging==25.0\n")
    with pytest.raises(environments.NotBuilt, match="bucle"):
        environments.build_from_lock(lock, tmp_path / "made", python="3.11")
    with pytest.raises(environments.NotBuilt, match="cannot be read"):
        environments.build_from_lock(tmp_path / "none", tmp_path / "made", python="3.11")
    with pytest.raises(environments.NotBuilt, match=r"3\.3"):
        environments.build(env({}, python="3.3.99"), tmp_path / "made")
    assert not list((tmp_path / "made").glob("*/bucle-environment.json"))


def test_without_uv_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(environments.UvMissing, match="uv is not installed") as caught:
        uv.run_uv("--version")
    assert caught.value.fix == "pip install 'bucle[env]'"


def test_a_python_is_looked_at_from_outside(tmp_path: Path) -> None:
    found = environments.interpreter_at(Path(sys.executable))
    assert found.environment.digest == environment().digest
    assert Path(found.python).samefile(sys.executable)
    with pytest.raises(environments.NotBuilt, match="none"):
        environments.interpreter_at(tmp_path / "none")


@pytest.mark.full
def test_this_environment_is_made_again_with_the_same_content_of_every_package(tmp_path: Path) -> None:
    here = environment()
    made = environments.build(here, tmp_path)
    assert made.environment.digest == here.digest
    assert not [one for one in environments.diff(here, made.environment) if one.counts]
    assert environments.build(here, tmp_path) == made
    some = next(iter(here.contents))
    other = Environment(
        python=here.python,
        implementation=here.implementation,
        system=here.system,
        packages=here.packages,
        contents={**here.contents, some: "0" * 64},
        origins=here.origins,
    )
    with pytest.raises(environments.EnvironmentDiffers, match=some):
        environments.build(other, tmp_path)
