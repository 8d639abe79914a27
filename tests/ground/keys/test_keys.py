"""Keys: made once, opened by who has the keyring, wrapped anew, destroyed for good."""

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground import keys
from bucle.ground.keys.cipher import Cipher
from bucle.ground.ledger import verify_log
from bucle.ground.project import Project


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "bucle.toml").write_text(
        f'[project]\nname = "test"\n[data.encryption]\ntables = ["secret*"]\nkeyring = "{tmp_path}/ring/keyring"\n'
    )
    return folder


def ring(project: Project) -> Path:
    return keys.make_keyring(project)


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_opens_as_it_was(data: bytes, about: str) -> None:
    cipher = Cipher("ab" * 16, os.urandom(32))
    sealed = cipher.seal(data, about)
    assert keys.is_sealed(sealed)
    assert cipher.open(sealed, about) == data
    assert len(data) < 8 or data not in sealed[8:]


@given(st.binary(max_size=60), st.data())
def test_a_flipped_bit_a_cut_and_another_name_are_told(data: bytes, chosen: st.DataObject) -> None:
    cipher = Cipher("ab" * 16, os.urandom(32))
    sealed = cipher.seal(data, "one")
    place = chosen.draw(st.integers(24, len(sealed) - 1))
    bit = 1 << chosen.draw(st.integers(0, 7))
    flipped = sealed[:place] + bytes([sealed[place] ^ bit]) + sealed[place + 1 :]
    cut = sealed[: chosen.draw(st.integers(24, len(sealed) - 1))]
    for bad, about in ((flipped, "one"), (cut, "one"), (sealed, "other"), (sealed + b"\0", "one")):
        with pytest.raises(keys.SealBroken):
            cipher.open(bad, about)


def test_blocks_cannot_be_moved_or_left_out() -> None:
    cipher, block = Cipher("ab" * 16, os.urandom(32)), 1 << 20
    data = os.urandom(2 * block + 5)
    sealed = cipher.seal(data, "one")
    assert cipher.open(sealed, "one") == data
    head, size = sealed[:84], block + 28
    first, second, last = sealed[84 : 84 + size], sealed[84 + size : 84 + 2 * size], sealed[84 + 2 * size :]
    for bad in (head + second + first + last, head + first + last, head + first + second):
        with pytest.raises(keys.SealBroken):
            cipher.open(bad, "one")


def test_a_table_has_one_key_and_its_wrapped_form_alone_is_kept(any_project: Project) -> None:
    ring(any_project)
    made = keys.cipher_for(any_project, "secrets")
    assert keys.cipher_for(any_project, "secrets").name == made.name
    assert keys.cipher_for(any_project, "secret2").name != made.name
    (one, _) = sorted(keys.keys(any_project), key=lambda key: key.table, reverse=True)
    assert (one.table, one.key, one.destroyed_at) == ("secrets", made.name, None)
    assert "_key" not in repr(made)
    assert not verify_log(any_project.database, any_project.ledger._anchor).faults


def test_rotation_wraps_anew_and_old_master_keys_are_needed_no_longer(any_project: Project) -> None:
    path = ring(any_project)
    sealed = keys.cipher_for(any_project, "secrets").seal(b"value", "x")
    ring(any_project)
    assert [one.table for one in keys.rotate(any_project)] == ["secrets"]
    assert keys.rotate(any_project) == []
    path.write_text(path.read_text().splitlines()[-1])
    assert keys.unseal(any_project, sealed, "x") == b"value"
    assert any_project.ledger.events(kinds=["keys.rotated"])[0].data["keys"]
    assert not verify_log(any_project.database, any_project.ledger._anchor).faults


def test_a_destroyed_key_opens_nothing_and_leaves_no_trace(any_project: Project) -> None:
    ring(any_project)
    cipher = keys.cipher_for(any_project, "secrets")
    sealed = cipher.seal(b"value", "x")
    with any_project.database.reading() as connection:
        wrapped = keys.ring.store.the_key(connection, cipher.name).wrapped
    keys.destroy(any_project, [cipher.name], reason="asked to forget")
    with pytest.raises(keys.KeyDestroyed):
        keys.unseal(any_project, sealed, "x")
    with pytest.raises(keys.NoSuchKey):
        keys.destroy(any_project, [cipher.name], reason="again")
    assert keys.cipher_for(any_project, "secrets").name != cipher.name
    for file in any_project.state.rglob("*"):
        assert not file.is_file() or wrapped.encode() not in file.read_bytes()
    assert not verify_log(any_project.database, any_project.ledger._anchor).faults


def test_a_wrong_or_missing_keyring_says_so(project: Project) -> None:
    with pytest.raises(keys.KeyMissing):
        keys.cipher_for(project, "secrets")
    path = ring(project)
    name = keys.cipher_for(project, "secrets").name
    text = path.read_text()
    path.write_text(base64.b64encode(os.urandom(32)).decode())
    with pytest.raises(keys.KeyMissing):
        keys.cipher_of(Project.open(project.root), name)
    path.write_text("short")
    with pytest.raises(keys.BadKeyring):
        keys.cipher_of(Project.open(project.root), name)
    path.write_text(text)
    path.chmod(0o644)
    with pytest.raises(keys.BadKeyring, match="read by others"):
        keys.cipher_of(Project.open(project.root), name)


def test_a_keyring_does_not_lie_in_the_project(root: Path) -> None:
    (root / "bucle.toml").write_text('[project]\nname = "t"\n[data.encryption]\nkeyring = "keyring"\n')
    project = Project.open(root)
    with pytest.raises(keys.BadKeyring, match="in the project"):
        keys.make_keyring(project)
    project.close()


def test_keys_may_come_from_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = '[project]\nname = "t"\n[data.encryption]\nprovider = "env"\nkeyring_env = "MY_KEYS"\n'
    (root / "bucle.toml").write_text(toml)
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    monkeypatch.setenv("MY_KEYS", old)
    project = Project.open(root)
    sealed = keys.cipher_for(project, "t").seal(b"value", "x")
    monkeypatch.setenv("MY_KEYS", f"{old},{new}")
    keys.rotate(project)
    monkeypatch.setenv("MY_KEYS", new)
    project.close()
    project = Project.open(root)
    assert keys.unseal(project, sealed, "x") == b"value"
    with pytest.raises(keys.KeysOff):
        keys.make_keyring(project)
    project.close()


def test_many_at_once_make_one_key_for_a_table(any_project: Project) -> None:
    ring(any_project)
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: keys.cipher_for(any_project, "secrets").name, range(12)))
    assert len(set(made)) == 1
    assert len(keys.keys(any_project)) == 1
