"""Hooks: what is asked before a branch moves, and told afterwards."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bucle.ground.core import ConfigError
from bucle.ground.project import Project
from bucle.line import data


def rows(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"x": list(values)})


def opened(root: Path, hooks: str, module: str = "") -> Project:
    (root / "bucle.toml").write_text(f'[project]\nname = "h"\n{hooks}')
    (root / f"watch_{root.name.replace('-', '_')}.py").write_text(module)
    return Project.open(root, actor="ana")


@pytest.fixture
def module(tmp_path: Path) -> str:
    return f"watch_{tmp_path.name.replace('-', '_')}"


def test_a_function_sees_the_rows_before_anybody_else_and_may_refuse(tmp_path: Path, module: str) -> None:
    project = opened(
        tmp_path,
        f'[data.hooks.positive]\non = "pre-commit"\nbranch = "main"\nrun = "{module}:check"\n',
        "from bucle.line import data\n"
        "def check(project, proposal):\n"
        "    rows = data.scan(project, 't', at=proposal.commit)\n"
        "    if (rows['x'] < 0).any():\n"
        "        return f'{proposal.tables[0]} has a negative x'\n",
    )
    first = data.commit(project, {"t": rows(1)}, message="fine")
    with pytest.raises(data.HookRefused, match=r"positive.*t has a negative x"):
        data.commit(project, {"t": rows(-1)}, message="not fine")
    assert data.resolve(project).id == first.id
    data.create_branch(project, "trial")
    data.commit(project, {"t": rows(-2)}, branch="trial", message="nobody watches here")
    told = next(iter(project.ledger.events(kinds=["data.hook_refused"])))
    assert told.data["hook"] == "positive"
    assert data.scan(project, "t", at=str(told.data["commit"]))["x"].to_list() == [1, -1]


def test_a_merge_has_hooks_of_its_own_and_what_raises_refuses(tmp_path: Path, module: str) -> None:
    project = opened(
        tmp_path,
        f'[data.hooks.gate]\non = "pre-merge"\nrun = "{module}:check"\n',
        "def check(project, proposal):\n    raise RuntimeError('closed on Sundays')\n",
    )
    data.commit(project, {"t": rows(1)}, message="start")
    data.create_branch(project, "trial")
    data.commit(project, {"t": rows(2)}, branch="trial", message="there")
    with pytest.raises(data.HookRefused, match="RuntimeError: closed on Sundays"):
        data.merge(project, "trial", message="both")
    assert data.scan(project, "t")["x"].to_list() == [1]


def test_a_hook_afterwards_is_told_and_cannot_undo(tmp_path: Path, module: str) -> None:
    project = opened(
        tmp_path,
        f'[data.hooks.note]\non = "post-commit"\nrun = "{module}:note"\n',
        "seen = []\n"
        "def note(project, proposal):\n"
        "    seen.append((proposal.branch, proposal.parent, proposal.commit))\n"
        "    raise ValueError('too late')\n",
    )
    made = data.commit(project, {"t": rows(1)}, message="start")
    assert project.module(module).seen == [("main", "", made.id)]
    failed = next(iter(project.ledger.events(kinds=["data.hook_failed"])))
    assert (failed.data["hook"], failed.data["problem"]) == ("note", "ValueError: too late")
    assert data.resolve(project).id == made.id


@pytest.mark.parametrize("moment", ["pre-commit", "post-commit"])
def test_a_hook_that_commits_where_it_watches_does_not_go_round_for_ever(
    tmp_path: Path, module: str, moment: str
) -> None:
    project = opened(
        tmp_path,
        f'[data.hooks.round]\non = "{moment}"\nrun = "{module}:again"\n',
        "import polars as pl\n"
        "from bucle.line import data\n"
        "def again(project, proposal):\n"
        "    data.commit(project, {'u': pl.DataFrame({'x': [1]})}, message='from the hook')\n",
    )
    if moment == "pre-commit":
        with pytest.raises(data.HookCycle, match="round"):
            data.commit(project, {"t": rows(1)}, message="start")
        assert data.log(project) == []
    else:
        data.commit(project, {"t": rows(1)}, message="start")
        assert [one.message for one in data.log(project)] == ["from the hook", "start"]
        told = list(project.ledger.events(kinds=["data.hook_failed"]))
        assert len(told) == 1
        assert "again" in str(told[0].data["problem"])


class _Address:
    """A server that answers what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], bytes]] = []
        self.status, self.answer = 200, b""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append((dict(self.headers), body))
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.answer)))
                self.end_headers()
                self.wfile.write(outer.answer)

            def log_message(self, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/check"


@pytest.fixture
def address() -> Iterator[_Address]:
    made = _Address()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_an_address_is_asked_with_a_signature(
    tmp_path: Path, address: _Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_KEY", "s3cret")
    project = opened(tmp_path, f'[data.hooks.far]\non = "pre-commit"\nurl = "{address.url}"\nsecret_env = "HOOK_KEY"\n')
    made = data.commit(project, {"t": rows(1)}, message="start")
    headers, body = address.asked[0]
    assert headers["Bucle-Signature"] == f"sha256={hmac.new(b's3cret', body, hashlib.sha256).hexdigest()}"
    proposal = json.loads(body)
    assert (proposal["commit"], proposal["branch"], proposal["tables"]) == (made.id, "main", ["t"])
    address.status, address.answer = 422, b"x looks wrong"
    with pytest.raises(data.HookRefused, match="x looks wrong"):
        data.commit(project, {"t": rows(2)}, message="more")
    assert data.scan(project, "t")["x"].to_list() == [1]


def test_an_address_that_does_not_answer_refuses(tmp_path: Path, address: _Address) -> None:
    address.server.shutdown()
    address.server.server_close()
    project = opened(tmp_path, f'[data.hooks.far]\non = "pre-commit"\nurl = "{address.url}"\n')
    with pytest.raises(data.HookRefused, match="ConnectError"):
        data.commit(project, {"t": rows(1)}, message="start")
    assert data.log(project) == []


def test_a_commit_that_loses_the_race_asks_again_about_what_becomes_visible(tmp_path: Path, module: str) -> None:
    project = opened(
        tmp_path,
        f'[data.hooks.slow]\non = "pre-commit"\nbranch = "main"\nrun = "{module}:check"\n',
        "from bucle.line import data\n"
        "import polars as pl\n"
        "asked = []\n"
        "def check(project, proposal):\n"
        "    asked.append(proposal.parent)\n"
        "    if len(asked) == 1:\n"
        "        data.merge(project, 'trial', message='between')\n",
    )
    data.create_branch(project, "trial")
    between = data.commit(project, {"u": rows(5)}, branch="trial", message="there")
    data.commit(project, {"t": rows(1)}, message="start")
    assert project.module(module).asked == ["", between.id]
    assert data.tables(project) == ["t", "u"]


@pytest.mark.parametrize(
    ("hooks", "error"),
    [
        ('[data.hooks.a]\non = "pre-commit"\n', data.BadHook),
        ('[data.hooks.a]\non = "pre-commit"\nrun = "m:f"\nurl = "http://x"\n', data.BadHook),
        ('[data.hooks.a]\non = "pre-commit"\nrun = "nothing"\n', data.BadHook),
        ('[data.hooks.a]\non = "pre-commit"\nurl = "file:///etc/passwd"\n', data.BadHook),
        ('[data.hooks.a]\non = "sometimes"\nrun = "m:f"\n', ConfigError),
        ('[data.hooks.a]\non = "pre-commit"\nrun = "no_such_module_here:f"\n', data.HookRefused),
    ],
    ids=["nothing", "both", "no-function", "no-http", "no-moment", "no-module"],
)
def test_a_hook_that_cannot_work_keeps_everything_out(tmp_path: Path, hooks: str, error: type[Exception]) -> None:
    project = opened(tmp_path, hooks)
    with pytest.raises(error):
        data.commit(project, {"t": rows(1)}, message="start")
    assert data.log(project) == []
