"""A DVC project as its files describe it: outputs by MD5, stages, and where contents may lie."""

from __future__ import annotations

import configparser
import json
import os
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from bucle.ground.core import Record
from bucle.line.data.errors import BadDvcProject

__all__ = ["DvcOutput", "DvcRemote", "DvcStage", "DvcWorkspace", "manifest", "parse_manifest", "read_dvc"]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST, _LARGEST = 100, 5_000_000
"""So many levels and values, aliases written out, may be in one file of a DVC project."""

_SKIPPED = {".git", ".dvc", ".bucle"}


class DvcOutput(Record, frozen=True):
    """A file or folder that DVC keeps.

    Attributes:
        path: within the project, with `/`.
        md5: of its bytes; of the list of its files, with `.dir` behind, for a folder; '' when it was never kept.
        is_cached: whether DVC keeps its bytes; those of others lie in git, beside the code.
        is_legacy: of DVC 2 and older, where line ends of text were made one before the MD5 was taken.
    """

    path: str
    md5: str
    is_cached: bool = True
    is_legacy: bool = False


class DvcStage(Record, frozen=True):
    """A step of a DVC pipeline.

    Attributes:
        name: as in dvc.yaml, below the folder of that file: `FOLDER:NAME` unless it is the project's own.
        command: what it runs, one line each.
        folder: where it runs, within the project.
        deps: files and folders it reads.
        outs: what it writes.
        params: name -> value as of the last run.
        metrics: those of `outs` that are metrics.
    """

    name: str
    command: tuple[str, ...]
    folder: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: dict[str, Any]
    metrics: tuple[str, ...]


class DvcRemote(Record, frozen=True):
    """A place that DVC pushes to.

    Attributes:
        name: how DVC calls it.
        url: a folder or `s3://…`; others are told but cannot be read.
        endpoint: of a bucket elsewhere than at Amazon.
        region: of a bucket.
    """

    name: str
    url: str
    endpoint: str = ""
    region: str = ""


class DvcWorkspace(Record, frozen=True):
    """A DVC project, read.

    Attributes:
        root: its folder.
        outputs: what DVC keeps, by path.
        stages: the steps of its pipelines, in the order of the files.
        files: the files that say so, and others a stage reads that DVC does not keep: code, parameters.
        cache: where DVC keeps contents here.
        remotes: where else they may lie, the default one first.
    """

    root: str
    outputs: tuple[DvcOutput, ...]
    stages: tuple[DvcStage, ...]
    files: tuple[str, ...]
    cache: str
    remotes: tuple[DvcRemote, ...]


def read_dvc(root: Path) -> DvcWorkspace:
    """Read a DVC project's `.dvc`, `dvc.yaml`, `dvc.lock` and settings. No content is looked at, nothing is run.

    Raises:
        BadDvcProject: there is none, or a file of it cannot be understood.
    """
    root = root.resolve()
    if not (root / ".dvc").is_dir():
        raise BadDvcProject(
            f"{root} is no DVC project.",
            why="It has no folder .dvc.",
            fix="Name the folder in which `dvc init` was run.",
            at=str(root),
        )
    outputs, stages, files = dict[str, DvcOutput](), list[DvcStage](), set[str]()
    for name in _described(root):
        files.add(name)
        folder = posixpath.dirname(name)
        try:
            if name.endswith(".dvc"):
                _take_dvc(_yaml(root, name), folder, outputs)
            elif posixpath.basename(name) == "dvc.yaml":
                lock = posixpath.join(folder, "dvc.lock")
                locked = _yaml(root, lock) if (root / lock).is_file() else {}
                for stage in _stages(_yaml(root, name), locked, folder, outputs, name):
                    stages.append(stage)
                    files |= {f for f in (*stage.deps, *_param_files(locked, folder)) if f not in outputs}
        except (TypeError, AttributeError, KeyError, ValueError) as error:  # a list where DVC has a mapping, or so
            raise _not_understood(name, str(error)[:200]) from error
    kept = {one for one in outputs if outputs[one].is_cached}
    loose = {one.path for one in outputs.values() if not one.is_cached} | files
    settings = _settings(root)
    return DvcWorkspace(
        root=str(root),
        outputs=tuple(outputs[path] for path in sorted(outputs)),
        stages=tuple(stages),
        files=tuple(sorted(one for one in loose - kept if _is_file_of(root, one))),
        cache=_cache(root, settings),
        remotes=_remotes(root, settings),
    )


