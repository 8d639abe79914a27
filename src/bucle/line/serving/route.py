"""Routes: which version answers which request. A small file, so that an endpoint needs no database to know them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blake3 import blake3

from bucle.ground.core import Record, check_name, decode, encode
from bucle.ground.store import write_atomically
from bucle.line.serving.errors import NoRoutes

__all__ = ["CHAMPION", "Arm", "Routes", "endpoint_folder", "load_routes", "pick", "save_routes"]

CHAMPION = "champion"
"""The name of the arm that answers whatever no other arm takes, and when another one fails."""

_SCALE = float(1 << 64)


class Arm(Record, frozen=True):
    """One version in the traffic of an endpoint.

    Attributes:
        name: `champion`, `canary`, …; `shadow` for versions that answer nobody.
        model: the model.
        version: its version.
        package: the digest of its package.
        share: of the requests, 0 to 1. The champion takes what the others leave, whatever its own share says.
    """

    name: str
    model: str
    version: int
    package: str
    share: float


class Routes(Record, frozen=True):
    """All that an endpoint has to know of the world.

    Attributes:
        endpoint: whose routes they are.
        generation: grows by one with each change.
        salt: mixed into each routing key, so that each rollout draws anew who sees it.
        arms: exactly one champion, and the canaries.
        shadows: run after the answer has been sent, never seen by a client.
    """

    endpoint: str
    generation: int
    salt: str
    arms: tuple[Arm, ...]
    shadows: tuple[Arm, ...] = ()

    @property
    def champion(self) -> Arm:
        """The arm that answers in the end."""
        return next(arm for arm in self.arms if arm.name == CHAMPION)


def pick(arms: Sequence[Arm], salt: str, key: str) -> Arm:
    """The arm a routing key belongs to: always the same one, and it stays there when a canary's share grows.

    Args:
        arms: with exactly one champion.
        salt: the routes' salt.
        key: who asks, or the request's id.
    Returns:
        A canary with probability `share` over random keys, else the champion.
    """
    if len(arms) == 1:
        return arms[0]
    point = int.from_bytes(blake3(f"{salt}\0{key}".encode("utf-8", "surrogatepass")).digest(8)) / _SCALE
    reached = 0.0
    for arm in arms:
        if arm.name != CHAMPION:
            reached += arm.share
            if point < reached:
                return arm
    return next(arm for arm in arms if arm.name == CHAMPION)


def endpoint_folder(state: Path, endpoint: str) -> Path:
    """Where everything an endpoint's process needs lies: `state/endpoints/NAME`.

    Raises:
        BadName: the name cannot be a folder.
    """
    return state / "endpoints" / check_name(endpoint, "endpoint")


def load_routes(folder: Path) -> Routes:
    """The routes in an endpoint's folder.

    Raises:
        NoRoutes: there are none yet.
        CorruptRecord: the file was edited by hand.
    """
    try:
        return decode((folder / "routes.json").read_bytes(), Routes, what="routes.json")
    except FileNotFoundError as error:
        raise NoRoutes(
            f"Endpoint {folder.name!r} has no routes.",
            why="Nothing was ever deployed to it.",
            fix=f"bucle deploy roll {folder.name} MODEL@VERSION",
        ) from error


def save_routes(folder: Path, routes: Routes) -> None:
    """Replace an endpoint's routes, whole or not at all.

    Raises:
        DiskFull: the old routes stand.
    """
    write_atomically(folder / "routes.json", encode(routes))
