"""The examples on the pages of contracts, profiles and cleaning run as they stand there."""

import re
from pathlib import Path

import pytest

from bucle.line import contracts

ROOMS = Path(__file__).parents[3] / "docs" / "rooms"


@pytest.mark.parametrize("room", ["contracts", "profiles", "cleaning"])
def test_the_example_of_a_room_runs(room: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOMS / f"{room}.md").read_text(), flags=re.DOTALL)
    exec(compile(code, f"{room}.md", "exec"), {})


def test_the_contract_on_the_page_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOMS / "contracts.md").read_text(), flags=re.DOTALL)
    contract = contracts.parse(text)
    assert contracts.parse(contracts.dump(contract)) == contract
