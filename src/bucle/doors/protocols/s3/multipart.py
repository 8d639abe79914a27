"""Multipart: an object that comes in parts, put together without writing a byte of it again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain, pairwise

from bucle.doors.protocols.s3 import objects
from bucle.doors.protocols.s3.checks import NO_SUM, PREFIX, Checks
from bucle.doors.protocols.s3.errors import S3Error, invalid, not_implemented
from bucle.doors.protocols.s3.uploads import Upload, Uploads
from bucle.doors.protocols.s3.wire import Answer, Call, document, etag_of, iso_time, target_of
from bucle.doors.protocols.s3.xml import parse, text_of
from bucle.line import files

__all__ = ["abort", "complete", "create", "listing", "parts", "put_part"]

_MOST = 10_000
_PAGE = 1000
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})")


def create(call: Call) -> Answer:
    """Begin an upload."""
    _target(call)
    told = objects.told_of(call.headers)
    at = iso_time(call.project.clock.now())
    name = Uploads(call.project).begin(Upload(call.key, call.principal, told, at))
    return document("InitiateMultipartUploadResult", [("Bucket", call.bucket), ("Key", call.key), ("UploadId", name)])


def put_part(call: Call) -> Answer:
    """Take a part: of what is sent, or of an object that is there."""
    uploads, name, path = _found(call)
    number = call.query.get("partNumber", "")
    if not (number.isdecimal() and number.isascii() and len(number) < 6 and 1 <= int(number) <= _MOST):
        raise invalid(f"A part's number is from 1 to {_MOST}.")
    if uploads.ended(name) is not None:
        raise S3Error(404, "NoSuchUpload", "The upload is completed.")
    is_copy = "x-amz-copy-source" in call.headers
    source = _copied(call) if is_copy else call.body
    packs = files.packs_of(call.project)
    with packs.held():
        with files.filling(packs) as filler:
            entry = files.FileEntry(*filler.put_stream(source, files.Seals(call.project).of(path)))
            filler.settle()
        uploads.keep_part(name, int(number), entry)
    if is_copy:
        now = iso_time(call.project.clock.now())
        return document("CopyPartResult", [("LastModified", now), ("ETag", etag_of(entry))])
    return Answer(200, {"etag": etag_of(entry), **call.body.checksum})


def complete(call: Call) -> Answer:
    """Make the parts one object, durable and visible when this answers."""
    uploads, name, path = _found(call)
    upload, made = uploads.find(name, call.key, call.principal), uploads.ended(name)
    if made is None:
        wanted = _wanted(call, uploads.parts(name))
        with files.packs_of(call.project).held():
            made = _joined(call, wanted, path)
            objects.commit(call, made, upload.told)
        uploads.end(name, made)
    told = [("Location", f"/{call.bucket}/{call.key}"), ("Bucket", call.bucket), ("Key", call.key)]
    return document("CompleteMultipartUploadResult", [*told, ("ETag", etag_of(made))])


def abort(call: Call) -> Answer:
    """Forget an upload."""
    uploads, name, _ = _found(call)
    uploads.forget(name)
    return Answer(204)


def parts(call: Call) -> Answer:
    """The parts that came."""
    uploads, name, _ = _found(call)
    upload = uploads.find(name, call.key, call.principal)
    after, most = _number(call, "part-number-marker", 0), min(_PAGE, _number(call, "max-parts", _PAGE))
    left = [(number, entry) for number, entry in uploads.parts(name).items() if number > after]
    shown = left[:most]
    return document(
        "ListPartsResult",
        [
            ("Bucket", call.bucket),
            ("Key", call.key),
            ("UploadId", name),
            ("PartNumberMarker", after),
            ("NextPartNumberMarker", shown[-1][0] if shown else 0),
            ("MaxParts", most),
            ("IsTruncated", len(left) > len(shown)),
            *(
                (
                    "Part",
                    [
                        ("PartNumber", number),
                        ("LastModified", upload.at),
                        ("ETag", etag_of(entry)),
                        ("Size", entry.size_bytes),
                    ],
                )
                for number, entry in shown
            ),
        ],
    )


def listing(call: Call) -> Answer:
    """The principal's uploads that are under way."""
    prefix = call.query.get("prefix", "")
    found = [
        ("Upload", [("Key", one.key), ("UploadId", name), ("Initiated", one.at)])
        for name, one in Uploads(call.project).under_way()
        if one.principal == call.principal and one.key.startswith(prefix)
    ]
    told = [("Bucket", call.bucket), ("Prefix", prefix), ("MaxUploads", _PAGE), ("IsTruncated", False)]
    return document("ListMultipartUploadsResult", [*told, *found])