def parse_manifest(data: bytes, where: str) -> dict[str, str]:
    """Path -> MD5 of the files of a folder that DVC keeps.

    Raises:
        BadDvcProject: the bytes are no such list.
    """
    try:
        return {str(one["relpath"]): str(one["md5"]) for one in json.loads(data)}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _not_understood(where, f"a list of files that is none: {error}") from error


def manifest(files: Mapping[str, str]) -> bytes:
    """The list that DVC keeps of a folder: path -> MD5, in its own spelling, since its MD5 is the folder's."""
    return json.dumps([{"md5": files[path], "relpath": path} for path in sorted(files)], sort_keys=True).encode()


def _described(root: Path) -> list[str]:
    found = list[str]()
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(one for one in folders if one not in _SKIPPED)
        below = os.path.relpath(folder, root)
        for name in sorted(names):
            if name in ("dvc.yaml", "dvc.lock", ".dvcignore") or (name.endswith(".dvc") and len(name) > 4):
                found.append(name if below == "." else f"{Path(below).as_posix()}/{name}")
    return found


def _take_dvc(told: dict[str, Any], folder: str, outputs: dict[str, DvcOutput]) -> None:
    base = posixpath.join(folder, str(told.get("wdir", ".")))
    for one in told.get("outs") or []:
        if isinstance(one, dict) and "md5" in one:
            _put(outputs, base, one, is_cached=one.get("cache", True) is not False)


def _stages(
    told: dict[str, Any], locked: dict[str, Any], folder: str, outputs: dict[str, DvcOutput], where: str
) -> Iterator[DvcStage]:
    """The stages of a dvc.yaml; those made by `foreach` and `matrix` stand in the lock, one by one."""
    run = locked.get("stages") or {}
    for name, stage in _each_stage(told.get("stages") or {}, run, where):
        seen = run.get(name) or {}
        base = posixpath.normpath(posixpath.join(folder, str(stage.get("wdir", ".")))).removeprefix("./")
        base = "" if base == "." else base
        uncached, metrics, outs = set[str](), list[str](), list[str]()
        for kind in ("outs", "metrics", "plots"):
            for path, options in _listed(stage.get(kind)):
                outs.append(path)
                metrics += [path] if kind == "metrics" else []
                if isinstance(options, dict) and options.get("cache") is False:
                    uncached.add(path)
        for one in seen.get("outs") or []:
            _put(outputs, base, one, is_cached=str(one.get("path")) not in uncached)
        command = seen.get("cmd", stage.get("cmd", ""))
        deps = [str(one["path"]) for one in seen.get("deps") or []] or [path for path, _ in _listed(stage.get("deps"))]
        yield DvcStage(
            name=f"{folder}:{name}" if folder else str(name),
            command=tuple(map(str, command)) if isinstance(command, list) else (str(command),),
            folder=base,
            deps=tuple(filter(None, (_inside(base, path) for path in deps))),
            outs=tuple(filter(None, (_inside(base, path) for path in outs))),
            params={k: v for values in (seen.get("params") or {}).values() for k, v in (values or {}).items()},
            metrics=tuple(filter(None, (_inside(base, path) for path in metrics))),
        )


