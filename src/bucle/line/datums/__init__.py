"""Datums: a pipeline's step called once for every file, or group of files, and never again for one that is the same."""

from bucle.line.datums.datum import Datum, Part
from bucle.line.datums.errors import BadDatums, DatumClash, NoDatum, NoSuchDatums
from bucle.line.datums.over import datums_in
from bucle.line.datums.process import Processed, process
from bucle.line.datums.provenance import Origin, origin_of
from bucle.line.datums.settings import DatumStep, datum_steps

__all__ = [
    "BadDatums",
    "Datum",
    "DatumClash",
    "DatumStep",
    "NoDatum",
    "NoSuchDatums",
    "Origin",
    "Part",
    "Processed",
    "datum_steps",
    "datums_in",
    "origin_of",
    "process",
]
