"""Code: the source a function's result depends on, found by reading, not by running.

From the function on, every name is followed through the project's own modules: functions, classes, constants, what
they use in turn, and what runs when those modules are imported. Comments, layout, docstrings and the `@step` line do
not count. Installed packages count by version, in the environment. What is only reached by a name made at run time
(`getattr(module, name)`, `importlib`) is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from bucle.ground.code.errors import CodeChanged
from bucle.ground.code.source import Module, Reference, package_root, read_module
from bucle.ground.core import Digest, Record, digest_of, encode

__all__ = ["Code", "CodeReader"]


class Code(Record, frozen=True):
    """What a function's result depends on in source.

    Attributes:
        manifest: `file:name` -> normalised source, for everything reached.
        sources: file -> digest of its bytes, for every file of the project that is loaded.
        imports: installed modules those files import.
    """

    manifest: dict[str, str]
    sources: dict[str, str]
    imports: tuple[str, ...]

    @property
    def digest(self) -> Digest:
        """The name of this code: equal code, equal digests; the blob of the manifest bears it too."""
        return digest_of(self.blob)

    @property
    def blob(self) -> bytes:
        """The manifest's bytes."""
        return encode(self.manifest)


class CodeReader:
    """Reads code from disk; each file is read once, so that one reader sees one state of it.

    Args:
        root: the project's folder; what lies in it, besides installed packages, is the project's own.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._modules: dict[Path, Module] = {}
        self._codes: dict[tuple[Path, str], Code] = {}

    def read(self, file: Path, name: str) -> Code:
        """The code of a top-level function.

        Raises:
            CodeChanged: the file has no such function any more, or is no Python.
        """
        known = self._codes.get((file, name))
        if known is None:
            known = self._codes[file, name] = _Walk(self, self._root, file).walk(name)
        return known

    def module(self, file: Path) -> Module:
        """A file, read and cut into its top-level names."""
        if file not in self._modules:
            self._modules[file] = read_module(file)
        return self._modules[file]


class _Walk:
    """One walk from a function through everything it reaches."""

    def __init__(self, reader: CodeReader, root: Path, file: Path) -> None:
        self._reader = reader
        self._root = root
        self._file = file
        self._own = (root, file.parent)
        self._bases = tuple(dict.fromkeys((root, file.parent, package_root(file.parent))))
        self._manifest: dict[str, str] = {}
        self._loaded: dict[Path, Module] = {}
        self._imports: set[str] = set()
        self._pending: list[tuple[Path, str]] = []

    def walk(self, name: str) -> Code:
        if not self._load(self._file).has(name):
            raise CodeChanged(
                f"{self._file} has no function {name!r} at its top level now.",
                why="It was there when the module was imported.",
                fix="Start the process again, or put the function back.",
                at=str(self._file),
            )
        self._pending.append((self._file, name))
        while self._pending:
            self._visit(*self._pending.pop())
        return Code(
            manifest=self._manifest,
            sources={str(file): module.digest for file, module in self._loaded.items()},
            imports=tuple(sorted(self._imports)),
        )

    def _visit(self, file: Path, name: str) -> None:
        label = f"{self._label(file)}:{name}"
        if label in self._manifest:
            return
        module = self._load(file)
        self._manifest[label] = module.source(name)
        self._follow(module, module.references(name))

    def _load(self, file: Path) -> Module:
        """Take a module in with what runs on its import, and the modules it imports likewise."""
        if file in self._loaded:
            return self._loaded[file]
        module = self._loaded[file] = self._reader.module(file)
        for init in self._packages(file):
            self._load(init)
        if module.effects:
            self._manifest[f"{self._label(file)}:"] = module.source("")
        for dotted, name in module.imported():
            files = [*self._files(dotted, module), *self._files(_joined(dotted, name), module)]
            for found in files:
                self._load(found)
            if not files and not dotted.startswith("."):
                self._imports.add(dotted)
        self._follow(module, module.references(""))
        return module

    def _follow(self, module: Module, references: Iterable[Reference]) -> None:
        for reference in references:
            if reference.module is None:
                if module.has(reference.name):
                    self._pending.append((module.file, reference.name))
                continue
            if not self._follow_import(module, reference):
                self._manifest[f"{self._label(module.file)}:import {reference.text}"] = reference.text

    def _follow_import(self, module: Module, reference: Reference) -> bool:
        """Whether the reference leads to a module of the project; then what it means there is taken in."""
        dotted, attributes = str(reference.module), list(reference.attributes)
        files = self._files(dotted, module)
        while files and attributes:
            target, name = self._load(files[-1]), attributes.pop(0)
            if target.has(name):
                self._pending.append((target.file, name))
                return True
            alias = target.import_of(name)
            if alias is not None:
                return self._follow_import(target, alias._replace(attributes=(*alias.attributes, *attributes)))
            dotted = _joined(dotted, name)
            deeper = self._files(dotted, module)
            if not deeper:
                self._take_all(target)
                return True
            files = deeper
        if not files:
            return False
        self._take_all(self._load(files[-1]))
        return True

    def _take_all(self, module: Module) -> None:
        self._pending.extend((module.file, name) for name in module.names())

    def _files(self, dotted: str, importer: Module) -> list[Path]:
        """The project's own files an import loads, outermost package first; empty for an installed module."""
        level = len(dotted) - len(dotted.lstrip("."))
        parts = [part for part in dotted[level:].split(".") if part]
        if level:
            bases: tuple[Path, ...] = (importer.file.parents[level - 1],)
        else:
            bases = self._bases
        for base in bases:
            found = list(_on_path(base, parts))
            if found and self._is_own(found[-1]) and _reaches(base, parts, found[-1]):
                return [file for file in found if self._is_own(file)]
        return []

    def _packages(self, file: Path) -> Iterator[Path]:
        """The packages a module lies in, innermost first: importing it runs them too."""
        folder = file.parent
        while folder != self._root and (folder / "__init__.py").is_file() and self._is_own(folder / "__init__.py"):
            if folder / "__init__.py" != file:
                yield folder / "__init__.py"
            folder = folder.parent

    def _is_own(self, file: Path) -> bool:
        installed = {"site-packages", "dist-packages"}.intersection(file.parts)
        return not installed and any(file.is_relative_to(base) for base in self._own)

    def _label(self, file: Path) -> str:
        for base in self._own:
            if file.is_relative_to(base):
                return file.relative_to(base).as_posix()
        return file.name


def _on_path(base: Path, parts: list[str]) -> Iterator[Path]:
    folder = base
    if not parts and (base / "__init__.py").is_file():
        yield base / "__init__.py"
    for part in parts:
        for candidate in (folder / part / "__init__.py", folder / f"{part}.py"):
            if candidate.is_file():
                yield candidate
                break
        folder = folder / part


def _reaches(base: Path, parts: list[str], last: Path) -> bool:
    """Whether the last file found is the module meant, not just a package above it."""
    wanted = base.joinpath(*parts)
    return last in (wanted / "__init__.py", wanted.with_name(f"{wanted.name}.py"))


def _joined(dotted: str, name: str) -> str:
    return dotted + name if dotted.endswith(".") or not name else f"{dotted}.{name}"
