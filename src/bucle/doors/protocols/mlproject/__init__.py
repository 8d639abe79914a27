"""MLflow Projects: a folder with an `MLproject` file, run as its author wrote it."""

from bucle.doors.protocols.mlproject.definition import Definition, EntryPoint, Parameter, find_mlproject, read_mlproject
from bucle.doors.protocols.mlproject.errors import BadMlproject, EntryPointFailed, UnsupportedEnvironment
from bucle.doors.protocols.mlproject.launch import Launched, launch
from bucle.doors.protocols.mlproject.surroundings import EnvManager, prepare

__all__ = [
    "BadMlproject",
    "Definition",
    "EntryPoint",
    "EntryPointFailed",
    "EnvManager",
    "Launched",
    "Parameter",
    "UnsupportedEnvironment",
    "find_mlproject",
    "launch",
    "prepare",
    "read_mlproject",
]
