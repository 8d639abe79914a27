"""Secrets: sealed before they reach the database, so that a copy of it gives none of them away.

The key lies beside the database, in `.bucle/secret.key`, or in `BUCLE_SECRET_KEY` where several hosts share one.

Source: encrypt-then-MAC (Bellare and Namprempre, 2000) with keyed BLAKE3 as pseudorandom function: its output under a
nonce, as long as the text, is the stream; a second key made from the first authenticates nonce and ciphertext.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import secrets
from pathlib import Path

from blake3 import blake3

from bucle.ground.core import UserError
from bucle.ground.project import Project
from bucle.line.registry.errors import SecretLocked

__all__ = ["KEY_VARIABLE", "seal", "unseal"]

KEY_VARIABLE = "BUCLE_SECRET_KEY"
KEY_BYTES = 32
NONCE_BYTES = 24
MAC_BYTES = 32


def seal(project: Project, text: str) -> str:
    """A text as it may lie in the database; an empty one stays empty.

    Raises:
        UserError: the key in the environment is none.
    """
    if not text:
        return ""
    stream, mark = _keys(project)
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = nonce + _crossed(text.encode(), stream, nonce)
    return base64.b64encode(sealed + _mac(mark, sealed)).decode()


def unseal(project: Project, sealed: str) -> str:
    """The text that `seal` was given.

    Raises:
        SecretLocked: it was sealed with another key, or changed.
    """
    if not sealed:
        return ""
    stream, mark = _keys(project)
    content = base64.b64decode(sealed)
    body, mac = content[:-MAC_BYTES], content[-MAC_BYTES:]
    if not hmac.compare_digest(_mac(mark, body), mac):
        raise SecretLocked(
            "The secret of a webhook cannot be opened.",
            why="It was sealed with another key than this project's.",
            fix=f"Put the old key into .bucle/secret.key or {KEY_VARIABLE}, or give the webhook a new secret.",
        )
    return _crossed(body[NONCE_BYTES:], stream, body[:NONCE_BYTES]).decode()


def _crossed(text: bytes, key: bytes, nonce: bytes) -> bytes:
    stream = blake3(nonce, key=key).digest(length=len(text))
    return bytes(one ^ other for one, other in zip(text, stream, strict=True))


def _mac(key: bytes, data: bytes) -> bytes:
    return blake3(data, key=key).digest()


def _keys(project: Project) -> tuple[bytes, bytes]:
    """The key of the stream and the key of the mark."""
    key = _key(project)
    return blake3(b"stream", key=key).digest(), blake3(b"mark", key=key).digest()


def _key(project: Project) -> bytes:
    given = os.environ.get(KEY_VARIABLE, "")
    if given:
        return _read(given, KEY_VARIABLE)
    file = project.state / "secret.key"
    if not file.exists():
        _make(file)
    return _read(file.read_text(), str(file))


def _make(file: Path) -> None:
    """Write a new key, whole and readable by its owner alone; when another process is quicker, its key stands."""
    fresh = file.with_name(f"{file.name}.{secrets.token_hex(4)}.partial")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(secrets.token_hex(KEY_BYTES))
        out.flush()
        os.fsync(out.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(fresh, file)
    fresh.unlink()


def _read(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UserError(
            f"{where} holds no key.",
            why=f"A key is {2 * KEY_BYTES} hexadecimal digits.",
            fix="Put the old one back, or make one: python -c 'import secrets; print(secrets.token_hex(32))'",
            at=where,
        )
    return key