def _found(call: Call) -> tuple[Uploads, str, str]:
    """The uploads, the id of the one that is meant, and the path where it will be; for who may write there."""
    path = _target(call)
    uploads, name = Uploads(call.project), call.query["uploadId"]
    uploads.find(name, call.key, call.principal)
    return uploads, name, path


def _target(call: Call) -> str:
    """The path of the object that is to be; errors as for `target_of`."""
    _, path = target_of(call)
    if path.endswith("/"):
        raise invalid("A key that ends with a slash is a folder, and has no bytes.")
    return path


def _wanted(call: Call, there: dict[int, files.FileEntry]) -> list[files.FileEntry]:
    """The parts that a client names, each as it was acknowledged."""
    root = parse(call.body.whole(2 << 20))
    named = [
        (text_of(one, "PartNumber").strip(), text_of(one, "ETag").strip().strip('"')) for one in root.findall("Part")
    ]
    if root.tag != "CompleteMultipartUpload" or not named or not all(number.isdecimal() for number, _ in named):
        raise invalid("The parts are named by number and entity tag.", "MalformedXML")
    numbers = [int(number) for number, _ in named]
    if any(after <= before for before, after in pairwise(numbers)):
        raise invalid("The list of parts was not in ascending order.", "InvalidPartOrder")
    for number, tag in zip(numbers, (tag for _, tag in named), strict=True):
        if number not in there or etag_of(there[number]).strip('"') != tag:
            raise _no_part(number)
    return [there[number] for number in numbers]


def _joined(call: Call, wanted: list[files.FileEntry], path: str) -> files.FileEntry:
    """Parts as one content: the pieces in which they lie already, under the name of the whole."""
    packs, cipher = files.packs_of(call.project), files.Seals(call.project).of(path)
    packs.refresh()
    for number, one in enumerate(wanted, 1):
        if not packs.has(one.digest):
            raise _no_part(number)
    read = chain.from_iterable(files.read_range(call.project, one, 0, one.size_bytes) for one in wanted)
    checks = Checks(_sums_of_all(call.headers), "")
    contents = checks.passing(read)
    with files.filling(packs) as filler:
        if any(packs.key_of(one.digest) != (cipher.name if cipher else "") for one in wanted):
            entry = files.FileEntry(*filler.put_stream(objects.Pieces(contents), cipher))
        else:
            pieces = [piece for one in wanted if one.size_bytes for piece in packs.parts(one.digest)]
            entry = files.FileEntry(*filler.put_joined(pieces, contents, cipher))
        checks.compare({})
        filler.settle()
    return entry


def _sums_of_all(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksums that a client says of the whole object; of those made of the parts' it cannot be compared."""
    told = {name: value for name, value in headers.items() if name.startswith(PREFIX) and name not in NO_SUM}
    if told and headers.get("x-amz-checksum-type", "FULL_OBJECT") != "FULL_OBJECT":
        raise not_implemented("A checksum made of those of the parts")
    return told


def _copied(call: Call) -> objects.Pieces:
    entry = objects.source_of(call).entry
    begin, end = 0, entry.size_bytes
    asked = call.headers.get("x-amz-copy-source-range")
    if asked is not None:
        found = _RANGE.fullmatch(asked)
        if found is None or not int(found[1]) <= int(found[2]) < end:
            raise invalid("The range of a copy is bytes=FIRST-LAST, within the object.")
        begin, end = int(found[1]), int(found[2]) + 1
    return objects.Pieces(files.read_range(call.project, entry, begin, end))


def _number(call: Call, name: str, default: int) -> int:
    given = call.query.get(name, str(default))
    if not (given.isdecimal() and given.isascii() and len(given) < 10):
        raise invalid(f"{name} must be an integer from 0 on.")
    return int(given)


def _no_part(number: int) -> S3Error:
    return invalid(
        f"Part {number} could not be found: it was not sent, another was acknowledged, or it was swept away.",
        "InvalidPart",
    )
