"""What a batch of rows must be like: rules as YAML, checked in one pass over a frame, inferred from good rows."""

from bucle.line.contracts.check import check, check_schema
from bucle.line.contracts.contract import (
    Check,
    ColumnRule,
    Comparator,
    Contract,
    Measure,
    Reference,
    Relation,
    Severity,
)
from bucle.line.contracts.diff import ContractChange, diff
from bucle.line.contracts.distance import jensen_shannon, l_infinity
from bucle.line.contracts.distribution import Distribution, distance, distributions
from bucle.line.contracts.document import dump, load, of_project, parse, path_of, save
from bucle.line.contracts.dumper import yaml_text
from bucle.line.contracts.errors import BadExpression, ContractInvalid, ContractViolated
from bucle.line.contracts.expression import AGGREGATES, FUNCTIONS, compile_expression
from bucle.line.contracts.infer import infer
from bucle.line.contracts.report import Breach, ContractReport
from bucle.line.contracts.split import QUARANTINE, ROW_COLUMN, RULES_COLUMN, Split, split
from bucle.line.contracts.type import TYPE_NAMES, type_of

__all__ = [
    "AGGREGATES",
    "FUNCTIONS",
    "QUARANTINE",
    "ROW_COLUMN",
    "RULES_COLUMN",
    "TYPE_NAMES",
    "BadExpression",
    "Breach",
    "Check",
    "ColumnRule",
    "Comparator",
    "Contract",
    "ContractChange",
    "ContractInvalid",
    "ContractReport",
    "ContractViolated",
    "Distribution",
    "Measure",
    "Reference",
    "Relation",
    "Severity",
    "Split",
    "check",
    "check_schema",
    "compile_expression",
    "diff",
    "distance",
    "distributions",
    "dump",
    "infer",
    "jensen_shannon",
    "l_infinity",
    "load",
    "of_project",
    "parse",
    "path_of",
    "save",
    "split",
    "type_of",
    "yaml_text",
]
