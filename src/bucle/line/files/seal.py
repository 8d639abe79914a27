"""Seal: contents of files that are encrypted, as `[data.encryption] files` says.

What lies in a pack is the sealed bytes under their own digest, so whoever moves, compares or sweeps packs needs no key.
The tree names such a file by the keyed hash of its bytes, and the pack's list says of which sealed pieces it consists.
"""

from __future__ import annotations

from collections.abc import Iterator

from blake3 import blake3

from bucle.ground.core import short
from bucle.ground.keys import Cipher, cipher_again, cipher_for, file_patterns, holder_of_file
from bucle.ground.project import Project
from bucle.line.files.errors import PackDamaged
from bucle.line.files.packs import packs_of

__all__ = ["Seals", "hasher_of", "is_encrypted", "unsealed"]


class Seals:
    """The ciphers of files, each looked up once.

    Args:
        project: whose settings and keys they are.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._patterns = file_patterns(project)
        self._known = dict[str, Cipher]()

    def of(self, path: str) -> Cipher | None:
        """What encrypts a file of the tree; None when it is kept plain. The key is made when there is none.

        Raises:
            KeyMissing, BadKeyring: there is no key to wrap it by.
        """
        holder = holder_of_file(self._patterns, path)
        if not holder:
            return None
        if holder not in self._known:
            self._known[holder] = cipher_for(self._project, holder)
        return self._known[holder]


def is_encrypted(project: Project, digest: str) -> bool:
    """Whether a content that is here is encrypted."""
    packs = packs_of(project)
    return packs.find(digest) and bool(packs.key_of(digest))


def hasher_of(project: Project, key: str) -> blake3:
    """What names contents under a key; '' is none. Raises KeyMissing, KeyDestroyed."""
    return cipher_again(project, key).hasher() if key else blake3(max_threads=blake3.AUTO)


def unsealed(project: Project, digest: str, key: str) -> Iterator[bytes]:
    """An encrypted content that is here, piece by piece, each verified, and at last the whole.

    Raises:
        KeyMissing, KeyDestroyed: its key is not at hand.
        PackDamaged, SealBroken: it has other bytes than were written.
    """
    cipher = cipher_again(project, key)
    whole = cipher.hasher()
    for piece in packs_of(project).read(digest):
        content = cipher.open_content(piece)
        whole.update(content)
        yield content
    if whole.hexdigest() != digest:
        raise PackDamaged(
            f"The content {short(digest)} of an encrypted file is lost.",
            why="The list of its pieces names others than were written.",
            fix="Restore the pack from a backup, or remove it and add the files again.",
            at=digest,
        )
