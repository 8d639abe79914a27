"""Keys: of each encrypted table one, wrapped by a key that lies outside of the project."""

from bucle.ground.keys.cipher import Cipher, is_sealed
from bucle.ground.keys.errors import BadKeyring, KeyDestroyed, KeyMissing, KeysOff, NoSuchKey, SealBroken
from bucle.ground.keys.provider import EncryptionSection, KeyProvider, make_keyring, provider_of
from bucle.ground.keys.ring import cipher_for, cipher_of, destroy, is_encrypted, keys, revoked, rotate, unseal
from bucle.ground.keys.table_key import TableKey

__all__ = [
    "BadKeyring",
    "Cipher",
    "EncryptionSection",
    "KeyDestroyed",
    "KeyMissing",
    "KeyProvider",
    "KeysOff",
    "NoSuchKey",
    "SealBroken",
    "TableKey",
    "cipher_for",
    "cipher_of",
    "destroy",
    "is_encrypted",
    "is_sealed",
    "keys",
    "make_keyring",
    "provider_of",
    "revoked",
    "rotate",
    "unseal",
]