def _each_stage(stages: Any, run: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(stages, dict):
        raise _not_understood(where, "stages that are no mapping")
    for name, stage in stages.items():
        if isinstance(stage, dict) and ("foreach" in stage or "matrix" in stage):
            inner = stage.get("do", stage)
            yield from ((made, inner) for made in run if made.startswith(f"{name}@"))
        elif isinstance(stage, dict):
            yield str(name), stage


def _param_files(locked: dict[str, Any], folder: str) -> list[str]:
    named = {str(file) for stage in (locked.get("stages") or {}).values() for file in (stage.get("params") or {})}
    named |= {"params.yaml"}
    return [path for path in (_inside(folder, file) for file in named) if path]


def _listed(told: Any) -> list[tuple[str, Any]]:
    """Paths with their options, from `- path` and `- path: {…}`."""
    found = list[tuple[str, Any]]()
    for one in told or []:
        found += (
            [(str(path), options) for path, options in one.items()] if isinstance(one, dict) else [(str(one), None)]
        )
    return found


def _named(one: tuple[Any, Any]) -> tuple[str, Any]:
    return str(one[0]), one[1]


def _put(outputs: dict[str, DvcOutput], base: str, told: dict[str, Any], *, is_cached: bool) -> None:
    path = _inside(base, str(told.get("path", "")))
    if path:
        legacy = told.get("hash") != "md5"
        outputs[path] = DvcOutput(path=path, md5=str(told.get("md5", "")), is_cached=is_cached, is_legacy=legacy)


def _inside(base: str, path: str) -> str:
    """A path within the project; '' for what lies outside, which is left alone."""
    whole = posixpath.normpath(posixpath.join("/", base, path)).lstrip("/")
    climbs = posixpath.normpath(posixpath.join(base, path)).startswith("..")
    return "" if posixpath.isabs(path) or "://" in path or climbs else whole


def _is_file_of(root: Path, path: str) -> bool:
    """Whether a file is there.

    Raises:
        BadDvcProject: it lies outside, by way of a symbolic link.
    """
    file = root / path
    if not file.is_file():
        return False
    if not file.resolve().is_relative_to(root):
        raise BadDvcProject(
            f"{path!r} leads out of the DVC project, to {str(file.resolve())!r}.",
            why="Whatever lies there would be imported, and be pushed with the rest.",
            fix="Put the file itself in the place of the symbolic link.",
            at=path,
        )
    return True


def _settings(root: Path) -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None)
    try:
        read.read([root / ".dvc" / "config", root / ".dvc" / "config.local"])
    except (configparser.Error, UnicodeDecodeError) as error:
        raise _not_understood(".dvc/config", str(error)) from error
    return read


def _cache(root: Path, settings: configparser.ConfigParser) -> str:
    told = settings.get("cache", "dir", fallback="cache")
    return str((root / ".dvc" / told).resolve())


def _remotes(root: Path, settings: configparser.ConfigParser) -> tuple[DvcRemote, ...]:
    first, found = settings.get("core", "remote", fallback=""), list[DvcRemote]()
    for section in settings.sections():
        name = section.strip("'").removeprefix('remote "').rstrip('"')
        url = settings.get(section, "url", fallback="")
        if section.strip("'").startswith('remote "') and url:
            place = url if "://" in url else str((root / ".dvc" / url).resolve())
            told = (settings.get(section, "endpointurl", fallback=""), settings.get(section, "region", fallback=""))
            found.append(DvcRemote(name=name, url=place, endpoint=told[0], region=told[1]))
    return tuple(sorted(found, key=lambda one: (one.name != first, one.name)))


def _yaml(root: Path, name: str) -> dict[str, Any]:
    try:
        content = (root / name).read_bytes()
        _check_size(content, name)
        told = yaml.load(content, Loader=_LOADER)  # noqa: S506  the C twin of the safe loader
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise _not_understood(name, str(error)) from error
    if not isinstance(told, dict):
        raise _not_understood(name, "something else than a mapping")
    return told


def _check_size(content: bytes, name: str) -> None:
    """Refuse what a few lines of aliases or brackets make too large: the loader ends the process, or never comes back.

    Raises:
        BadDvcProject: it is so.
        YAMLError: it is no YAML.
    """
    sizes, within = dict[str, int](), [("", 0)]
    for event in yaml.parse(content, Loader=_LOADER):
        anchor, size = str(getattr(event, "anchor", None) or ""), 1
        if isinstance(event, yaml.CollectionStartEvent):
            within.append((anchor, 1))
            size = 0
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = within.pop()
        elif isinstance(event, yaml.AliasEvent):
            if anchor not in sizes:
                raise _not_understood(name, f"{anchor!r} stands in itself")
            size, anchor = sizes[anchor], ""
        if anchor and size:
            sizes[anchor] = size
        within[-1] = (within[-1][0], within[-1][1] + size)
        if len(within) > _DEEPEST or within[-1][1] > _LARGEST:
            raise _not_understood(name, f"more than {_DEEPEST} levels or {_LARGEST} values")


def _not_understood(name: str, what: str) -> BadDvcProject:
    return BadDvcProject(
        f"{name} of the DVC project cannot be understood: {what}.",
        why="What it keeps cannot be told, so nothing was imported.",
        fix="Mend it until `dvc status` reads it, then import again.",
        at=name,
    )
