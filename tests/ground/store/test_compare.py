"""Comparisons: a pattern means the same in both databases, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.store import Database, Plain, like

Fits = Callable[[str, str, bool], bool]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def fits(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fits]:
    """Whether a text fits a pattern, as a database has it."""
    is_sqlite = request.param == "sqlite"
    path = tmp_path_factory.mktemp("compare") / "bucle.db"
    database = Database(f"sqlite:///{path}" if is_sqlite else request.getfixturevalue("postgres_server"))
    with database.engine.connect() as connection:

        def ask(text: str, pattern: str, any_case: bool) -> bool:
            # As the columns of texts are: in PostgreSQL with a collation that knows the cases of ASCII alone.
            left = sa.select(sa.literal(text, Plain).label("text")).subquery().c.text
            if not is_sqlite:
                left = sa.collate(left, "C")
            asked = sa.select(like(left, pattern, is_sqlite=is_sqlite, any_case=any_case))
            return bool(connection.execute(asked).scalar_one())

        yield ask
    database.close()


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("zwei Äpfel", "%ÄPFEL%"),
        ("zwei Äpfel", "zwei äp_EL"),
        ("Ñandú", "ñANDÚ"),
        ("ὈΔΥΣΣΕΎΣ", "ὀδυσσεύσ"),
        ("Москва", "мос%"),
        ("STRAẞE", "straße"),
        ("100 % Öl [a-z] * ? ^$.|()\\", "100 _ öL [A-Z] * ? ^$.|()\\"),
        ("über\nmorgen", "ÜBER%morgen"),
        ("K", "k"),
    ],
)
def test_case_is_one_to_a_pattern_that_says_so(fits: Fits, text: str, pattern: str) -> None:
    assert fits(text, pattern, True)
    assert not fits(text, pattern, False)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("Apfel", "ÄPFEL"), ("äx", "Ä"), ("xä", "Ä"), ("ä", "Ä_"), ("strasse", "straße"), ("ä", "[Ä]"), ("aä", "[a]Ä")],
)
def test_what_is_another_character_does_not_fit(fits: Fits, text: str, pattern: str) -> None:
    assert not fits(text, pattern, True)


LETTERS = st.text(st.sampled_from("aAäÄñÑжЖψΨöÖßẞ%_*[]^\\.-$ıİ"), max_size=6)


def told(text: str, pattern: str) -> bool:
    """What a pattern says, character by character."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(told(text[start:], pattern[1:]) for start in range(len(text) + 1))
    first = pattern[0]
    same = bool(text) and (first == "_" or text[0] == first or text[0].lower() == first.lower())
    return same and told(text[1:], pattern[1:])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=LETTERS, pattern=LETTERS)
def test_any_pattern_fits_what_it_says(fits: Fits, text: str, pattern: str) -> None:
    assert fits(text, pattern, True) == told(text, pattern)
