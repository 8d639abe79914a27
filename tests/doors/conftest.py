"""A project with a year behind it, an empty one, and each of them served by a real server on a free port."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bucle.doors.server import serve
from bucle.ground.project import Project
from doors.filled import fill


class Site:
    """A served project."""

    def __init__(self, url: str, project: Project) -> None:
        self.url = url
        self.project = project
        self.client = httpx.Client(base_url=url, timeout=60)

    def get(self, path: str, language: str = "en") -> httpx.Response:
        """A page as a browser asks for it."""
        self.client.cookies.clear()
        return self.client.get(path, headers={"accept": "text/html", "accept-language": language})

    def json(self, path: str) -> dict:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def served(root: Path) -> Iterator[Site]:
    project = Project.open(root, actor="ana")
    stop, ready, address = threading.Event(), threading.Event(), list[str]()

    def told(url: str) -> None:
        address.append(url)
        ready.set()

    thread = threading.Thread(target=serve, args=(project, "127.0.0.1", 0), kwargs={"ready": told, "stop": stop})
    thread.start()
    assert ready.wait(60)
    site = Site(address[0], project)
    try:
        yield site
    finally:
        site.client.close()
        stop.set()
        thread.join(30)
        project.close()
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def filled_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("filled") / "project"
    fill(root, months=5, executions=1)
    return root


@pytest.fixture(scope="session")
def site(filled_root: Path) -> Iterator[Site]:
    """The filled project, served."""
    with served(filled_root) as found:
        yield found


@pytest.fixture(scope="session")
def empty_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A project in which nothing has happened, served."""
    root = tmp_path_factory.mktemp("empty") / "project"
    root.mkdir()
    (root / "bucle.toml").write_text('[project]\nname = "nothing"\n')
    with served(root) as found:
        yield found


def some_addresses(site: Site) -> list[str]:
    """Two addresses at most of every kind of page."""
    kinds: dict[str, list[str]] = {}
    for path in addresses(site):
        kinds.setdefault(re.sub(r"[0-9a-f]{6,}|\d+", "#", path), []).append(path)
    return [path for found in kinds.values() for path in dict.fromkeys((found[0], found[-1]))]


def addresses(site: Site) -> list[str]:
    """One address for every page of the filled project, found through the pages' own records."""
    ids = [one["id"] for one in site.json("/runs.json?experiment=tuning")["runs"]]
    executions = [one["execution"]["id"] for one in site.json("/pipelines.json")["executions"]]
    verdicts = [one["id"] for one in site.json("/gates.json")["verdicts"]]
    rollouts = [one["id"] for one in site.json("/deployments.json")["rollouts"]]
    answers = [one["id"] for one in site.json("/predictions.json")["answers"]]
    commit = site.json("/data.json")["commit"]["id"]
    plain = [
        "/",
        "/data",
        "/features",
        "/pipelines",
        "/runs",
        "/models",
        "/gates",
        "/deployments",
        "/monitor",
        "/predictions",
        "/loop",
        "/lineage",
        "/audit",
        "/doctor",
        "/api",
    ]
    deep = [
        "/data/flights",
        f"/data?at={commit[:12]}",
        "/diff?a=main&b=mended&table=flights",
        "/reviews",
        "/reviews/1",
        "/models/flights",
        "/models/flights/1",
        "/models/flights/champion",
        "/monitor/flights",
        "/loop/flights",
        "/loop/flights/1",
        "/loop/flights/4",
        "/lineage?of=model/flights@1",
        "/runs?sort=-auc&limit=3",
        "/runs?q=rounds&status=finished&value=both",
        "/runs?q=metrics.auc > 0&columns=metrics.auc,params.rounds,actor,code",
        "/audit?kind=loop.*&limit=10",
        f"/compare?runs={','.join(ids[:3])}",
        f"/runs/{ids[0]}",
        f"/runs/{ids[0]}?tab=charts",
        f"/runs/{ids[0]}?tab=code",
        f"/runs/{ids[0]}/metric?key=auc",
        f"/predictions/{answers[0]}",
    ]
    deep += [f"/pipelines/{one}" for one in executions] + [f"/gates/{one}" for one in verdicts]
    return plain + deep + [f"/deployments/{one}" for one in rollouts]
