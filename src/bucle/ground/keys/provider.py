"""Provider: who holds the keys that wrap tables' keys. They never lie in the project."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import Literal, Protocol

from blake3 import blake3

from bucle.ground.core import Section
from bucle.ground.keys.aws_kms import AwsKms
from bucle.ground.keys.cipher import KEY_BYTES, unwrap, wrap
from bucle.ground.keys.errors import BadKeyring, KeyMissing, KeysOff
from bucle.ground.project import Project

__all__ = ["EncryptionSection", "KeyProvider", "Keyring", "make_keyring", "provider_of"]


class EncryptionSection(Section, frozen=True):
    """`[data.encryption]`: which tables and files are encrypted, and who holds the keys.

    Attributes:
        tables: patterns of names; `*` stands for anything. A table that is encrypted stays so.
        files: patterns of paths in the file tree; `*` stands for anything, slashes too. One key each.
        provider: `file`, a keyring file outside of the project; `env`, a variable of the environment; `aws-kms`, a key
            that never leaves AWS KMS.
        keyring: of `file`: the path; relative to the project's folder, `~` is the user's.
        keyring_env: of `env`: the variable; 32 bytes in base64, several with commas between, the newest last.
        kms_key: of `aws-kms`: the key's id, ARN, or `alias/…`.
        kms_region: of `aws-kms`: where it is; empty leaves it to the ARN or the environment.
        kms_endpoint: of `aws-kms`: the service's address, if it is not AWS' own.
    """

    tables: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    provider: Literal["file", "env", "aws-kms"] = "file"
    keyring: str = "~/.config/bucle/keyring"
    keyring_env: str = "BUCLE_KEYRING"
    kms_key: str = ""
    kms_region: str = ""
    kms_endpoint: str = ""


class KeyProvider(Protocol):
    """Wraps keys by one that it holds.

    Laws: `unwrap(*wrap(key, about), about)` is the key; another `about` or a changed byte raises.
    """

    def current(self) -> str:
        """The name of the key that wraps now. Raises KeyMissing, BadKeyring; as the others KeysUnreachable."""
        ...

    def wrap(self, key: bytes, about: bytes) -> tuple[str, bytes]:
        """The name of the key that wrapped, and the wrapped key. Raises KeyMissing, BadKeyring."""
        ...

    def unwrap(self, master: str, wrapped: bytes, about: bytes) -> bytes:
        """The key. Raises KeyMissing: that master is not here. SealBroken: it was changed."""
        ...


class Keyring:
    """Keys of 256 bits, the newest last.

    Args:
        texts: each in base64.
        where: for messages.
    Raises:
        BadKeyring: one has not 32 bytes.
    """

    def __init__(self, texts: list[str], where: str) -> None:
        self._where = where
        self._keys = dict[str, bytes]()
        for text in texts:
            key = _decoded(text, where)
            self._keys[_name_of(key)] = key

    def current(self) -> str:
        """See `KeyProvider`."""
        if not self._keys:
            raise _missing("any key", self._where)
        return next(reversed(self._keys))

    def wrap(self, key: bytes, about: bytes) -> tuple[str, bytes]:
        """See `KeyProvider`."""
        master = self.current()
        return master, wrap(self._keys[master], key, about)

    def unwrap(self, master: str, wrapped: bytes, about: bytes) -> bytes:
        """See `KeyProvider`."""
        if master not in self._keys:
            raise _missing(f"the key {master}", self._where)
        return unwrap(self._keys[master], wrapped, about)


def provider_of(project: Project) -> KeyProvider:
    """Who holds the project's keys.

    Raises:
        KeyMissing: there is no keyring.
        BadKeyring: it cannot be used.
    """
    section = project.config.section("data.encryption", EncryptionSection)
    if section.provider == "aws-kms":
        return project.keep(AwsKms, lambda: AwsKms(section.kms_key, section.kms_region, section.kms_endpoint))
    if section.provider == "env":
        text = os.environ.get(section.keyring_env, "")
        return Keyring([part.strip() for part in text.split(",") if part.strip()], f"${section.keyring_env}")
    path = _path_of(project, section)
    try:
        state = path.stat()
        text = path.read_text()
    except OSError as error:
        raise _missing(f"the keyring ({error.strerror})", str(path)) from error
    if stat.S_IMODE(state.st_mode) & 0o077:
        raise BadKeyring(
            f"The keyring {path} can be read by others.",
            why="Whoever has it can read all that is encrypted.",
            fix=f"chmod 600 {path}",
            at=str(path),
        )
    return Keyring([line.strip() for line in text.splitlines() if line.strip()], str(path))


def make_keyring(project: Project) -> Path:
    """Add a new random key to the keyring file, which is made if it is not there; what was wrapped before stays so
    until `rotate`. The file is replaced in one step.

    Raises:
        KeysOff: the project's provider is no file.
        BadKeyring: the file is to lie in the project.
    """
    section = project.config.section("data.encryption", EncryptionSection)
    if section.provider == "aws-kms":
        raise KeysOff(
            f"The key is {section.kms_key} of AWS KMS, which is not made from here.",
            why="It never leaves the service.",
            fix="Make another there, let the alias name it, and then: bucle keys rotate",
        )
    if section.provider != "file":
        raise KeysOff(
            f"The keys come from ${section.keyring_env}, which is not written from here.",
            why="The environment is set by who starts the program.",
            fix="Put a new one behind the others there: openssl rand -base64 32",
        )
    path = _path_of(project, section)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = path.read_text() if path.exists() else ""
    if before:
        provider_of(project)
    new = base64.b64encode(os.urandom(KEY_BYTES)).decode()
    fresh = path.with_name(f"{path.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write("\n".join([*before.split(), new]) + "\n")
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
    return path


def _path_of(project: Project, section: EncryptionSection) -> Path:
    path = (project.root / Path(section.keyring).expanduser()).resolve()
    if path.is_relative_to(project.root):
        raise BadKeyring(
            f"The keyring {path} would lie in the project.",
            why="Who copies the project would have the keys as well.",
            fix='Name a place outside of it: [data.encryption] keyring = "~/.config/bucle/keyring"',
            at=str(path),
        )
    return path


def _name_of(key: bytes) -> str:
    return blake3(key, derive_key_context="bucle 2026 name of a master key").hexdigest(length=8)


def _decoded(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadKeyring(
            f"A key in {where} is not 32 bytes in base64.",
            why="AES-256 needs 256 bits.",
            fix="Make one: openssl rand -base64 32",
            at=where,
        )
    return key


def _missing(what: str, where: str) -> KeyMissing:
    return KeyMissing(
        f"{where} does not hold {what}.",
        why="What is encrypted cannot be read or written without it.",
        fix="Put the keyring back from its backup; a new project makes one with: bucle keys new",
        at=where,
    )
