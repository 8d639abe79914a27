"""One of many that log at once and may be killed: python writer.py http|inside TARGET JOURNAL SEED

What was acknowledged is noted in the journal right after, one line each: `run ID`, `param ID KEY VALUE`,
`point ID KEY STEP VALUE`. TARGET is the address of a server, or the folder of a project.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Protocol


class Target(Protocol):
    """Where a writer logs to; each call returns once it is acknowledged."""

    def create(self) -> str: ...
    def log(self, run: str, points: list[tuple[str, float, int]], params: dict[str, str]) -> None: ...
    def end(self, run: str) -> None: ...


class Http:
    """Through the server, as an MLflow client asks; asked again for as long as nobody answers."""

    def __init__(self, address: str) -> None:
        self._address = f"{address}/api/2.0/mlflow"

    def create(self) -> str:
        return str(self._post("/runs/create", {"experiment_id": "0", "start_time": now()})["run"]["info"]["run_id"])

    def log(self, run: str, points: list[tuple[str, float, int]], params: dict[str, str]) -> None:
        metrics = [{"key": key, "value": value, "timestamp": 1000 + step, "step": step} for key, value, step in points]
        said = [{"key": key, "value": value} for key, value in params.items()]
        self._post("/runs/log-batch", {"run_id": run, "metrics": metrics, "params": said})

    def end(self, run: str) -> None:
        self._post("/runs/update", {"run_id": run, "status": "FINISHED", "end_time": now()})

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self._address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.loads(answer.read() or b"{}")
            except urllib.error.HTTPError:
                raise
            except (OSError, ValueError):  # nobody there, or cut off in the middle of an answer
                time.sleep(0.05)


class Inside:
    """In this process, on the project's own database."""

    def __init__(self, root: str) -> None:
        from bucle.ground.project import Project

        self._project = Project.open(root, actor="writer")

    def create(self) -> str:
        from bucle.line import tracking

        return tracking.create_run(self._project, "0").id

    def log(self, run: str, points: list[tuple[str, float, int]], params: dict[str, str]) -> None:
        from bucle.line import tracking

        made = [tracking.Point(key=key, value=value, at=1000 + step, step=step) for key, value, step in points]
        tracking.log(self._project, run, points=made, params=params)

    def end(self, run: str) -> None:
        from bucle.line import tracking

        tracking.update_run(self._project, run, status="finished")


def now() -> int:
    return int(time.time() * 1000)


def main(kind: str, target: str, journal: str, seed: str) -> None:
    """Log until killed."""
    to: Target = Http(target) if kind == "http" else Inside(target)
    chance, notes = random.Random(int(seed)), os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in itertools.count():
        run = to.create()
        os.write(notes, f"run {run}\n".encode())
        step = 0
        for _ in range(chance.randrange(1, 30)):
            size = chance.choice([1, 1, 3, 100])
            points = [(key, chance.random(), step + place) for place in range(size) for key in ("a", "b")]
            params = {f"p{step}": str(chance.random())} if chance.random() < 0.3 else {}
            to.log(run, points, params)
            lines = [f"point {run} {key} {at} {value!r}\n" for key, value, at in points]
            lines += [f"param {run} {key} {value}\n" for key, value in params.items()]
            os.write(notes, "".join(lines).encode())
            step += size
        if chance.random() < 0.7:
            to.end(run)
            os.write(notes, f"end {run}\n".encode())


if __name__ == "__main__":
    Path(sys.argv[3]).touch()
    main(*sys.argv[1:])
