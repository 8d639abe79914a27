"""Guards that say no, for the tests of verbs that ask one."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from bucle.line import registry


class Busy:
    """Everything answers traffic."""

    def alias(self, connection: Connection, model: str, alias: str, number: int | None) -> None:
        """Yes."""

    def stage(self, connection: Connection, model: str, number: int | None, to: str) -> None:
        """No."""
        registry.check_unused(f"{model} {number} answers.", model, number)

    def removal(self, connection: Connection, model: str, number: int | None) -> None:
        """No."""
        registry.check_unused(f"{model} {number} answers.", model, number)
