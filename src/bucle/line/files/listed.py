"""What packs hold, as their lists tell it: which content is where, and of which pieces a file consists."""

from __future__ import annotations

from bucle.line.files.pack import Listing, hexes

__all__ = ["Listed"]


class Listed:
    """The lists of some packs, taken together.

    Attributes:
        packs: whose lists were learned, and those whose list is damaged.
        places: content -> pack, where it begins there, how long it is.
        files: file kept as chunks, or encrypted -> pack that says so, its pieces.
        keys: encrypted file -> the name of the key.
    """

    def __init__(self) -> None:
        self.packs = set[str]()
        self.places = dict[str, tuple[str, int, int]]()
        self.files = dict[str, tuple[str, bytes]]()
        self.keys = dict[str, str]()

    def learn(self, name: str, listing: Listing) -> None:
        """Take in a pack's list."""
        found = listing.places().items()
        self.places.update({digest: (name, begin, length) for digest, (begin, length) in found})
        self.files.update({digest: (name, held) for digest, held in listing.pieces().items()})
        self.keys.update({digest.hex(): key.hex() for digest, _, key in listing.sealed})
        self.packs.add(name)

    def has(self, digest: str) -> bool:
        """Whether a content is there, whole or all its chunks."""
        return all(part in self.places for part in self.parts(digest))

    def parts(self, digest: str) -> list[str]:
        """The digests of the contents a file consists of: itself, where it is there whole, or its chunks."""
        return hexes(self.files[digest][1]) if digest in self.files and digest not in self.places else [digest]

    def key_of(self, digest: str) -> str:
        """The name of the key that opens a content that is there; '' of a plain one."""
        return self.keys.get(digest, "") if digest not in self.places else ""

    def needed_for(self, digest: str) -> set[str]:
        """The names of the packs without which a content that is there could not be read."""
        told = {self.files[digest][0]} if digest in self.files else set[str]()
        return told | {self.places[part][0] for part in self.parts(digest) if part in self.places}
