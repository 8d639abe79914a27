"""A step over files: what is new is computed, the rest is taken over, what is gone goes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.project import Project
from bucle.line import data, datums
from bucle.line.pipelines import StepFailed

CODE = """
from bucle.ground.project import Project
from bucle.line.datums import Datum
from bucle.line.pipelines import step

SIGN = "!"


@step
def upper(project: Project, datum: Datum) -> dict[str, bytes]:
    with open({side!r}, "a") as side:
        side.write(datum.name + "\\n")
    text = b"".join(datum.read(project, path) for path in datum.files)
    if text == b"bad":
        raise ValueError("bad")
    return {{datum.name.replace("/", "_"): text.upper() + SIGN.encode()}}


@step
def same(datum: Datum) -> dict[str, bytes]:
    return {{"one": datum.name.encode()}}


@step
def outside(datum: Datum) -> dict[str, bytes]:
    return {{"../x": b""}}


@step
def nested(datum: Datum) -> dict[str, bytes]:
    name = datum.name.rpartition("/")[2]
    return {{"x" if name == "a" else "x/y": b""}}


@step
def unnamed(datum: Datum) -> dict[str, bytes]:
    return {{"": b"x"}}


@step
def number(datum: Datum) -> int:
    return 1
"""


class Lake:
    """A project with [datums.loud], and what its step was called for."""

    def __init__(self, root: Path, side: Path) -> None:
        self.root, self.side = root, side
        self.project = Project.open(root)

    def call(self, code: str, over: str = '"in/*"', step: str = "upper", more: str = "") -> None:
        (self.root / "steps.py").write_text(textwrap.dedent(code).format(side=str(self.side)))
        text = f'[project]\nname = "p"\n\n[datums.loud]\nstep = "steps:{step}"\nover = {over}\ninto = "out"\n{more}'
        (self.root / "bucle.toml").write_text(text)
        self.project.close()
        sys.modules.pop("steps", None)
        self.project = Project.open(self.root)

    def put(self, **files: str | None) -> None:
        told = {f"in/{name}": None if text is None else text.encode() for name, text in files.items()}
        data.commit(self.project, {}, files=told, message="files")

    def run(self) -> tuple[datums.Processed, list[str]]:
        self.side.unlink(missing_ok=True)
        done = datums.process(self.project, "loud")
        return done, sorted(self.side.read_text().split()) if self.side.exists() else []

    def out(self) -> dict[str, str]:
        tree = data.files(self.project)
        return {path[4:]: data.read_file(self.project, path).decode() for path in tree if path.startswith("out/")}


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    root = tmp_path / "p"
    root.mkdir()
    (root / "bucle.toml").write_text('[project]\nname = "p"\n')
    made = Lake(root, tmp_path / "side")
    made.call(CODE)
    yield made
    made.project.close()


def test_only_what_is_new_is_computed_and_what_is_gone_goes(lake: Lake) -> None:
    lake.put(a="one", b="two")
    first, ran = lake.run()
    assert (ran, lake.out()) == (["in/a", "in/b"], {"in_a": "ONE!", "in_b": "TWO!"})
    assert (first.datums, first.new, first.gone, first.files) == (2, 2, 0, 2)
    assert lake.run()[0] == first.__class__(**{**_fields(first), "new": 0, "execution": "", "source": first.commit})
    lake.put(a="three", c="four", b=None)
    second, ran = lake.run()
    assert (ran, lake.out()) == (["in/a", "in/c"], {"in_a": "THREE!", "in_c": "FOUR!"})
    assert (second.datums, second.new, second.gone) == (2, 2, 2)
    assert data.read_file(lake.project, "out/in_b", first.commit) == b"TWO!"


def _fields(record: datums.Processed) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def test_other_code_computes_all_anew(lake: Lake) -> None:
    lake.put(a="one", b="two")
    lake.run()
    lake.call(CODE.replace('SIGN = "!"', 'SIGN = "?"'))
    assert lake.run()[1] == ["in/a", "in/b"]
    assert lake.out() == {"in_a": "ONE?", "in_b": "TWO?"}


def test_what_failed_is_told_and_the_rest_is_not_computed_twice(lake: Lake) -> None:
    lake.put(a="one")
    lake.run()
    lake.put(b="bad", c="three")
    before = data.resolve(lake.project).id
    with pytest.raises(StepFailed, match="bad"):
        lake.run()
    assert data.resolve(lake.project).id == before
    lake.put(b="good")
    assert "in/a" not in lake.run()[1]
    assert lake.out() == {"in_a": "ONE!", "in_b": "GOOD!", "in_c": "THREE!"}


def test_the_folder_of_outputs_holds_nothing_else(lake: Lake) -> None:
    lake.put(a="one")
    lake.run()
    data.commit(lake.project, {}, files={"out/stray": b"x", "out/in_a": b"edited"}, message="by hand")
    done, ran = lake.run()
    assert (ran, lake.out()) == ([], {"in_a": "ONE!"})
    assert done.new == 0


def test_outputs_are_no_inputs(lake: Lake) -> None:
    lake.call(CODE, over='"*/*"')
    lake.put(a="one")
    lake.run()
    assert lake.run()[1] == []


def test_a_file_names_its_datum(lake: Lake) -> None:
    lake.put(a="one", b="two")
    first, _ = lake.run()
    lake.put(b="three")
    second, _ = lake.run()
    found = datums.origin_of(lake.project, "out/in_b")
    assert (found.name, found.datum, found.execution) == ("loud", "in/b", second.execution)
    assert found.inputs == {"in/b": data.files(lake.project)["in/b"].digest}
    assert datums.origin_of(lake.project, "out/in_a").execution == first.execution
    assert datums.origin_of(lake.project, "out/in_b", first.commit).execution == first.execution
    with pytest.raises(datums.NoDatum):
        datums.origin_of(lake.project, "in/a")
    with pytest.raises(data.NoSuchFile):
        datums.origin_of(lake.project, "out/none")
    edges = {(edge.source, edge.target) for edge in lake.project.ledger.lineage(f"commit/{second.commit}")}
    assert (f"execution/{second.execution}", f"commit/{second.commit}") in edges


@pytest.mark.parametrize(
    ("step", "over", "error"),
    [
        ("same", '"in/*"', datums.DatumClash),
        ("outside", '"in/*"', datums.DatumClash),
        ("unnamed", '"in/*"', StepFailed),
        ("number", '"in/*"', datums.BadDatums),
        ("missing", '"in/*"', datums.BadDatums),
        ("upper", '"in/("', datums.BadDatums),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_visible(
    lake: Lake, step: str, over: str, error: type[Exception]
) -> None:
    lake.call(CODE, step=step, over=over)
    lake.put(a="one", b="two")
    before = data.resolve(lake.project).id
    with pytest.raises(error):
        lake.run()
    assert data.resolve(lake.project).id == before


def test_two_may_not_share_a_folder(lake: Lake) -> None:
    lake.call(CODE, more='[datums.more]\nstep = "steps:same"\nover = "in/*"\ninto = "out/more"\n')
    with pytest.raises(datums.BadDatums, match="among those"):
        lake.run()
    lake.call(CODE)
    with pytest.raises(datums.NoSuchDatums):
        datums.process(lake.project, "lout")


def test_a_branch_has_outputs_of_its_own(lake: Lake) -> None:
    lake.put(a="one")
    lake.run()
    data.create_branch(lake.project, "dev")
    lake.call(CODE, more='branch = "dev"\n')
    data.commit(lake.project, {}, files={"in/b": b"two"}, branch="dev", message="more")
    assert lake.run()[1] == ["in/b"]
    assert lake.out() == {"in_a": "ONE!"}
    data.merge(lake.project, "dev", message="both")
    assert lake.out() == {"in_a": "ONE!", "in_b": "TWO!"}


def test_from_the_command_line(lake: Lake) -> None:
    lake.put(a="one")

    def bucle(*words: str) -> str:
        command = [sys.executable, "-m", "bucle", "datums", *words]
        return subprocess.run(command, cwd=lake.root, check=True, capture_output=True, text=True).stdout

    assert "loud" in bucle("run")
    assert "steps:upper" in bucle("list")
    assert "in/a" in bucle("origin", "out/in_a")


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", "y", None]), min_size=1), max_size=4))
def test_whatever_came_before_the_outputs_are_those_of_a_first_run(
    lake: Lake, changes: list[dict[str, str | None]]
) -> None:
    expected = dict[str, str]()
    data.commit(lake.project, {}, files={**dict.fromkeys(["in/a", "in/b", "in/c"]), "other": b"x"}, message="anew")
    for change in changes:
        lake.put(**change)
        for name, text in change.items():
            expected.pop(f"in_{name}", None)
            expected |= {} if text is None else {f"in_{name}": text.upper() + "!"}
        lake.run()
        assert lake.out() == expected


def test_outputs_below_a_file_are_refused(lake: Lake) -> None:
    lake.put(a="1", b="2")
    lake.call(CODE, step="nested")
    head = data.resolve(lake.project).id
    with pytest.raises(datums.DatumClash, match="'out/x'"):
        lake.run()
    assert data.resolve(lake.project).id == head
    lake.call(CODE)
    data.commit(lake.project, {}, files={"out": b"a file"}, message="in the way")
    with pytest.raises(datums.DatumClash, match="'out'"):
        lake.run()
    assert not lake.side.exists()  # nothing was computed in vain
