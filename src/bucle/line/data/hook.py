"""Hook: a function or an address that is asked before a branch moves, or told afterwards.

Who is asked can read the proposed commit: its rows lie on the disk and it answers to its id, only no branch has it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from threading import Lock
from typing import Annotated, Any, Literal

import httpx
import msgspec

from bucle.ground.core import Record, Section, encode, make_ref
from bucle.ground.keys import EncryptionSection
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.commit import Commit
from bucle.line.data.errors import BadHook, HookCycle, HookRefused
from bucle.line.data.zone import Zone

__all__ = ["DataSection", "Hook", "Moment", "Proposal", "hooks", "hooks_at", "run_after", "run_before"]

Moment = Literal["pre-commit", "post-commit", "pre-merge", "post-merge"]

AT_ONCE = 64
"""So many calls of one hook may be under way: an address that answers by committing would never end."""

_LONGEST_ANSWER = 2000

_running: ContextVar[tuple[str, ...]] = ContextVar("bucle_hooks", default=())


class Hook(Section, frozen=True):
    """`[data.hooks.NAME]`: what is asked or told.

    Attributes:
        on: when; `pre-` may refuse, `post-` is told.
        branch: which branches; `*` stands for anything.
        run: `module:function`, a function of the project's Python that takes the project and a `Proposal`; what it
            raises, or a text it returns, refuses.
        url: an address that gets the proposal as JSON by POST; any answer but 2xx refuses.
        secret_env: the environment variable with the key that signs what is sent (header `Bucle-Signature`,
            HMAC-SHA256); empty sends no signature.
        timeout_s: seconds an address has to answer.
    """

    on: Moment
    branch: str = "*"
    run: str = ""
    url: str = ""
    secret_env: str = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0


class DataSection(Section, frozen=True):
    """`[data]`: how the lake behaves.

    Attributes:
        hooks: name -> what is asked or told when a branch moves.
        encryption: which tables are encrypted, and who holds the keys.
        zones: name -> tables that are governed alike; the first that names a table counts.
        keep_history: how long after a row's retention the commits that still hold it stay, e.g. `7d`.
    """

    hooks: dict[str, Hook] = {}
    encryption: EncryptionSection = EncryptionSection()
    zones: dict[str, Zone] = {}
    keep_history: str = "7d"


class Proposal(Record, frozen=True):
    """What a hook is shown.

    Attributes:
        hook: its name.
        on: the moment.
        branch: the branch that is to move, or has moved.
        commit: the commit it moves to; it can be read by its id.
        parent: where the branch stood; '' before the first commit.
        author: who made the commit.
        message: why.
        tables: those that change.
    """

    hook: str
    on: Moment
    branch: str
    commit: str
    parent: str
    author: str
    message: str
    tables: tuple[str, ...]


def hooks(project: Project) -> dict[str, Hook]:
    """Name -> hook, as `bucle.toml` has them.

    Raises:
        BadHook: one names neither a function nor an address, or both.
        ConfigError: one cannot be understood.
    """
    found = project.config.section("data", DataSection).hooks
    for name, hook in found.items():
        _check(name, hook)
    return found


def hooks_at(project: Project, moment: Moment, branch: str) -> dict[str, Hook]:
    """The hooks of a moment and a branch, in the order of the file; errors as for `hooks`."""
    return {
        name: hook for name, hook in hooks(project).items() if hook.on == moment and fnmatchcase(branch, hook.branch)
    }


def run_before(project: Project, moment: Moment, branch: str, head: Commit | None, made: Commit) -> None:
    """Ask the hooks whether a branch may move.

    Raises:
        HookRefused: one says no, fails, or does not answer; the branch stays.
        HookCycle: this very commit was made by a hook that would be called again.
    """
    asked = hooks_at(project, moment, branch)
    if not asked:
        return
    _propose(project, branch, made)
    for name, hook in asked.items():
        problem = _call(project, hook, _proposal(name, hook, branch, head, made))
        if problem:
            _note(project, "data.hook_refused", branch, made, hook=name, problem=problem)
            raise HookRefused(
                f"The hook {name!r} refuses commit {made.id[:12]} on branch {branch!r}: {problem}",
                why="Nothing of it is visible to readers.",
                fix=f"Mend what it says; the proposed rows can be looked at: bucle data show TABLE --at {made.id[:12]}",
                at=name,
            )


def run_after(project: Project, moment: Moment, branch: str, head: Commit | None, made: Commit) -> None:
    """Tell the hooks that a branch has moved.

    The commit stands whatever they do: one that fails, or that made this very commit itself, is noted in the ledger as
    `data.hook_failed`. A process that ends in between tells nobody; who must not miss a commit reads the ledger.
    """
    for name, hook in hooks_at(project, moment, branch).items():
        try:
            problem = _call(project, hook, _proposal(name, hook, branch, head, made))
        except HookCycle as error:
            problem = error.what
        if problem:
            _note(project, "data.hook_failed", branch, made, hook=name, problem=problem)


def _call(project: Project, hook: Hook, proposal: Proposal) -> str:
    """Call one hook; what it has against the proposal, '' when nothing."""
    with _guarded(project, proposal):
        try:
            return _ask_function(project, hook, proposal) if hook.run else _ask_address(hook, proposal)
        except HookCycle:
            raise
        except Exception as error:  # a hook is the project's own code: whatever it raises is its answer
            return f"{type(error).__name__}: {error}"


def _ask_function(project: Project, hook: Hook, proposal: Proposal) -> str:
    module, _, name = hook.run.partition(":")
    function: Callable[[Project, Proposal], Any] | None = getattr(project.module(module), name, None)
    if function is None:
        raise BadHook(
            f"The module {module!r} has no function {name!r}.",
            why=f"[data.hooks.{proposal.hook}] names it.",
            fix="Write it, or mend `run`.",
            at=hook.run,
        )
    answer = function(project, proposal)
    return answer if isinstance(answer, str) else ""


def _ask_address(hook: Hook, proposal: Proposal) -> str:
    body = encode(proposal)
    headers = {"Content-Type": "application/json", "User-Agent": "bucle"}
    if hook.secret_env:
        key = os.environ.get(hook.secret_env, "")
        if not key:
            return f"the environment variable {hook.secret_env} is not set, so it cannot be asked"
        headers["Bucle-Signature"] = f"sha256={hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}"
    answer = httpx.post(hook.url, content=body, headers=headers, timeout=hook.timeout_s, follow_redirects=False)
    if answer.is_success:
        return ""
    return answer.text.strip()[:_LONGEST_ANSWER] or f"it answered {answer.status_code}"


@contextmanager
def _guarded(project: Project, proposal: Proposal) -> Iterator[None]:
    """Keep a hook from being called for a commit that it makes itself."""
    running = _running.get()
    if proposal.hook in running:
        raise _cycle(proposal, f"It was made by that hook: {' -> '.join((*running, proposal.hook))}.")
    calls = project.keep(_Calls, _Calls)
    if not calls.enter(proposal.hook):
        raise _cycle(proposal, f"{AT_ONCE} calls of it are under way, so it seems to call itself.")
    mark = _running.set((*running, proposal.hook))
    try:
        yield
    finally:
        _running.reset(mark)
        calls.leave(proposal.hook)


class _Calls:
    """How many calls of each hook are under way."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = dict[str, int]()

    def enter(self, hook: str) -> bool:
        with self._lock:
            if self._count.get(hook, 0) >= AT_ONCE:
                return False
            self._count[hook] = self._count.get(hook, 0) + 1
            return True

    def leave(self, hook: str) -> None:
        with self._lock:
            self._count[hook] -= 1

    def close(self) -> None:
        """Nothing is held."""


