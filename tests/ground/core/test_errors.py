from __future__ import annotations

import importlib
import pickle
import pkgutil

import pytest

import bucle
from bucle.ground.core import (
    BucleError,
    ConfigError,
    NotAllowed,
    NotFound,
    Refused,
    StateError,
    StoreError,
    UserError,
    catalogue,
    suggest,
)

BRANCHES = (UserError, NotFound, NotAllowed, Refused, StateError, StoreError)
ROOMS = {
    "core": "01",
    "code": "01",
    "project": "01",
    "store": "02",
    "ledger": "03",
    "keys": "19",
    "governance": "04",
    **dict.fromkeys(("contracts", "cleaning", "files", "data"), "05"),
    "features": "06",
    "pipelines": "07",
    **dict.fromkeys(("tracking", "tracing", "evaluation", "client"), "08"),
    "registry": "09",
    "gates": "10",
    "serving": "11",
    "deploy": "12",
    "monitoring": "13",
    "llm": "14",
    "loop": "15",
    "doors": "16",
    "query": "17",
    "sources": "18",
    "datums": "20",
    "environments": "21",
}


def every_error() -> list[type[BucleError]]:
    """All errors of all rooms, whatever order tests run in."""
    for module in pkgutil.walk_packages(bucle.__path__, "bucle."):
        if module.name.rpartition(".")[2] == "errors":
            importlib.import_module(module.name)
    found, waiting = [], [BucleError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return [kind for kind in found if kind.__module__.startswith("bucle.")]


def test_every_error_hangs_on_one_branch_or_is_a_failure_of_ours() -> None:
    for kind in every_error():
        branches = sum(issubclass(kind, branch) for branch in BRANCHES)
        assert branches == 1 or (branches == 0 and (kind.exit_status, kind.http_status) == (1, 500)), kind


def test_every_error_has_a_code_of_its_room_and_of_its_own() -> None:
    codes: dict[str, str] = {}
    for kind in every_error():
        if "code" not in kind.__dict__:
            continue
        assert codes.setdefault(kind.code, kind.__qualname__) == kind.__qualname__
        storey, room = kind.__module__.split(".")[1:3]
        room = storey if storey in {"loop", "doors"} else room
        assert kind.code.startswith(f"BU{ROOMS[room]}"), (kind, room)
        assert len(kind.code) == 6
    assert set(codes) <= set(catalogue())


def test_every_error_says_in_its_docstring_what_it_is() -> None:
    assert [kind for kind in every_error() if not kind.__doc__] == []


def test_the_exit_status_says_which_kind() -> None:
    assert {branch: branch.exit_status for branch in BRANCHES} == {
        UserError: 2,
        NotFound: 3,
        NotAllowed: 4,
        Refused: 5,
        StateError: 6,
        StoreError: 1,
    }


def test_the_message_has_three_parts() -> None:
    error = NotFound("No model 'x'.", why="It was never made.", fix="bucle model list", at="model")
    assert str(error) == "[BU0102] No model 'x'. It was never made. Fix: bucle model list"
    assert error.as_dict() == {
        "code": "BU0102",
        "what": "No model 'x'.",
        "why": "It was never made.",
        "fix": "bucle model list",
        "at": "model",
    }


def test_an_error_crosses_a_process_border_whole() -> None:
    error = ConfigError("bad", why="so", fix="mend", at="a.b")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is ConfigError
    assert again.as_dict() == error.as_dict()


def test_two_errors_cannot_share_a_code() -> None:
    with pytest.raises(TypeError, match="BU0102"):
        type("Another", (UserError,), {"code": "BU0102"})
    assert catalogue()["BU0102"] is NotFound


@pytest.mark.parametrize(
    ("given", "sentence"),
    [("fruade", "Did you mean 'fraude'?"), ("zzz", ""), ("", ""), ("Churn", "Did you mean 'churn'?")],
)
def test_a_near_miss_is_offered(given: str, sentence: str) -> None:
    assert suggest(given, ["fraude", "churn"]) == sentence
