"""What a batch of rows must be like: rules as YAML, checked in one pass over a frame, inferred from good rows."""

from bucle.line.contracts.check import check, check_repeats, check_schema
from bucle.line.contracts.contract import ColumnRule, Contract, Relation
from bucle.line.contracts.document import dump, load, of_project, parse, path_of, save
from bucle.line.contracts.errors import ContractInvalid, ContractViolated
from bucle.line.contracts.infer import infer
from bucle.line.contracts.report import Breach, ContractReport
from bucle.line.contracts.type import TYPE_NAMES, type_of

__all__ = [
    "TYPE_NAMES",
    "Breach",
    "ColumnRule",
    "Contract",
    "ContractInvalid",
    "ContractReport",
    "ContractViolated",
    "Relation",
    "check",
    "check_repeats",
    "check_schema",
    "dump",
    "infer",
    "load",
    "of_project",
    "parse",
    "path_of",
    "save",
    "type_of",
]
