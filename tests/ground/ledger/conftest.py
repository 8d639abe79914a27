"""A ledger with a past worth tampering with, and a room's table to write to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bucle.ground import governance
from bucle.ground.governance.tables import APPROVALS
from bucle.ground.ledger import Anchor, LogReport, verify_log
from bucle.ground.project import Project

Verify = Callable[[Project], LogReport]


@pytest.fixture
def verify() -> Verify:
    return lambda project: verify_log(project.database, Anchor(project.state / "ledger.anchor"))


@pytest.fixture
def fill() -> Callable[[Project], Project]:
    """Twelve events, with state, edges and keys among them."""

    def write(project: Project) -> Project:
        for number in range(10):
            subject = f"model/flights@{number}"
            governance.approve(project, subject, digest=f"d{number}", principal="eva", author="ana", reason="good")
        with project.ledger.transaction(
            "test.joined", subject="run/1", actor="ana", key="join", data={"größe": 1.5, "list": [1, None, "x"]}
        ) as transaction:
            transaction.edge("commit/a", "run/1", "trained_on")
            transaction.edge("run/1", "model/flights@1", "produced")
            key = {"subject": "model/flights@9", "digest": "d9", "principal": "eva"}
            transaction.delete(APPROVALS, key)
            transaction.update(APPROVALS, {**key, "subject": "model/flights@8", "digest": "d8"}, {"reason": "better"})
        project.ledger.record("test.ended", subject="run/1", actor="ana")
        return project

    return write
