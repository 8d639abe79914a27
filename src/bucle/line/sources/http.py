"""An address, read over HTTP: again only when it changed, and onwards from a cursor where it takes one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import httpx

from bucle.line.sources.errors import SourceTooLarge
from bucle.line.sources.formats import read_file
from bucle.line.sources.pulled import Desk, Pulled, failed, greatest
from bucle.line.sources.source import Source, filled

__all__ = ["pull_http"]

_REDIRECTS = 5
_KINDS = {
    "text/csv": ".csv",
    "application/json": ".json",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}


def pull_http(desk: Desk) -> Pulled | None:
    """The rows at an address; None when it says that nothing changed, or that nothing is newer than the cursor.

    Raises:
        SourceFailed: it does not answer, or with an error.
        SourceTooLarge: the answer is larger than it may be.
        SecretMissing: an environment variable is not set.
    """
    source, before = desk.source, desk.before
    value = before.get("value", source.start)
    address = filled(source.location.replace("{cursor}", quote("" if value is None else str(value), safe="")))
    headers = {name: filled(text) for name, text in source.headers.items()}
    if source.sync == "full":
        headers |= {
            k: before[n] for k, n in (("if-none-match", "etag"), ("if-modified-since", "modified")) if before.get(n)
        }
    with _asked(source, address, headers) as (answer, address):
        if answer.status_code in (httpx.codes.NOT_MODIFIED, httpx.codes.NO_CONTENT):
            return None
        path = _kept(source, answer, desk.folder / "answer")
        name = _named(source, address, answer)
        marks = {"etag": answer.headers.get("etag", ""), "modified": answer.headers.get("last-modified", "")}
    if path.stat().st_size == 0 or path.read_bytes()[:3].strip() == b"[]":
        return None
    parts = [read_file(source, path, name)]
    if source.sync == "full":
        return Pulled(parts=parts, after=lambda _: marks)
    return Pulled(parts=parts, after=lambda rows: {"value": greatest(source.cursor, rows, value)})


@contextmanager
def _asked(source: Source, address: str, headers: dict[str, str]) -> Iterator[tuple[httpx.Response, str]]:
    """The answer and where it came from.

    Redirects lead to http and https only; headers, which may hold a key, go to the same host only.
    """
    host = urlsplit(address).netloc
    try:
        with httpx.Client(timeout=httpx.Timeout(30, read=120), follow_redirects=False, trust_env=False) as client:
            for _ in range(_REDIRECTS + 1):
                mine = headers if urlsplit(address).netloc == host else {}
                with client.stream("GET", address, headers=mine) as answer:
                    if not answer.is_redirect or answer.status_code == httpx.codes.NOT_MODIFIED:
                        if answer.status_code >= httpx.codes.BAD_REQUEST:
                            raise failed(source, f"it answers {answer.status_code}")
                        yield answer, address
                        return
                    address = urljoin(address, answer.headers.get("location", ""))
                    if not address.startswith(("http://", "https://")):
                        raise failed(source, "it sends on to what is neither http nor https")
            raise failed(source, f"it sends on more than {_REDIRECTS} times")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # Never its text: that may show the address, and with it a key.
        raise failed(source, type(error).__name__) from None


def _kept(source: Source, answer: httpx.Response, path: Path) -> Path:
    size = 0
    with path.open("wb") as file:
        for piece in answer.iter_bytes(1 << 20):
            size += len(piece)
            if size > source.largest_bytes:
                raise SourceTooLarge(
                    f"The answer to source {source.name!r} has more than {source.largest_bytes} bytes.",
                    why="Nothing of it has landed.",
                    fix=f"Set `largest_bytes:` in sources/{source.name}.yaml.",
                    at=source.name,
                )
            file.write(piece)
    return path


def _named(source: Source, address: str, answer: httpx.Response) -> str:
    name = urlsplit(address).path.rpartition("/")[2]
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return name if source.format or "." in name else f"{name}{_KINDS.get(kind, '')}"
