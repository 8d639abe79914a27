"""AWS KMS: tables' keys are wrapped by a key that never leaves the service.

Each key is bound to what it is the key of by the encryption context, which the service's own log shows too.
Source: AWS Key Management Service API 2014-11-01: DescribeKey, Encrypt, Decrypt.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from bucle.ground.core import UserError
from bucle.ground.keys.errors import BadKeyring, KeyMissing, KeysUnreachable, SealBroken

__all__ = ["AwsKms"]

CONTEXT = "bucle-key"
"""The name in the encryption context; its value is the name of the table's key."""

_WAIT = {"connect_timeout": 5, "read_timeout": 10, "retries": {"max_attempts": 4, "mode": "standard"}}
_BROKEN = {"InvalidCiphertextException", "IncorrectKeyException"}
_SERVICE = {"DependencyTimeoutException", "KMSInternalException", "ThrottlingException", "ServiceUnavailable"}


class AwsKms:
    """A key of AWS KMS, by the usual credentials of the environment.

    Args:
        key: its id, its ARN, `alias/…`, or an alias' ARN; symmetric.
        region: where it is; '' leaves it to the ARN or the environment.
        endpoint: of the service; '' is AWS' own.
    Raises:
        BadKeyring: no key is named, or the endpoint would carry keys in plain text.
        UserError: boto3 is not installed.
    """

    def __init__(self, key: str, region: str = "", endpoint: str = "") -> None:
        if not key:
            raise BadKeyring(
                "No key of AWS KMS is named.",
                why="Tables' keys are wrapped by it.",
                fix='[data.encryption] kms_key = "alias/lake"',
                at="kms_key",
            )
        _check_endpoint(endpoint)
        self._key = key
        self._client = _client(region or _region_of(key), endpoint)

    def current(self) -> str:
        """See `KeyProvider`: the ARN of the key, also when an alias names it."""
        found = self._ask("describe_key", self._key, KeyId=self._key)["KeyMetadata"]
        if not found["Enabled"]:
            raise _missing(self._key, f"it is {found['KeyState']}")
        return str(found["Arn"])

    def wrap(self, key: bytes, about: bytes) -> tuple[str, bytes]:
        """See `KeyProvider`."""
        made = self._ask("encrypt", self._key, KeyId=self._key, Plaintext=key, EncryptionContext=_context(about))
        return str(made["KeyId"]), bytes(made["CiphertextBlob"])

    def unwrap(self, master: str, wrapped: bytes, about: bytes) -> bytes:
        """See `KeyProvider`."""
        made = self._ask("decrypt", master, KeyId=master, CiphertextBlob=wrapped, EncryptionContext=_context(about))
        return bytes(made["Plaintext"])

    def close(self) -> None:
        """Give back its connections."""
        self._client.close()

    def _ask(self, what: str, key: str, **given: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # noqa: PLC0415

        try:
            found: dict[str, Any] = getattr(self._client, what)(**given)
        except ClientError as error:
            raise _told(error.response, key) from error
        except NoCredentialsError as error:
            raise _missing(key, "no credentials were found") from error
        except BotoCoreError as error:
            raise _unreachable(str(error)) from error
        return found


def _client(region: str, endpoint: str) -> Any:
    try:
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    except ImportError as error:
        raise UserError(
            "AWS KMS needs the package boto3.", why="It signs what is sent there.", fix="pip install 'bucle[kms]'"
        ) from error
    try:
        # A session of its own: the default one is shared by all threads, and may not be made by two at once.
        session = boto3.session.Session(region_name=region or None)
        return session.client("kms", endpoint_url=endpoint or None, config=Config(**_WAIT))
    except (BotoCoreError, ValueError) as error:
        raise BadKeyring(
            f"AWS KMS cannot be asked: {error}.",
            why="Where its key is must be known.",
            fix='[data.encryption] kms_region = "eu-west-1"',
            at="kms_region",
        ) from error


def _context(about: bytes) -> dict[str, str]:
    return {CONTEXT: about.decode()}


def _region_of(key: str) -> str:
    parts = key.split(":")
    return parts[3] if parts[0] == "arn" and len(parts) > 3 else ""


def _check_endpoint(endpoint: str) -> None:
    split = urlsplit(endpoint)
    if not endpoint or split.scheme == "https" or split.hostname in ("127.0.0.1", "localhost", "::1"):
        return
    raise BadKeyring(
        f"The endpoint {endpoint[:200]!r} is not encrypted.",
        why="Tables' keys would pass the network in plain text.",
        fix="Give one that begins with https://",
        at="kms_endpoint",
    )


def _told(response: dict[str, Any], key: str) -> Exception:
    code = str(response["Error"]["Code"])
    if code in _BROKEN:
        return SealBroken(
            f"AWS KMS does not open a table's key: {code}.",
            why="It was changed, or is another table's.",
            fix="Restore the project's database from a backup.",
            at=key,
        )
    if code in _SERVICE or int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= 500:
        return _unreachable(code)
    return _missing(key, f"{code}: {str(response['Error'].get('Message', ''))[:300]}")


def _missing(key: str, why: str) -> KeyMissing:
    return KeyMissing(
        f"AWS KMS does not let the key {key} be used: {why}.",
        why="Encrypted tables cannot be read or written without it.",
        fix="Let these credentials kms:DescribeKey, kms:Encrypt and kms:Decrypt with it, or enable it again.",
        at=key,
    )


def _unreachable(why: str) -> KeysUnreachable:
    return KeysUnreachable(
        f"AWS KMS does not answer: {why[:300]}.",
        why="Keys that were opened before still work in this process; others wait.",
        fix="Try again; see the network and [data.encryption] kms_endpoint.",
    )
