"""Keys: of each encrypted table one, wrapped by a key that lies outside of the project."""

from bucle.ground.keys.cipher import SEAL_BYTES, Cipher, is_sealed, key_named
from bucle.ground.keys.errors import (
    BadKeyring,
    KeyDestroyed,
    KeyMissing,
    KeysOff,
    KeysUnreachable,
    NoSuchKey,
    SealBroken,
)
from bucle.ground.keys.provider import EncryptionSection, KeyProvider, make_keyring, provider_of
from bucle.ground.keys.ring import (
    cipher_again,
    cipher_anew,
    cipher_for,
    cipher_of,
    destroy,
    file_patterns,
    has_key,
    holder_of_file,
    is_encrypted,
    keys,
    rotate,
    unseal,
)
from bucle.ground.keys.table_key import TableKey

__all__ = [
    "SEAL_BYTES",
    "BadKeyring",
    "Cipher",
    "EncryptionSection",
    "KeyDestroyed",
    "KeyMissing",
    "KeyProvider",
    "KeysOff",
    "KeysUnreachable",
    "NoSuchKey",
    "SealBroken",
    "TableKey",
    "cipher_again",
    "cipher_anew",
    "cipher_for",
    "cipher_of",
    "destroy",
    "file_patterns",
    "has_key",
    "holder_of_file",
    "is_encrypted",
    "is_sealed",
    "key_named",
    "keys",
    "make_keyring",
    "provider_of",
    "rotate",
    "unseal",
]
