"""Index: what was made of every datum, so that the next run need only look at what is new."""

from __future__ import annotations

from bucle.ground.core import Digest, Record, decode, encode
from bucle.ground.project import Project
from bucle.line.datums.datum import Datum
from bucle.line.datums.errors import DatumClash
from bucle.line.files import is_kept

__all__ = ["Index", "Made", "index_of", "keep_index", "reusable"]

EVENT = "datums.processed"


class Made(Record, frozen=True):
    """What one datum gave.

    Attributes:
        datum: its name.
        inputs: the paths of its files -> their digests.
        outputs: path below `into` -> the content's digest.
        execution: which called the step, or found it called before.
    """

    datum: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    execution: str


class Index(Record, frozen=True):
    """What was made of all datums of one commit.

    Attributes:
        recipe: the digest of the step's code and environment; with another one nothing can be taken over.
        commit: whose files were gone over.
        made: the datum's key -> what it gave.
    """

    recipe: str
    commit: str
    made: dict[str, Made]

    def outputs(self) -> dict[str, str]:
        """Path below `into` -> the content's digest.

        Raises:
            DatumClash: two datums gave one path.
        """
        found, makers = dict[str, str](), dict[str, str]()
        for made in self.made.values():
            for path, digest in made.outputs.items():
                if path in found:
                    raise _clash(path, makers[path], made.datum)
                found[path], makers[path] = digest, made.datum
        return found


def keep_index(project: Project, index: Index) -> Digest:
    """Keep an index as a blob."""
    return project.blobs.put(encode(index))


def index_of(project: Project, digest: str) -> Index:
    """The index of a blob. Raises BlobMissing, BlobCorrupt."""
    return decode(project.blobs.get(digest), Index)


def reusable(project: Project, before: Index, datums: list[Datum]) -> dict[str, Made]:
    """What an earlier index has of these datums and whose contents are still here."""
    known = {datum.key: before.made[datum.key] for datum in datums if datum.key in before.made}
    return {key: made for key, made in known.items() if all(is_kept(project, one) for one in made.outputs.values())}


def _clash(path: str, first: str, second: str) -> DatumClash:
    return DatumClash(
        f"The datums {first!r} and {second!r} both give {path!r}.",
        why="One would take the other's place.",
        fix="Name outputs after what the datum has of its own, e.g. datum.name.",
        at=path,
    )
