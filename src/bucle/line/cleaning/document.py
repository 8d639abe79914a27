"""A cleaning policy as YAML."""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

from bucle.ground.core import NotFound
from bucle.line.cleaning.errors import CleaningInvalid
from bucle.line.cleaning.policy import Cleaning, ColumnCleaning
from bucle.line.contracts import yaml_text

__all__ = ["check_policy", "dump", "load", "parse"]


def load(path: Path) -> Cleaning:
    """The policy in a file.

    Raises:
        NotFound: there is no such file.
        CleaningInvalid: it is not understood.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"There is no cleaning policy {path}.", fix="Write one: docs/rooms/cleaning.md") from error
    return parse(text, path.name)


def parse(text: str, source: str = "cleaning") -> Cleaning:
    """The policy in a YAML text.

    Raises:
        CleaningInvalid: it is no YAML, has an unknown setting, or contradicts itself.
    """
    try:
        policy = msgspec.convert(yaml.safe_load(text) or {}, Cleaning)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise _invalid(source, str(error), "Mend that line.") from error
    check_policy(policy, source)
    return policy


def dump(policy: Cleaning) -> str:
    """A policy as YAML, without what is as by default."""
    return yaml_text(policy)


def check_policy(policy: Cleaning, source: str = "cleaning") -> None:
    """Refuse what contradicts itself.

    Raises:
        CleaningInvalid: it does.
    """
    names = [rule.name for rule in policy.columns]
    for name in names:
        if names.count(name) > 1:
            raise _invalid(source, f"column {name!r} has two entries", "Keep one of them.")
    for rule in policy.columns:
        _check_rule(rule, source)


def _check_rule(rule: ColumnCleaning, source: str) -> None:
    turned = [old for old, new in rule.replace.items() if new in rule.replace and rule.replace[new] != new]
    if turned:
        raise _invalid(source, f"{rule.name!r} replaces {turned[0]!r} by what is replaced itself", "Name the last one.")
    if any(new in rule.missing for new in rule.replace.values()):
        raise _invalid(source, f"{rule.name!r} replaces a text by one that means missing", "List it in `missing`.")
    if rule.case and any(new != _cased(new, rule.case) for new in rule.replace.values()):
        raise _invalid(
            source, f"{rule.name!r} replaces by a text of another case than `case`", f"Write it {rule.case}."
        )
    if rule.unit_column and 1 not in rule.units.values():
        raise _invalid(source, f"no unit of {rule.name!r} has the factor 1", "Name the unit wanted, with factor 1.")
    if rule.units and rule.type not in ("", "double"):
        raise _invalid(source, f"{rule.name!r} has units and is no double", "Leave its type out.")
    impute, outliers = rule.impute, rule.outliers
    if impute is not None and (impute.method == "constant") != (impute.value is not None):
        raise _invalid(source, f"{rule.name!r}: `value` goes with the method `constant`", "Give both or neither.")
    if impute is not None and (rule.name in impute.by or (impute.by and impute.method == "constant")):
        raise _invalid(source, f"{rule.name!r} cannot be imputed by those groups", "Group by other columns.")
    if outliers is None:
        return
    limits = [one for one in (outliers.low, outliers.high) if one is not None]
    if outliers.rule in ("quantile", "range") and not limits:
        raise _invalid(source, f"the outliers of {rule.name!r} have no limit", "Give `low` or `high`.")
    if limits != sorted(limits) or (outliers.rule == "quantile" and not all(0 <= one <= 1 for one in limits)):
        raise _invalid(source, f"the limits of {rule.name!r} are in the wrong order, or no shares", "Mend them.")
    if outliers.rule in ("iqr", "z") and not outliers.factor > 0:
        raise _invalid(source, f"the factor of {rule.name!r} is not above 0", "Give one like 1.5.")


def _cased(text: str, case: str) -> str:
    return text.lower() if case == "lower" else text.upper()


def _invalid(source: str, what: str, fix: str) -> CleaningInvalid:
    return CleaningInvalid(f"{source}: {what}.", why="What is not understood cannot be done.", fix=fix, at=source)
