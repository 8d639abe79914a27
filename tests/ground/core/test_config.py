from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground.core import (
    Config,
    ConfigError,
    NotFound,
    ProjectSection,
    ServerSection,
    StoreSection,
    load_config,
    parse_config,
)

LEAST = '[project]\nname = "flights"\n'


def test_the_least_config_has_defaults_for_the_rest() -> None:
    config = parse_config(LEAST)
    assert config.section("project", ProjectSection) == ProjectSection(name="flights")
    assert config.section("store", StoreSection).database == ""
    assert config.section("server", ServerSection).host == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "at", "fix"),
    [
        (LEAST + "[serber]\n", "serber", "Did you mean 'server'?"),
        (LEAST + "[zzzzz]\n", "zzzzz", "Remove [zzzzz]."),
        ('[project]\nname = "a"\nmodule = []\n', "project.module", "Did you mean 'modules'?"),
        (LEAST + "[server]\nprot = 1\n", "server.prot", "Did you mean 'port'?"),
        (LEAST + '[server]\nport = "x"\n', "server.port", "Mend that value."),
        (LEAST + "[server]\nxyzzy = 1\n", "server.xyzzy", "Remove 'xyzzy'."),
        (LEAST + "server = 3\n", "project.server", ""),
        ("[project]\n", "project", "Mend that value."),
        ("", "project", "Mend that value."),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_a_near_miss(text: str, at: str, fix: str) -> None:
    with pytest.raises(ConfigError) as failed:
        parse_config(text)
    assert failed.value.at == at
    assert failed.value.fix == fix or not fix


def test_a_table_that_is_a_value_is_an_error_of_the_config() -> None:
    with pytest.raises(ConfigError):
        parse_config("server = 3\n" + LEAST)


def test_broken_toml_names_the_line() -> None:
    with pytest.raises(ConfigError, match="line 2"):
        parse_config('[project]\nname = "a\n')


@given(st.text(max_size=60))
def test_no_text_gives_another_error_than_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_config(text)


@given(
    st.dictionaries(
        st.sampled_from(["project", "server", "store", "loop", "other"]),
        st.dictionaries(st.sampled_from(["name", "port", "host"]), st.integers() | st.text(max_size=5)),
    )
)
def test_no_shape_of_tables_gives_another_error_than_a_config_error(raw: dict[str, dict[str, object]]) -> None:
    with contextlib.suppress(ConfigError):
        config = Config(raw)
        for name, kind in (("project", ProjectSection), ("server", ServerSection)):
            config.section(name, kind)


def test_a_missing_file_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as failed:
        load_config(tmp_path / "bucle.toml")
    assert "bucle init" in failed.value.fix


@pytest.mark.parametrize("content", [b"\xff\xfe", b'[project]\nname = "\xe9"\n'])
def test_a_file_that_is_not_utf8_is_an_error_of_the_config(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bucle.toml").write_bytes(content)
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "bucle.toml")


def test_sub_tables_are_listed() -> None:
    config = parse_config(LEAST + "[loop.flights]\n[loop.trains]\n")
    assert config.names("loop") == ("flights", "trains")
    assert config.names("endpoint") == ()
