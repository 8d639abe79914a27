"""Where rows come from and where they go to: declared sources that land exactly once, connections, exports."""

from bucle.line.sources.errors import (
    NoSuchConnection,
    NoSuchSource,
    SecretMissing,
    SourceBusy,
    SourceChanged,
    SourceFailed,
    SourceInvalid,
    SourceTooLarge,
)
from bucle.line.sources.export import Export, ExportExists, export
from bucle.line.sources.outside import read_outside
from bucle.line.sources.run import Landing, run
from bucle.line.sources.source import (
    Connection,
    Source,
    connections_of,
    load_connection,
    load_source,
    save_source,
    source_path,
    sources_of,
)
from bucle.line.sources.store import Cursor
from bucle.line.sources.stream import push
from bucle.line.sources.watch import SourceStatus, statuses, watch

__all__ = [
    "Connection",
    "Cursor",
    "Export",
    "ExportExists",
    "Landing",
    "NoSuchConnection",
    "NoSuchSource",
    "SecretMissing",
    "Source",
    "SourceBusy",
    "SourceChanged",
    "SourceFailed",
    "SourceInvalid",
    "SourceStatus",
    "SourceTooLarge",
    "connections_of",
    "export",
    "load_connection",
    "load_source",
    "push",
    "read_outside",
    "run",
    "save_source",
    "source_path",
    "sources_of",
    "statuses",
    "watch",
]
