"""The environment code runs in: Python, the machine's kind, and every installed package with its version."""

from __future__ import annotations

import importlib.metadata
import platform
from functools import lru_cache

from bucle.ground.core.codec import Record
from bucle.ground.core.digest import Digest, digest_of_value

__all__ = ["Environment", "environment"]


class Environment(Record, frozen=True):
    """What a result depends on besides code, data and parameters.

    Attributes:
        python: e.g. `3.11.7`.
        implementation: e.g. `CPython`.
        system: operating system and processor kind, e.g. `Linux-x86_64`.
        packages: name -> version of every installed distribution, sorted.
    """

    python: str
    implementation: str
    system: str
    packages: dict[str, str]

    @property
    def digest(self) -> Digest:
        """The name of this environment: equal environments, equal digests."""
        return digest_of_value(self)

    def lock(self) -> str:
        """The packages as a requirements file, one `name==version` a line."""
        return "".join(f"{name}=={version}\n" for name, version in self.packages.items())


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The environment of this process. Cost: a look at every installed package, once."""
    found = {
        (distribution.name or "").lower().replace("_", "-"): distribution.version
        for distribution in importlib.metadata.distributions()
    }
    found.pop("", None)
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        system=f"{platform.system()}-{platform.machine()}",
        packages=dict(sorted(found.items())),
    )
