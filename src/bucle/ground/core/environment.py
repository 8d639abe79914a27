"""The environment code runs in: Python, the machine's kind, and every installed package, its version and content."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from bucle.ground.core.codec import Record
from bucle.ground.core.digest import Digest, digest_of_value

__all__ = ["Environment", "Interpreter", "Machine", "environment"]


class Machine(Record, frozen=True):
    """What a computation ran on. It is told, but no result is kept apart for it.

    Attributes:
        os: e.g. `Debian GNU/Linux 12 (bookworm)`.
        libc: e.g. `glibc 2.36`; empty where it is not known.
        cpu: the processor's name.
        flags: its vector and matrix instructions, sorted, e.g. `avx2`: numeric libraries choose their kernels by them.
        cores: how many it has.
    """

    os: str
    libc: str = ""
    cpu: str = ""
    flags: tuple[str, ...] = ()
    cores: int = 0


class Environment(Record, frozen=True, omit_defaults=True):
    """What a result depends on besides code, data and parameters.

    Attributes:
        python: e.g. `3.11.7`.
        implementation: e.g. `CPython`.
        system: operating system and processor kind, e.g. `Linux-x86_64`.
        packages: name -> version of every installed distribution, sorted.
        contents: name -> sha256 of the files its wheel brought, as its `RECORD` tells them: two builds of one version
            differ here. A package without a `RECORD`, or installed to be edited, has none.
        origins: name -> where it came from when that was no index: `git+https://…@commit`, `file:///…`.
        machine: what it ran on; None when that was not looked at.
    """

    python: str
    implementation: str
    system: str
    packages: dict[str, str]
    contents: dict[str, str] = {}
    origins: dict[str, str] = {}
    machine: Machine | None = None

    @property
    def digest(self) -> Digest:
        """The name of what results depend on: equal where Python, its kind and all packages are equal."""
        told = (self.python, self.implementation, self.system, self.packages, self.contents)
        return digest_of_value(told)

    def lock(self) -> str:
        """The packages as a requirements file, one a line: `name==version`, or where it is to be had."""
        return "".join(f"{self.requirement(name)}\n" for name in self.packages)

    def requirement(self, name: str) -> str:
        """One package as a line of a requirements file; a folder of some machine is only told in a comment."""
        pinned, origin = f"{name}=={self.packages[name]}", self.origins.get(name, "")
        if not origin:
            return pinned
        return f"{pinned}  # {origin}" if origin.startswith("file:") else f"{name} @ {origin}"


class Interpreter(Record, frozen=True):
    """Another Python on this machine, with what is installed for it.

    Attributes:
        python: its program, absolute.
        path: where it finds modules.
        environment: what it runs code in.
    """

    python: str
    path: tuple[str, ...]
    environment: Environment


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The environment of this process.

    Cost: a look at every installed package, once: some 60 ms for 180 packages.
    """
    packages, contents, origins = dict[str, str](), dict[str, str](), dict[str, str]()
    for distribution in importlib.metadata.distributions():
        name, version = _name_and_version(distribution)
        if not name or name in packages:  # the first on the path is the one that is imported
            continue
        packages[name] = version
        url = _direct_url(distribution)
        if origin := _origin(url):
            origins[name] = origin
        if content := "" if _is_editable(url) else _content(distribution):
            contents[name] = content
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        system=f"{platform.system()}-{platform.machine()}",
        packages=dict(sorted(packages.items())),
        contents=dict(sorted(contents.items())),
        origins=dict(sorted(origins.items())),
        machine=_machine(),
    )


_FOLDER = re.compile(r"(.+?)-([^-]+)\.dist-info$")


def _name_and_version(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    """From the name of its folder, which saves reading its metadata; from that where the folder has another name.

    Source: the Python packaging specifications, "Recording installed projects" and "Names and normalization".
    """
    path = getattr(distribution, "_path", None)
    match = _FOLDER.match(path.name) if isinstance(path, Path) else None
    name, version = match.groups() if match else (distribution.name or "", distribution.version or "")
    return re.sub(r"[-_.]+", "-", name).lower(), version


def _direct_url(distribution: importlib.metadata.Distribution) -> dict[str, object]:
    """Where it was installed from, when that was no index (PEP 610)."""
    text = distribution.read_text("direct_url.json")
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_editable(url: dict[str, object]) -> bool:
    folder = url.get("dir_info")
    return isinstance(folder, dict) and bool(folder.get("editable"))


def _origin(url: dict[str, object]) -> str:
    address, code = url.get("url"), url.get("vcs_info")
    if not isinstance(address, str):
        return ""
    # A password in an address is nobody's business.
    address = re.sub(r"(?<=://)[^/@]*@", "", address)
    if isinstance(code, dict):
        return f"{code.get('vcs')}+{address}@{code.get('commit_id')}"
    return address


_INSTALLERS = ("/INSTALLER,", "/REQUESTED,", "/direct_url.json,", "/uv_cache.json,")
"""What an installer adds of its own to a wheel's files."""


def _content(distribution: importlib.metadata.Distribution) -> str:
    """The sha256 of what the wheel holds: path, hash and size of its files, whoever installed it and wherever to.

    Scripts and compiled files are made on installing, and differ from place to place.
    """
    lines = (distribution.read_text("RECORD") or "").splitlines()
    kept = sorted(
        line
        for line in lines
        if ",sha256=" in line and not line.startswith(("../", "/")) and not any(one in line for one in _INSTALLERS)
    )
    return hashlib.sha256("\n".join(kept).encode()).hexdigest() if kept else ""


_VECTOR = re.compile(r"(?:avx|amx|sse4|fma|f16c|bmi|vnni|neon|asimd|sve|bf16|i8mm|dotprod)\w*$")


def _machine() -> Machine:
    fields = dict(_cpu_fields())
    flags = {flag for flag in fields.get("flags", fields.get("Features", "")).split() if _VECTOR.match(flag)}
    return Machine(
        os=_os_name(),
        libc=" ".join(part for part in platform.libc_ver() if part),
        cpu=fields.get("model name", "") or platform.processor() or platform.machine(),
        flags=tuple(sorted(flags)),
        cores=os.cpu_count() or 0,
    )


def _cpu_fields() -> Iterator[tuple[str, str]]:
    """What Linux tells of its first processor; nothing elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return
    for line in first.splitlines():
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"
