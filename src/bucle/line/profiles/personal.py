"""Columns that may tell who somebody is: by their name, or by what their values look like."""

from __future__ import annotations

import re

import polars as pl

__all__ = ["LOOKED_AT", "LOOKS", "personal_by_name", "personal_by_values"]

LOOKED_AT = 1000
"""So many different values are looked at, the first in order."""

ENOUGH = 0.5
"""When this share of them look so, the column is taken to be personal."""

_NAMES = {
    "a name": r"(first|last|full|sur|given|family)_?name|nombre|apellidos?",
    "an e-mail address": r"e_?mail|correo",
    "a telephone number": r"phone|telephone|telefono|mobile|fax",
    "an address": r"street|address|zip_?code|postal|direccion",
    "a date of birth": r"birth|dob|nacimiento",
    "an identity number": r"ssn|dni|nif|nie|passport|tax_?id|national_?id",
    "a bank account": r"iban|credit_?card|card_?number|account_?number",
    "an address in a network": r"ip_?addr(ess)?|ip|mac_?address",
    "a place": r"latitude|longitude",
}

LOOKS = {
    "an e-mail address": r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$",
    "a telephone number": r"^\+[0-9][0-9 ()\-]{6,17}$|^\(?[0-9]{3}\)?[ \-][0-9]{3}[ \-][0-9]{4}$",
    "an address in a network": r"^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)$",
    "a bank account": r"^[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,4})?$",
    "an identity number": r"^[0-9]{3}-[0-9]{2}-[0-9]{4}$|^[XYZ]?[0-9]{7,8}-?[A-HJ-NP-TV-Z]$",
    "a card number": r"^[0-9]{4}([ \-]?)[0-9]{4}[ \-]?[0-9]{4}[ \-]?[0-9]{3,4}$",
}
"""What it may be -> what a value of it looks like."""


def personal_by_name(name: str) -> str:
    """What a column may be, going by its name; '' for nothing personal."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("-", "_").replace(" ", "_")
    found = (what for what, pattern in _NAMES.items() if re.search(rf"(?:^|_)(?:{pattern})(?:_|$)", plain))
    return next(found, "")


def personal_by_values(values: pl.Series) -> str:
    """What texts may be, going by what they look like; '' for nothing personal."""
    known = values.drop_nulls().head(LOOKED_AT)
    if not known.len():
        return ""
    shares = {what: float(known.str.contains(pattern).sum()) / known.len() for what, pattern in LOOKS.items()}
    what = max(shares, key=lambda one: shares[one])
    return what if shares[what] >= ENOUGH else ""
