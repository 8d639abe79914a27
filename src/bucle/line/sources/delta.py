"""Delta tables, read through `deltalake`: all of a version, or the files that were added since the last one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from bucle.ground.core import ConfigError
from bucle.line.sources.errors import SourceChanged
from bucle.line.sources.pulled import Desk, Part, Pulled, failed
from bucle.line.sources.source import Source

__all__ = ["delta_module", "pull_delta"]

BATCH = 131_072


def delta_module() -> Any:
    """The library that speaks Delta.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import deltalake  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "Delta tables need deltalake, which is not installed.",
            why="It is an extra.",
            fix="pip install 'bucle[delta]'",
        ) from error
    return deltalake


def pull_delta(desk: Desk) -> Pulled | None:
    """The rows of a Delta table.

    Raises:
        SourceChanged: incremental, and files that have landed were rewritten or deleted.
        SourceFailed: there is no such table.
    """
    module, source, known = delta_module(), desk.source, desk.before
    path = source.location if "://" in source.location else str(desk.project.root / source.location)
    try:
        table = module.DeltaTable(path)
    except module.exceptions.DeltaError as error:
        raise failed(source, str(error).splitlines()[0][:300]) from error
    if known.get("version") == table.version():
        return None
    dataset = table.to_pyarrow_dataset()
    files = sorted(str(one.path) for one in dataset.get_fragments())
    before = set(known.get("files", ()))
    if source.sync == "full":
        return Pulled(parts=_batches(dataset, set(files)), after=lambda _: {"version": table.version()})
    gone = before - set(files)
    if gone:
        raise _rewritten(source, len(gone))
    new = set(files) - before
    return Pulled(parts=_batches(dataset, new), after=lambda _: {"version": table.version(), "files": files})


def _batches(dataset: Any, files: set[str]) -> Iterator[Part]:
    import pyarrow as pa  # noqa: PLC0415

    yield pl.DataFrame(pa.Table.from_batches([], schema=dataset.schema))
    for fragment in sorted(dataset.get_fragments(), key=lambda one: str(one.path)):
        if str(fragment.path) in files:
            for batch in fragment.to_batches(schema=dataset.schema, batch_size=BATCH):
                yield pl.DataFrame(_with_partition(pa.Table.from_batches([batch]), fragment))


def _with_partition(table: Any, fragment: Any) -> Any:
    """A column that parts the table stands in the paths of files, not in them."""
    import pyarrow.dataset as ds  # noqa: PLC0415

    for name, value in ds.get_partition_keys(fragment.partition_expression).items():
        number = table.schema.get_field_index(name)
        if number >= 0 and table.column(number).null_count == table.num_rows:
            import pyarrow as pa  # noqa: PLC0415

            kind = table.schema.field(name).type
            column = pa.repeat(pa.scalar(value).cast(kind), table.num_rows)
            table = table.set_column(number, name, column)
    return table


def _rewritten(source: Source, count: int) -> SourceChanged:
    return SourceChanged(
        f"{count} files of the Delta table that have landed are no longer part of it.",
        why="Rows were deleted, changed or compacted there: what is new cannot be told by its files.",
        fix=f"Read all of it anew: bucle sources run {source.name} --full; or write `sync: full` in its file.",
        at=source.name,
    )
