"""Chance: one seed for every generator of random numbers that a program draws from."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from bucle.ground.core.errors import UserError

__all__ = ["seed_everything"]

_SEEDERS: dict[str, Callable[[Any, int], object]] = {
    "numpy": lambda numpy, seed: numpy.random.seed(seed % 2**32),
    "torch": lambda torch, seed: torch.manual_seed(seed),
    "tensorflow": lambda tensorflow, seed: tensorflow.random.set_seed(seed),
    "cupy": lambda cupy, seed: cupy.random.seed(seed % 2**32),
}
"""Library -> how its own generator is seeded. scikit-learn draws from numpy's where no `random_state` is given."""


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's, PyTorch's, TensorFlow's and CuPy's own generators.

    A library that is not loaded yet is seeded when it is; nothing is loaded for it. XGBoost and LightGBM have no
    generator of their own: they draw from their parameter `seed`, which has a fixed value unless it is given.

    Args:
        seed: 0 to 2**63 - 1.
    Raises:
        UserError: it is out of range.
    Example:
        >>> import random
        >>> seed_everything(7); first = random.random()
        >>> seed_everything(7); random.random() == first
        True
    """
    if not 0 <= seed < 2**63:
        raise UserError(f"The seed {seed} is out of range.", why="It must fit 63 bits.", fix="Use a smaller one.")
    random.seed(seed)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _WhenLoaded)]
    for name, give in _SEEDERS.items():
        if name in sys.modules:
            give(sys.modules[name], seed)
    sys.meta_path.insert(0, _WhenLoaded(seed))


class _WhenLoaded(MetaPathFinder):
    """Seeds a library right after it is first imported."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._looking = set[str]()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The library's usual place, with a loader that seeds; None for every other module."""
        if fullname not in _SEEDERS or fullname in self._looking:
            return None
        self._looking.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking.discard(fullname)
        if spec is not None and spec.loader is not None:
            _seed_after(spec.loader, _SEEDERS[fullname], self._seed)
        return spec


def _seed_after(loader: Any, give: Callable[[Any, int], object], seed: int) -> None:
    """Have a loader, made for this one import, seed the module when its code has run."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        give(module, seed)

    loader.exec_module = exec_module
