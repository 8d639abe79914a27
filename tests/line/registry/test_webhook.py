"""Webhooks in the registry: who may be told, and where nothing is ever sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry.secret import seal, unseal

EVERYTHING = list(registry.HOOKS)


def test_a_webhook_is_kept_with_a_trace_and_without_its_secret(any_project: Project) -> None:
    made = registry.create_webhook(any_project, "w", "https://example.com/x", EVERYTHING, secret="hush")
    assert (made.has_secret, made.status, made.events) == (True, "ACTIVE", registry.HOOKS)
    registry.update_webhook(any_project, made.id, secret="hush2", events=EVERYTHING[:1])
    assert registry.webhook_secret(any_project, made.id) == "hush2"
    registry.delete_webhook(any_project, made.id)
    assert "hush" not in str(any_project.ledger.events())
    assert registry.deliveries(any_project) == {}
    with pytest.raises(registry.NoSuchWebhook):
        registry.webhook(any_project, made.id)
    assert not verify_log(any_project.database, any_project.anchor).faults


def test_webhooks_are_listed_newest_first_page_by_page(any_project: Project) -> None:
    made = [registry.create_webhook(any_project, f"w{n}", "https://example.com", EVERYTHING).id for n in range(5)]
    first = registry.webhooks(any_project, limit=3)
    rest = registry.webhooks(any_project, limit=3, token=first.token)
    assert sorted(one.id for one in [*first.items, *rest.items]) == sorted(made)
    assert (len(first.items), len(rest.items), rest.token) == (3, 2, "")


def test_how_far_a_webhook_was_told_is_kept_while_it_is_there(any_project: Project) -> None:
    made = registry.create_webhook(any_project, "w", "https://example.com", EVERYTHING)
    begun = registry.deliveries(any_project)[made.id]
    assert begun.seq == any_project.ledger.size() - 1
    registry.delete_webhook(any_project, made.id)
    registry.note_delivery(any_project, begun)
    assert registry.deliveries(any_project) == {}


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_what_is_sealed_comes_out_again_and_shows_nothing(text: str) -> None:
    class Keyed:
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUCLE_SECRET_KEY", "1f" * 32)
        sealed = seal(Keyed(), text)  # type: ignore[arg-type]  the key comes from the environment
        assert unseal(Keyed(), sealed) == text  # type: ignore[arg-type]
        assert len(text) < 6 or text not in sealed
        assert not text or seal(Keyed(), text) != sealed  # type: ignore[arg-type]


def test_a_changed_seal_is_noticed(project: Project) -> None:
    sealed = seal(project, "hush")
    for place in (0, 20, len(sealed) - 5):
        other = "A" if sealed[place] != "A" else "B"
        with pytest.raises(registry.SecretLocked):
            unseal(project, sealed[:place] + other + sealed[place + 1 :])
    assert (project.state / "secret.key").stat().st_mode & 0o777 == 0o600


INSIDE = [
    "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1",
    "2002:a00:1::", "fe80::1%eth0", "not an address", "",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_nothing_inside_may_be_reached_unless_it_is_named(address: str) -> None:
    assert not registry.may_reach(address, "example.com", 443, ())
    assert not registry.may_reach(address, "example.com", 443, ("hooks.lan", "hooks.lan:443", "203.0.113.0/24"))


@pytest.mark.parametrize("allowed", ["hooks.lan", "HOOKS.LAN", "hooks.lan:8080", "10.0.0.7", "10.0.0.0/8"])
def test_the_operator_names_what_may_be_reached(allowed: str) -> None:
    assert registry.may_reach("10.0.0.7", "hooks.lan", 8080, (allowed,))
    assert not registry.may_reach("10.0.0.7", "other.lan", 8080, ("hooks.lan", "hooks.lan:8080"))
    assert not registry.may_reach("10.0.0.7", "hooks.lan", 9090, ("hooks.lan:8080",))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_the_open_internet_may_be_reached(address: str) -> None:
    assert registry.may_reach(address, "example.com", 443, ())
