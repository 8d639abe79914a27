"""Contents and trees sent to another place and fetched from there: only what the other side lacks, several at once.

Everything goes by the digest of its bytes and appears whole, so a transfer that was cut short is simply begun again:
what has arrived is not sent a second time.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from blake3 import blake3

from bucle.ground.core import short
from bucle.ground.project import Project
from bucle.line.files.chunks import filling
from bucle.line.files.content import is_kept, pieces_of
from bucle.line.files.errors import PackDamaged
from bucle.line.files.far import FarPacks
from bucle.line.files.pack import ENDING, Listing, PackWriter
from bucle.line.files.packs import Packs, packs_of, room_for
from bucle.line.files.tree import parts_of

__all__ = ["Tell", "fetch_contents", "fetch_trees", "send_contents", "send_trees"]

Tell = Callable[[int, int], None]
"""Told how many bytes of how many have been moved; from several threads."""

_AT_ONCE = 8
_RUN = 8 << 20
"""Contents that lie side by side are asked for together, so many bytes at once."""

_PACK = 128 << 20
_TREES = "trees/"

T = TypeVar("T")
R = TypeVar("R")


def send_contents(project: Project, far: FarPacks, digests: Iterable[str], tell: Tell) -> int:
    """Send the contents that are not there.

    A pack most of which is lacking goes as it is; of others the lacking contents go in a pack made for this.

    Returns:
        How many bytes were sent.
    Raises:
        BlobMissing, PackDamaged: a content is not here or has other bytes than it had.
        BucketFailed, DiskFull: it could not be sent; what arrived before stays and is not sent again.
    """
    packs = packs_of(project)
    packs.refresh()
    far.refresh()
    wanted = [digest for digest in dict.fromkeys(digests) if not far.listed.has(digest)]
    lacking = {p for d in wanted for p in packs.parts(d) if p not in far.listed.places}
    whole, loose = _by_pack(packs, lacking)
    folder = project.state / "files" / "outgoing"
    total = sum(packs.path(name).stat().st_size for name in whole)
    total += sum(packs.listed.places[d][2] for d in loose if d in packs.listed.places)
    done = [0]

    def send(path: Path) -> int:
        size, sent = path.stat().st_size, far.send(path)
        done[0] += size
        tell(min(done[0], total), total)
        return sent

    with packs.held():
        sent = sum(_each(send, [packs.path(name) for name in whole]))
        told = {d for d in wanted if d in packs.listed.files and packs.listed.files[d][0] not in whole}
        for path in _gathered(project, folder, loose, told, packs):
            try:
                sent += send(path)
            finally:
                path.unlink(missing_ok=True)
    return sent


def fetch_contents(project: Project, far: FarPacks, digests: Iterable[str], tell: Tell) -> int:
    """Fetch the contents that are not here, each compared. Keep sweeps off meanwhile: `packs.held()`.

    Returns:
        How many bytes came.
    Raises:
        PackDamaged: one is not there, or has other bytes than its name says.
        BucketFailed, DiskFull: it could not be fetched; whole packs that came before stay.
    """
    packs = packs_of(project)
    packs.refresh()
    far.refresh()
    wanted = [digest for digest in dict.fromkeys(digests) if not is_kept(project, digest)]
    for digest in wanted:
        if not far.listed.has(digest):
            raise _not_there(digest, far)
    lacking = {part for digest in wanted for part in far.listed.parts(digest) if not packs.has(part)}
    here = defaultdict[str, list[str]](list)
    for digest in lacking:
        here[far.listed.places[digest][0]].append(digest)
    sizes = {name: sum(far.listed.places[d][2] for d in held) for name, held in here.items()}
    whole = [name for name in here if 2 * sizes[name] >= far.size(name) and _may_be_kept(far.listing(name), packs)]
    total, done = sum(far.size(name) if name in whole else sizes[name] for name in here), [0]

    def count(size: int) -> int:
        done[0] += size
        tell(min(done[0], total), total)
        return size

    with room_for("the files' contents"):
        came = sum(_each(lambda name: count(far.fetch(name, packs.folder)), whole))
    for name in whole:
        packs.keep_far(name)
    with filling(packs) as filler:
        runs = [run for name in here if name not in whole for run in _runs(far, here[name])]
        for found in _each(far.read, runs):
            for digest, content in found.items():
                filler.put(digest, content)
                came += count(len(content))
        filler.settle()
        for digest in wanted:
            _compare(project, digest, far)
            filler.put_file(digest, far.listed.parts(digest), far.listed.key_of(digest))
        filler.settle()
    return came


def send_trees(project: Project, far: FarPacks, tree: str) -> int:
    """Send the blobs of a tree that are not there; how many bytes that were. Send what it names first."""
    there = far.objects.sizes(_TREES)
    parts = [part for part in dict.fromkeys([*parts_of(project, tree), tree]) if part]

    def send(part: str) -> int:
        data = project.blobs.get(part)
        far.objects.put(f"{_TREES}{part}", data)
        return len(data)

    return sum(_each(send, [part for part in parts if f"{_TREES}{part}" not in there]))


def fetch_trees(project: Project, far: FarPacks, tree: str) -> int:
    """Fetch the blobs of a tree that are not here, each compared; how many bytes that were.

    Raises:
        PackDamaged: one is not there, or has other bytes than its name says.
    """

    def fetch(part: str) -> int:
        if not part or project.blobs.has(part):
            return 0
        try:
            data = far.objects.get(f"{_TREES}{part}")
        except FileNotFoundError as error:
            raise _not_there(part, far) from error
        if blake3(data).hexdigest() != part:
            raise _not_there(part, far)
        return len(data) if project.blobs.put(data) else 0

    came = fetch(tree)
    return came + sum(_each(fetch, [part for part in parts_of(project, tree) if part != tree]))


def _by_pack(packs: Packs, lacking: set[str]) -> tuple[list[str], list[str]]:
    """Packs to be sent as they are, and contents to be gathered."""
    held = defaultdict[str, list[str]](list)
    for digest in sorted(lacking):
        held[packs.listed.places[digest][0] if digest in packs.listed.places else ""].append(digest)
    loose = held.pop("", [])
    whole = list[str]()
    for name, digests in held.items():
        path = packs.fetch(name)
        if 2 * sum(packs.listed.places[digest][2] for digest in digests) >= path.stat().st_size:
            whole.append(name)
        else:
            loose += digests
    return whole, loose


def _gathered(project: Project, folder: Path, loose: Sequence[str], told: set[str], packs: Packs) -> Iterator[Path]:
    """Packs of these contents, and of what is told of long files, one after another."""
    rest, files = deque(loose), sorted(told)
    while rest or files:
        writer = PackWriter(folder)
        try:
            while rest and writer.size_bytes < _PACK:
                digest = rest.popleft()
                writer.put(digest, b"".join(pieces_of(project, digest)))
            if not rest:
                for digest in files:
                    writer.put_file(digest, packs.parts(digest), packs.key_of(digest))
                files = []
            name = writer.finish()
        except BaseException:
            with contextlib.suppress(OSError):
                writer.discard()
            raise
        yield folder / f"{name}{ENDING}"


def _runs(far: FarPacks, digests: list[str]) -> Iterator[list[str]]:
    """Contents of one pack that lie side by side, as far as they are asked for together."""
    run, end, size = list[str](), -1, 0
    for digest in sorted(digests, key=lambda one: far.listed.places[one][1]):
        _, begin, length = far.listed.places[digest]
        if run and (begin != end or size + length > _RUN):
            yield run
            run, size = [], 0
        run.append(digest)
        end, size = begin + length, size + length
    if run:
        yield run


def _may_be_kept(listing: Listing, packs: Packs) -> bool:
    """Whether a pack from elsewhere says nothing of files that cannot be compared, or that are here otherwise."""
    return listing.is_whole() and not any(packs.has(file.hex()) for file, _, _ in listing.sealed)


def _compare(project: Project, digest: str, far: FarPacks) -> None:
    """The pieces of a file were compared; whether they are those of this file is only what the other side says.

    Of an encrypted one that is told when it is read, with its key.
    """
    parts, packs = far.listed.parts(digest), packs_of(project)
    if parts == [digest] or far.listed.key_of(digest):
        return
    whole = blake3()
    for part in parts:
        whole.update(packs.piece(part))
    if whole.hexdigest() != digest:
        raise _not_there(digest, far)


def _each(act: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
    """What an act gives for each thing, in their order, several at once and never many results waiting."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        begun = deque[Future[R]]()
        try:
            for thing in things:
                begun.append(pool.submit(act, thing))
                if len(begun) >= _AT_ONCE:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for one in begun:
                one.cancel()


def _not_there(digest: str, far: FarPacks) -> PackDamaged:
    return PackDamaged(
        f"{far.objects.url} does not have the content {short(digest)}, or has other bytes under its name.",
        why="It was removed or changed there; no commit was made of half of the files.",
        fix="Push again from a project that has the files.",
        at=far.objects.url,
    )
