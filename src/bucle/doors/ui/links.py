"""Links: from a ref to the page of what it names."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, unquote, urlencode

__all__ = ["file_address", "link_of"]


def _model(name: str, version: str) -> str:
    # A ref writes what has a meaning in refs by its code, see `registry.model_ref`.
    name = unquote(name)
    return f"/models/{quote(name, safe='')}" + (f"/{quote(version, safe='')}" if version else "")


def _under(path: str) -> Callable[[str, str], str]:
    return lambda name, version: f"{path}/{quote(name, safe='/')}"


def _step(name: str, version: str) -> str:
    execution, _, position = name.rpartition(".")
    return f"/pipelines/{quote(execution, safe='')}?{urlencode({'step': position})}" if execution else "/pipelines"


_PAGES: dict[str, Callable[[str, str], str]] = {
    "model": _model,
    "run": _under("/runs"),
    "execution": _under("/pipelines"),
    "verdict": _under("/gates"),
    "rollout": _under("/deployments"),
    "table": lambda name, version: f"/data/{quote(name, safe='')}" + (f"?at={quote(version)}" if version else ""),
    "endpoint": lambda name, version: "/deployments",
    "prediction": _under("/predictions"),
    "loop": _under("/loop"),
    "features": lambda name, version: f"/features#{quote(name, safe='')}",
    "view": lambda name, version: f"/features#{quote(name, safe='')}",
    "step_run": _step,
    "commit": lambda name, version: f"/data?at={quote(name, safe='')}",
    "branch": lambda name, version: "/data" if name == "main" else f"/audit?{urlencode({'subject': f'branch/{name}'})}",
    "event": lambda name, version: f"/audit?before={int(name) + 1}&limit=1" if name.isdecimal() else "/audit",
}


def link_of(ref: str) -> str:
    """The page of what a ref names; its lineage when it has no page of its own."""
    kind, _, rest = ref.partition("/")
    name, at, version = rest.rpartition("@")
    if not at:
        name, version = rest, ""
    page = _PAGES.get(kind)
    return page(name, version) if page and name else f"/lineage?{urlencode({'of': ref})}"


def file_address(owner: str, path: str) -> str:
    """Where a file that something kept is downloaded from; its answers may run nothing.

    Args:
        owner: e.g. `run/4f1c…`.
        path: within it.
    """
    return f"/files/{owner}/{quote(path, safe='/')}"
