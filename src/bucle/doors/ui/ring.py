"""The ring: eight stations on a loop, four there and four back."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Place", "Ring", "layout"]


class Place(NamedTuple):
    """Where one station stands: the middle of its plate, and the arrow to the next one."""

    x: float
    y: float
    arrow: str


class Ring(NamedTuple):
    """The whole drawing."""

    width: float
    height: float
    plate: tuple[float, float]
    places: tuple[Place, ...]


def layout(
    stations: int, columns: int, *, plate: tuple[float, float] = (252, 84), gap: tuple[float, float] = (126, 78)
) -> Ring:
    """Stations clockwise around a loop.

    Args:
        stations: how many, even.
        columns: how many stand side by side; 1 or 2 rows of a narrow page make it a column there and back.
        plate: width and height of a station.
        gap: between stations, across and down.
    """
    rows = -(-stations // columns) if columns > 2 else stations // 2
    across = columns if columns > 2 else 2
    width, height = across * plate[0] + (across - 1) * gap[0], rows * plate[1] + (rows - 1) * gap[1]
    order = _there_and_back(across, rows)[:stations]
    middles = [
        (column * (plate[0] + gap[0]) + plate[0] / 2, row * (plate[1] + gap[1]) + plate[1] / 2) for column, row in order
    ]
    places = tuple(
        Place(x, y, _arrow((x, y), middles[(index + 1) % stations], plate)) for index, (x, y) in enumerate(middles)
    )
    return Ring(width, height, plate, places)


def _there_and_back(columns: int, rows: int) -> list[tuple[int, int]]:
    """Cells in clockwise order around the edge."""
    top = [(column, 0) for column in range(columns)]
    right = [(columns - 1, row) for row in range(1, rows)]
    bottom = [(column, rows - 1) for column in range(columns - 2, -1, -1)] if rows > 1 else []
    left = [(0, row) for row in range(rows - 2, 0, -1)]
    return top + right + bottom + left


def _arrow(start: tuple[float, float], end: tuple[float, float], plate: tuple[float, float]) -> str:
    """The `d` of a line from the edge of one plate to the edge of the next, with room for the arrow's head."""
    (x1, y1), (x2, y2) = start, end
    if abs(x2 - x1) > abs(y2 - y1):
        side = plate[0] / 2 if x2 > x1 else -plate[0] / 2
        return f"M{x1 + side + (4 if side > 0 else -4):g},{y1:g} L{x2 - side - (9 if side > 0 else -9):g},{y2:g}"
    side = plate[1] / 2 if y2 > y1 else -plate[1] / 2
    return f"M{x1:g},{y1 + side + (4 if side > 0 else -4):g} L{x2:g},{y2 - side - (9 if side > 0 else -9):g}"
