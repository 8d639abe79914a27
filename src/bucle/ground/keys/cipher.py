"""Cipher: what a table's key can do: wrap the keys of files, seal bytes and open them again.

    BUCLESK1 │ name of the table's key, 16 │ wrapped key of these bytes, 60 │ blocks

Each block of 1 MiB is a nonce (12), the ciphertext and the tag (16); a block's additional data is what the bytes are,
the block's number and whether it is the last: no block can be changed, moved, left out or taken for another's.

Contents of files are sealed so that equal ones stay equal, since each is kept once:

    BUCLESC1 │ name of the key, 16 │ keyed BLAKE3 of the content, 32 │ ciphertext and tag

The key of a content comes from that hash, so no two contents share one, and its nonce is nothing.

Source: NIST SP 800-38D (AES-GCM, random 96-bit nonces); the blocks are as in Apache Iceberg's "AES GCM Stream".
"""

from __future__ import annotations

import os

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bucle.ground.keys.errors import SealBroken

__all__ = ["KEY_BYTES", "SEAL_BYTES", "Cipher", "is_sealed", "key_named", "unwrap", "wrap"]

KEY_BYTES = 32
_MAGIC = b"BUCLESK1"
_CONTENT = b"BUCLESC1"
_NAME, _NONCE, _TAG = 16, 12, 16
_WRAPPED = _NONCE + KEY_BYTES + _TAG
_HEADER = len(_MAGIC) + _NAME + _WRAPPED
_BLOCK = 1 << 20
_TOLD = 32
_CONTENT_HEADER = len(_CONTENT) + _NAME + _TOLD

SEAL_BYTES = _CONTENT_HEADER + _TAG
"""So much longer than a content is what `seal_content` makes of it."""


def wrap(by: bytes, key: bytes, about: bytes) -> bytes:
    """A key encrypted by another.

    Args:
        by: 32 bytes.
        about: what it is the key of; it must be given again to unwrap it.
    """
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(by).encrypt(nonce, key, about)


def unwrap(by: bytes, wrapped: bytes, about: bytes) -> bytes:
    """What `wrap` took. Raises SealBroken: it was changed, or wrapped by another key or about something else."""
    try:
        return AESGCM(by).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], about)
    except (InvalidTag, ValueError) as error:
        raise _broken(about) from error


class Cipher:
    """A table's key, at work. It is not shown, not compared and not kept.

    Args:
        name: the key's, 32 hexadecimal digits.
        key: 32 bytes.
    """

    __slots__ = ("_key", "name")

    def __init__(self, name: str, key: bytes) -> None:
        self.name = name
        self._key = key

    def __repr__(self) -> str:
        """Its name only."""
        return f"Cipher({self.name})"

    def new_file_key(self, about: str) -> tuple[bytes, bytes]:
        """A random key of 32 bytes for a file, and that key wrapped; `about` is the file's path."""
        key = os.urandom(KEY_BYTES)
        return key, bytes.fromhex(self.name) + wrap(self._key, key, about.encode())

    def file_key(self, wrapped: bytes, about: str) -> bytes:
        """The key of a file. Raises SealBroken: it was changed, or is another file's."""
        return unwrap(self._key, wrapped[_NAME:], about.encode())

    def seal(self, data: bytes, about: str) -> bytes:
        """Bytes under a random key of their own; `about` says what they are."""
        key, wrapped = self.new_file_key(about)
        sealing, made = AESGCM(key), [_MAGIC, wrapped]
        view, count = memoryview(data), max(1, -(-len(data) // _BLOCK))
        for number in range(count):
            nonce = os.urandom(_NONCE)
            block = view[number * _BLOCK : (number + 1) * _BLOCK]
            made += [nonce, sealing.encrypt(nonce, block, _block_about(about, number, is_last=number == count - 1))]
        return b"".join(made)

    def open(self, sealed: bytes, about: str) -> bytes:
        """What `seal` took. Raises SealBroken: a byte was changed, or it is something else."""
        view = memoryview(sealed)
        key = self.file_key(bytes(view[len(_MAGIC) : _HEADER]), about)
        opening, made = AESGCM(key), list[bytes]()
        size = _NONCE + _BLOCK + _TAG
        body = view[_HEADER:]
        count = max(1, -(-len(body) // size))
        try:
            for number in range(count):
                block = body[number * size : (number + 1) * size]
                told = _block_about(about, number, is_last=number == count - 1)
                made.append(opening.decrypt(bytes(block[:_NONCE]), block[_NONCE:], told))
        except (InvalidTag, ValueError) as error:
            raise _broken(about.encode()) from error
        return b"".join(made)

    def hasher(self) -> blake3:
        """BLAKE3 under this key: names a content, and tells nothing to who has not the key."""
        return blake3(key=self._derived("name of a content"))

    def seal_content(self, content: bytes | memoryview) -> bytes:
        """A content, 72 bytes longer; the same of equal ones."""
        told = blake3(content, key=self._derived("hash of a content")).digest()
        head = _CONTENT + bytes.fromhex(self.name) + told
        return head + AESGCM(self._content_key(told)).encrypt(bytes(_NONCE), content, head)

    def open_content(self, sealed: bytes | memoryview) -> bytes:
        """What `seal_content` took. Raises SealBroken: a byte was changed, or another key sealed it."""
        head = bytes(sealed[:_CONTENT_HEADER])
        try:
            opening = AESGCM(self._content_key(head[-_TOLD:]))
            return opening.decrypt(bytes(_NONCE), sealed[_CONTENT_HEADER:], head)
        except (InvalidTag, ValueError) as error:
            raise _broken(b"a content") from error

    def _content_key(self, told: bytes) -> bytes:
        return blake3(told, key=self._derived("key of a content")).digest()

    def _derived(self, purpose: str) -> bytes:
        return blake3(self._key, derive_key_context=f"bucle 2026 {purpose}").digest()


def is_sealed(data: bytes) -> bool:
    """Whether these bytes are what `Cipher.seal` made."""
    return data.startswith(_MAGIC)


def key_named(sealed: bytes, *, is_key: bool = False) -> str:
    """The name of the table's key that opens sealed bytes; with `is_key`, that unwraps a file's key."""
    begin = 0 if is_key else len(_MAGIC)
    return sealed[begin : begin + _NAME].hex()


def _block_about(about: str, number: int, *, is_last: bool) -> bytes:
    return about.encode() + b"\0" + number.to_bytes(8, "little") + (b"\1" if is_last else b"\0")


def _broken(about: bytes) -> SealBroken:
    named = about.split(b"\0")[0].decode(errors="replace")[:200]
    return SealBroken(
        f"What is encrypted as {named!r} cannot be opened: it has other bytes than were written.",
        why="AES-GCM tells a single changed bit; the key is the right one by its name, so the bytes are not.",
        fix="Name every damaged file with `bucle data verify`, and restore them from a backup.",
        at=named,
    )
