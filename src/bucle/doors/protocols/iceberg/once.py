"""Once: a request that comes again under its `Idempotency-Key` is answered again and not done again.

What commits bears the key in its ledger transaction, so that a crash between the commit and its answer does not matter.
What does not commit, a refusal or a table that is only drafted, is noted with its answer. In the ledger the key ends
with the digest of the request, so that it is known when it comes again for something else.
Source: Apache Iceberg REST catalog, open-api/rest-catalog-open-api.yaml, parameter idempotency-key; IETF
draft-ietf-httpapi-idempotency-key-header, section 2.7.
"""

from __future__ import annotations

import uuid

import msgspec

from bucle.doors.protocols.iceberg.errors import CatalogError, bad_request, of_bucle, used_key
from bucle.doors.protocols.iceberg.wire import Answer, Call, Route
from bucle.ground.core import BucleError, digest_of, make_ref
from bucle.ground.ledger import AlreadyDone, Event
from bucle.ground.project import Project

__all__ = ["answer_once"]

KIND = "catalog.answered"
_LENGTH = 36
_NOT_FINAL = {401, 403}
"""What another token or a grant changes; whoever was refused so may try again. Nor is anything from 500 on."""


def answer_once(route: Route, call: Call, project: Project) -> Answer:
    """The answer to a request.

    Raises:
        CatalogError: it is an error; 422 when its key was used for something else.
    """
    given = call.headers.get("idempotency-key")
    if given is None or not route.changes or route.method in ("GET", "HEAD"):
        return _answer(route, call, project)
    used = f"iceberg/{call.principal}/{_checked(given)}/"
    call.key = f"{used}{_digest(call)}"
    call.done = project.ledger.find_below(used)
    if call.done is not None:
        return _again(route, call, project, call.done)
    try:
        made = _answer(route, call, project)
    except (BucleError, CatalogError) as error:
        told = of_bucle(error) if isinstance(error, BucleError) else error
        # The first request of this key may have been under way, and been done meanwhile.
        call.done = project.ledger.find_below(used)
        if call.done is not None:
            return _again(route, call, project, call.done)
        if told.status < 500 and told.status not in _NOT_FINAL:
            _note(project, call, Answer(told.status, told.as_dict()))
        raise told from error
    if project.ledger.find(call.key) is None:
        _note(project, call, made)
    return made


def _answer(route: Route, call: Call, project: Project) -> Answer:
    found = route.answer(call, project)
    return found if isinstance(found, Answer) else Answer(200, found)


def _again(route: Route, call: Call, project: Project, done: Event) -> Answer:
    """The answer of before: as it was noted, or made anew from the commit that bears the key."""
    if done.key != call.key:
        raise used_key(done.reason)
    if done.kind != KIND:
        return _answer(route, call, project)
    return Answer(done.data["status"], done.data["body"])


def _note(project: Project, call: Call, answer: Answer) -> None:
    try:
        with project.ledger.transaction(
            KIND,
            subject=make_ref("branch", call.ref),
            actor=project.actor,
            reason=_named(call),
            key=call.key,
            data={"principal": call.principal, "status": answer.status, "body": answer.body},
        ):
            pass
    except AlreadyDone:
        pass


def _named(call: Call) -> str:
    """The request, for people."""
    return f"{call.method} {'/'.join(call.parts.values())}"[:500]


def _digest(call: Call) -> str:
    """What tells this request from any other: a key is for one; the same JSON may be written in many ways."""
    try:
        body = msgspec.json.decode(call.body) if call.body else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        body = call.body
    asked = [call.method, sorted(call.parts.items()), sorted(call.query.items()), body]
    return str(digest_of(msgspec.json.encode(asked, order="deterministic")))


def _checked(key: str) -> str:
    try:
        if len(key) == _LENGTH:
            return str(uuid.UUID(key))
    except ValueError:
        pass
    raise bad_request("The Idempotency-Key is no UUID of 36 characters.")
