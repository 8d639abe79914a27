"""Records, refs, digests, clock, codec, errors, configuration: no I/O stands here but reading one file."""

from bucle.ground.core.clock import Clock, SimulatedClock, SystemClock, as_utc, from_micros, to_micros
from bucle.ground.core.codec import CorruptRecord, Record, decode, encode, to_builtins
from bucle.ground.core.config import (
    Config,
    ProjectSection,
    Section,
    ServerSection,
    StoreSection,
    load_config,
    parse_config,
)
from bucle.ground.core.digest import Digest, digest_of, digest_of_file, digest_of_value, short
from bucle.ground.core.environment import Environment, environment
from bucle.ground.core.errors import (
    BucleError,
    ConfigError,
    NotAllowed,
    NotFound,
    Refused,
    StateError,
    StoreError,
    UserError,
    catalogue,
    suggest,
)
from bucle.ground.core.ref import BadName, Ref, check_name, make_ref, split_ref

__all__ = [
    "BadName",
    "BucleError",
    "Clock",
    "Config",
    "ConfigError",
    "CorruptRecord",
    "Digest",
    "Environment",
    "NotAllowed",
    "NotFound",
    "ProjectSection",
    "Record",
    "Ref",
    "Refused",
    "Section",
    "ServerSection",
    "SimulatedClock",
    "StateError",
    "StoreError",
    "StoreSection",
    "SystemClock",
    "UserError",
    "as_utc",
    "catalogue",
    "check_name",
    "decode",
    "digest_of",
    "digest_of_file",
    "digest_of_value",
    "encode",
    "environment",
    "from_micros",
    "load_config",
    "make_ref",
    "parse_config",
    "short",
    "split_ref",
    "suggest",
    "to_builtins",
    "to_micros",
]