def _cycle(proposal: Proposal, why: str) -> HookCycle:
    return HookCycle(
        f"A commit on branch {proposal.branch!r} would call the hook {proposal.hook!r} again.",
        why=why,
        fix="Let the hook commit to a branch that it does not watch, or narrow its `branch`.",
        at=proposal.hook,
    )


def _propose(project: Project, branch: str, made: Commit) -> None:
    """Keep the proposed commit, so that it can be read by its id."""
    with project.ledger.transaction(
        "data.proposed",
        subject=make_ref("commit", made.id),
        actor=project.actor,
        reason=made.message,
        data={"branch": branch, "commit": made.id},
    ) as transaction:
        store.put_commit(transaction, made)


def _note(project: Project, kind: str, branch: str, made: Commit, *, hook: str, problem: str) -> None:
    project.ledger.record(
        kind,
        subject=make_ref("branch", branch),
        actor=project.actor,
        reason=problem,
        data={"branch": branch, "commit": made.id, "hook": hook, "problem": problem},
    )


def _proposal(name: str, hook: Hook, branch: str, head: Commit | None, made: Commit) -> Proposal:
    before = head.tables if head else {}
    changed = [one for one in {*before, *made.tables} if before.get(one) != made.tables.get(one)]
    return Proposal(
        hook=name,
        on=hook.on,
        branch=branch,
        commit=made.id,
        parent=head.id if head else "",
        author=made.author,
        message=made.message,
        tables=tuple(sorted(changed)),
    )


def _check(name: str, hook: Hook) -> None:
    if bool(hook.run) == bool(hook.url):
        raise BadHook(
            f"The hook {name!r} names {'both a function and an address' if hook.run else 'nothing to call'}.",
            why="One of them is asked.",
            fix=f'In bucle.toml under [data.hooks.{name}]: run = "module:function", or url = "https://…".',
            at=name,
        )
    if hook.run and not all(hook.run.partition(":")):
        raise BadHook(
            f"{hook.run!r} of the hook {name!r} is no module:function.",
            why="It is imported from the project's folder.",
            fix='E.g. run = "checks:orders" for the function orders in checks.py.',
            at=hook.run,
        )
    if hook.url and not hook.url.startswith(("http://", "https://")):
        raise BadHook(
            f"The address of the hook {name!r} is neither http nor https.",
            why="It is asked by HTTP.",
            fix="E.g. https://checks.example.org/orders",
            at=hook.url,
        )
