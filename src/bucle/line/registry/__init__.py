"""Model versions: what was trained, as a package under a digest, with its stage and its aliases."""

from bucle.line.registry.errors import (
    BadFeature,
    BadOnnx,
    BadPackageFile,
    BadRequest,
    IllegalTransition,
    NoSuchModel,
    NoSuchPackage,
    NoSuchVersion,
    PackageDamaged,
    ReservedAlias,
)
from bucle.line.registry.integrity import verify_packages
from bucle.line.registry.model import Model, models
from bucle.line.registry.package import MANIFEST, MODEL, Package, load_package, pack, read_package, stage_package
from bucle.line.registry.signature import Field, FieldType, Signature
from bucle.line.registry.stage import DEPLOYABLE, STAGES, TRANSITIONS, Stage
from bucle.line.registry.version import (
    LATEST,
    ModelVersion,
    history,
    register,
    set_alias,
    transition,
    version,
    versions,
)

__all__ = [
    "DEPLOYABLE",
    "LATEST",
    "MANIFEST",
    "MODEL",
    "STAGES",
    "TRANSITIONS",
    "BadFeature",
    "BadOnnx",
    "BadPackageFile",
    "BadRequest",
    "Field",
    "FieldType",
    "IllegalTransition",
    "Model",
    "ModelVersion",
    "NoSuchModel",
    "NoSuchPackage",
    "NoSuchVersion",
    "Package",
    "PackageDamaged",
    "ReservedAlias",
    "Signature",
    "Stage",
    "history",
    "load_package",
    "models",
    "pack",
    "read_package",
    "register",
    "set_alias",
    "stage_package",
    "transition",
    "verify_packages",
    "version",
    "versions",
]
