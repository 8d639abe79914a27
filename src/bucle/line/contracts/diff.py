"""What changed between two contracts of one table, and whether that lets more or fewer batches through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from bucle.ground.core import Record, to_builtins
from bucle.line.contracts.contract import Contract

__all__ = ["ContractChange", "Effect", "diff"]

Effect = Literal["stricter", "looser", "other"]

_LOWER_IS_STRICTER = {
    "maximum", "mean_maximum", "max_length", "max_distinct", "max_null_share", "max_age_hours", "tolerance",
    "max_rows", "max_quarantine_share", "threshold",
}  # fmt: skip
_HIGHER_IS_STRICTER = {"minimum", "mean_minimum", "min_length", "min_distinct", "min_rows"}
_TRUE_IS_STRICTER = {"unique": True, "required": True, "nullable": False, "quarantine": False}
_STRICTER_WORD = {"severity": "error", "extra_columns": "refuse"}
_LISTS = {"relations": ("left", "op", "right"), "checks": ("name",), "measures": ("name",), "references": ("columns",)}


class ContractChange(Record, frozen=True):
    """One setting that two contracts have differently.

    Attributes:
        where: the column, or the name of the check, measure, relation or reference; '' for the whole table.
        setting: its name; `rule` when a whole rule came or went.
        before: the older value; None when there was none.
        after: the newer value.
        effect: whether fewer batches pass now (`stricter`), more (`looser`), or that cannot be told (`other`).
    """

    where: str
    setting: str
    before: Any
    after: Any
    effect: Effect


def diff(before: Contract, after: Contract) -> list[ContractChange]:
    """Every setting that differs, by place.

    Example:
        >>> from bucle.line.contracts import ColumnRule, Contract, diff
        >>> old = Contract(table="t", columns=(ColumnRule(name="x", maximum=9),))
        >>> new = Contract(table="t", columns=(ColumnRule(name="x", maximum=5),))
        >>> [(one.where, one.setting, one.effect) for one in diff(old, new)]
        [('x', 'maximum', 'stricter')]
    """
    old, new = to_builtins(before), to_builtins(after)
    found = list[ContractChange]()
    found += _rules(_named(old["columns"], ("name",)), _named(new["columns"], ("name",)), is_column=True)
    for setting, keys in _LISTS.items():
        found += _rules(_named(old[setting], keys), _named(new[setting], keys), is_column=False)
    for group in _groups(old, new):
        is_new = group in new["unique"]
        effect: Effect = "stricter" if is_new else "looser"
        old_new = (None, group) if is_new else (group, None)
        found.append(_change(", ".join(group), "unique", old_new[0], old_new[1], effect))
    plain = [name for name in old if name not in {"columns", "unique", *_LISTS}]
    found += _settings("", {name: old[name] for name in plain}, {name: new[name] for name in plain})
    return found


def _groups(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[list[str]]:
    return [one for one in [*old["unique"], *new["unique"]] if (one in old["unique"]) != (one in new["unique"])]


def _named(rules: list[dict[str, Any]], keys: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    told = {}
    for rule in rules:
        parts = [", ".join(rule[key]) if isinstance(rule[key], list) else str(rule[key]) for key in keys]
        told[" ".join(parts)] = rule
    return told


def _rules(
    old: Mapping[str, dict[str, Any]], new: Mapping[str, dict[str, Any]], *, is_column: bool
) -> Iterator[ContractChange]:
    for name in dict.fromkeys([*old, *new]):
        if name in old and name in new:
            yield from _settings(name, old[name], new[name])
        else:
            # A column's rule may let a column in that was refused, or refuse values: what it does cannot be told.
            effect: Effect = "other" if is_column else "stricter" if name in new else "looser"
            yield _change(name, "rule", old.get(name), new.get(name), effect)


def _settings(where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[ContractChange]:
    for name in old:
        before, after = old[name], new[name]
        if before == after and type(before) is type(after):
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            both = dict.fromkeys([*before, *after])
            yield from _settings(
                f"{where}.{name}".strip("."), {k: before.get(k) for k in both}, {k: after.get(k) for k in both}
            )
        elif before != after:
            yield _change(where, name, before, after, _effect(name, before, after))


def _effect(name: str, before: Any, after: Any) -> Effect:
    if name in _TRUE_IS_STRICTER:
        return "stricter" if after is _TRUE_IS_STRICTER[name] else "looser"
    if name in _STRICTER_WORD:
        return "stricter" if after == _STRICTER_WORD[name] else "looser"
    if name == "allowed":
        return _fewer(before, after)
    if name in ("pattern", "type", "drift", "skew") and (not before or not after):
        return "stricter" if after else "looser"
    if name not in _LOWER_IS_STRICTER | _HIGHER_IS_STRICTER:
        return "other"
    if before is None or after is None:
        return "stricter" if before is None else "looser"
    if type(before) is not type(after) and not (_is_number(before) and _is_number(after)):
        return "other"
    is_lower = after < before
    return "stricter" if is_lower == (name in _LOWER_IS_STRICTER) else "looser"


def _fewer(before: list[Any], after: list[Any]) -> Effect:
    if not before or not after:
        return "stricter" if after else "looser"
    if set(after) < set(before):
        return "stricter"
    return "looser" if set(before) < set(after) else "other"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _change(where: str, setting: str, before: Any, after: Any, effect: Effect) -> ContractChange:
    return ContractChange(where=where, setting=setting, before=before, after=after, effect=effect)
