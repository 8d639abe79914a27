"""`bucle init`: a project in a folder, with an example that runs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb
from bucle.ground.core import Record

if TYPE_CHECKING:
    import polars as pl

__all__ = ["VERBS", "Made"]

BARE = """\
# `bucle config show` prints every setting there is.
[project]
name = "{name}"
modules = [] # the Python files beside this one that hold views, steps and pipelines
"""
IGNORED = ".bucle/\n__pycache__/\n"
KNOWN_AT = "1995-11-01T00:00:00Z"
"""When the data set was published: it has no dates of its own, and by then every diagnosis was known."""
FIRST = 400
"""So many samples land at once; the rest is for later, when the model serves."""


class Made(Record, frozen=True):
    """A project that was made.

    Attributes:
        folder: where.
        name: what it is called.
        files: what was written.
        commit: the first rows, empty when there are none.
    """

    folder: str
    name: str
    files: tuple[str, ...]
    commit: str = ""


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", default="", metavar="DIR", help="the folder (default: this one)")
    parser.add_argument(
        "--example", choices=("tumours", "flights", "none"), default="tumours",
        help="what stands in it: 569 tumours to classify, a year of flights, or nothing (default: tumours)",
    )  # fmt: skip


def _run(options: Namespace, terminal: Terminal) -> None:
    folder = Path(options.folder or options.project or ".").resolve()
    _check_free(folder, options.example)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = _MAKERS[options.example](folder, options.database)
    except OSError as error:
        from bucle.ground.core import UserError

        raise UserError(f"{folder} cannot be written: {error.strerror}.", fix="Choose another folder.") from error
    terminal.show(made)
    there = "" if folder == Path.cwd() else f"cd {options.folder or options.project} && "
    terminal.next(f"{there}{_NEXT[options.example]}")


def _check_free(folder: Path, example: str) -> None:
    """Raises: AlreadyThere: something would be written over."""
    from bucle.doors.cli.errors import AlreadyThere

    names = ("bucle.toml",) if example == "none" else ("bucle.toml", "features.py", "pipeline.py")
    taken = [name for name in names if (folder / name).exists()] if folder.is_dir() else [""] if folder.exists() else []
    if taken:
        raise AlreadyThere(
            f"{folder / taken[0]} is there already.",
            why="Nothing of yours is written over.",
            fix="Choose another folder: bucle init DIR",
            at=str(folder),
        )


def _make_bare(folder: Path, database: str) -> Made:
    return _made(folder, {"bucle.toml": BARE.replace("{name}", _name(folder)), **_ignore(folder)})


def _make_tumours(folder: Path, database: str) -> Made:
    from importlib import resources

    source = resources.files("bucle.doors.cli") / "tumours"
    texts = {
        name: (source / kept).read_text(encoding="utf-8").replace("{name}", _name(folder))
        for name, kept in (
            ("bucle.toml", "bucle.toml"), ("features.py", "features.py.in"), ("pipeline.py", "pipeline.py.in"),
        )
    }  # fmt: skip
    rows = _samples()
    first, later = rows.head(FIRST), rows.tail(-FIRST)
    texts |= {"samples.csv": first.write_csv(), "later.csv": later.write_csv(), **_ignore(folder)}
    made = _made(folder, texts)
    return Made(folder=made.folder, name=made.name, files=made.files, commit=_land(folder, database, first))


def _make_flights(folder: Path, database: str) -> Made:
    from bucle.examples.flights.play import make_project

    make_project(folder)
    made = _made(folder, _ignore(folder))
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return Made(folder=made.folder, name="flights", files=tuple(files))


def _made(folder: Path, texts: dict[str, str]) -> Made:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return Made(folder=str(folder), name=_name(folder), files=tuple(texts))


def _ignore(folder: Path) -> dict[str, str]:
    return {} if (folder / ".gitignore").exists() else {".gitignore": IGNORED}


def _samples() -> pl.DataFrame:
    """The ten mean measurements of every sample, with its name, its diagnosis, and since when that is known.

    Source: W. H. Wolberg, W. N. Street, O. L. Mangasarian: Breast Cancer Wisconsin (Diagnostic), UCI (1995), as
    packaged with scikit-learn.
    """
    import polars as pl
    from sklearn.datasets import load_breast_cancer

    known = load_breast_cancer()
    names = [str(name).replace(" ", "_") for name in known.feature_names[:10]]
    rows = pl.DataFrame(known.data[:, :10], schema=names).with_row_index("sample", offset=1)
    return rows.select(
        pl.format("s{}", pl.col("sample").cast(pl.String).str.zfill(3)).alias("sample"),
        *names,
        pl.Series("malignant", known.target == 0),
        pl.lit(KNOWN_AT).alias("known_at"),
    )


def _land(folder: Path, database: str, rows: pl.DataFrame) -> str:
    """Land the first samples, with a contract made from them."""
    from contextlib import closing

    import polars as pl

    from bucle.ground.project import Project
    from bucle.line import contracts, data

    rows = rows.with_columns(pl.col("known_at").str.to_datetime("%+", time_unit="us", time_zone="UTC"))
    with closing(Project.open(folder, database=database)) as project:
        contract = contracts.infer(rows, "samples", slack=1.0)
        contracts.save(contract, contracts.path_of(project, "samples"))
        landed = data.land(
            project, {"samples": rows}, contracts={"samples": contract}, message="samples.csv", key="init/samples"
        )
    return landed.id


def _name(folder: Path) -> str:
    import re

    return re.sub(r"[^A-Za-z0-9_.-]", "-", folder.name).strip("-._") or "project"


_MAKERS = {"tumours": _make_tumours, "flights": _make_flights, "none": _make_bare}
_NEXT = {
    "tumours": "bucle run train",
    "flights": "bucle demo .",
    "none": "bucle data add FILE.csv --table TABLE",
}

VERBS: tuple[Verb, ...] = (Verb("", "make a project in a folder", _run, _arguments, "bucle init tumours"),)
