"""Tables and files under git-like branches: commit, read at any commit, merge; what breaks its contract stays out."""

from bucle.line.data.add import add_files
from bucle.line.data.branch import MAIN, Branch
from bucle.line.data.branches import branches, create_branch, delete_branch, log, resolve
from bucle.line.data.check import check_contract
from bucle.line.data.checkout import Checkout, checkout
from bucle.line.data.commit import Commit, TableState
from bucle.line.data.contract import (
    ColumnRule,
    Contract,
    Relation,
    contract_path,
    contracts_of,
    dump_contract,
    load_contract,
    parse_contract,
    save_contract,
)
from bucle.line.data.errors import (
    AmbiguousCommit,
    BadFile,
    BadPath,
    BranchExists,
    BranchProtected,
    Conflict,
    ContractInvalid,
    ContractViolated,
    EmptyCommit,
    LakeDamaged,
    LocalChanges,
    NoSuchBranch,
    NoSuchColumn,
    NoSuchCommit,
    NoSuchFile,
    NoSuchFolder,
    NoSuchTable,
    PackDamaged,
    TypeMismatch,
    TypeNotKept,
)
from bucle.line.data.filetree import file_path, files, read_file
from bucle.line.data.infer import infer_contract
from bucle.line.data.lake import DataFile, Manifest, load_manifest
from bucle.line.data.land import land
from bucle.line.data.merge import TableDiff, diff, merge
from bucle.line.data.publish import commit
from bucle.line.data.report import Breach, ContractReport
from bucle.line.data.schema import Column
from bucle.line.data.snapshot import Snapshot, lazy, scan, snapshot, tables
from bucle.line.data.status import FolderStatus, status
from bucle.line.data.sweep import Sweep, sweep
from bucle.line.data.tree import FileEntry
from bucle.line.data.verify import verify_files

__all__ = [
    "MAIN",
    "AmbiguousCommit",
    "BadFile",
    "BadPath",
    "Branch",
    "BranchExists",
    "BranchProtected",
    "Breach",
    "Checkout",
    "Column",
    "ColumnRule",
    "Commit",
    "Conflict",
    "Contract",
    "ContractInvalid",
    "ContractReport",
    "ContractViolated",
    "DataFile",
    "EmptyCommit",
    "FileEntry",
    "FolderStatus",
    "LakeDamaged",
    "LocalChanges",
    "Manifest",
    "NoSuchBranch",
    "NoSuchColumn",
    "NoSuchCommit",
    "NoSuchFile",
    "NoSuchFolder",
    "NoSuchTable",
    "PackDamaged",
    "Relation",
    "Snapshot",
    "Sweep",
    "TableDiff",
    "TableState",
    "TypeMismatch",
    "TypeNotKept",
    "add_files",
    "branches",
    "check_contract",
    "checkout",
    "commit",
    "contract_path",
    "contracts_of",
    "create_branch",
    "delete_branch",
    "diff",
    "dump_contract",
    "file_path",
    "files",
    "infer_contract",
    "land",
    "lazy",
    "load_contract",
    "load_manifest",
    "log",
    "merge",
    "parse_contract",
    "read_file",
    "resolve",
    "save_contract",
    "scan",
    "snapshot",
    "status",
    "sweep",
    "tables",
    "verify_files",
]
