"""Webhooks through the real client, told by a real server, heard by a real receiver."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from bucle.doors.protocols.mlflow import sending
from bucle.doors.protocols.mlflow.delivery import ATTEMPTS, deliver, deliver_due, wait_s
from bucle.doors.protocols.mlflow.notices import EXAMPLES
from bucle.doors.protocols.mlflow.sending import transmit
from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.ground.store import LeaseLost, acquire, this_process
from bucle.ground.store.lease import LEASES
from bucle.line import registry
from doors.conftest import Site, served
from doors.mlflow.conftest import unique

if TYPE_CHECKING:
    from mlflow import MlflowClient

SECRET = "hush-hush"


class Receiver:
    """Hears what is posted to it, and answers as it is told: 200 unless `answers` holds something else."""

    def __init__(self) -> None:
        self.heard: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.answers: queue.Queue[int] = queue.Queue()
        self.location = ""
        self.pause: threading.Event | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.heard.put(({name.lower(): value for name, value in self.headers.items()}, body))
                if receiver.pause is not None:
                    receiver.pause.wait(60)
                status = 200 if receiver.answers.empty() else receiver.answers.get()
                self.send_response(status)
                if receiver.location:
                    self.send_header("location", receiver.location)
                answer = b"x" * 100_000
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                with contextlib.suppress(OSError):  # a receiver that is killed hears no answer
                    self.wfile.write(answer)

            def log_message(self, *args: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?team=a"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def next(self) -> dict[str, Any]:
        """The next message, once it has come."""
        return json.loads(self.heard.get(timeout=30)[1])

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def other() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def open_root(root: Path) -> Path:
    """A project whose operator allows webhooks to this machine."""
    (root / "bucle.toml").write_text('[project]\nname = "t"\n[server]\nwebhook_hosts = ["127.0.0.1"]\n')
    return root


@pytest.fixture
def site(open_root: Path) -> Iterator[Site]:
    with served(open_root) as found:
        yield found


@pytest.fixture
def told(open_root: Path, clock: SimulatedClock) -> Iterator[Project]:
    """The same project, without a server: its webhooks are told when a test says so."""
    opened = Project.open(open_root, clock=clock, actor="ana")
    yield opened
    opened.close()


def client_of(site: Site) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=site.url, registry_uri=site.url)


def hook(project: Project, receiver: Receiver, *events: str, secret: str = "") -> registry.Webhook:
    return registry.create_webhook(project, "hook", receiver.url, events or registry.HOOKS, secret=secret)


def test_webhooks_are_made_changed_listed_and_deleted(client: MlflowClient) -> None:
    from mlflow.exceptions import MlflowException

    events = ["registered_model.created", "model_version_alias.deleted"]
    made = client.create_webhook(unique("w"), "https://example.com/hook", events, description="d", secret=SECRET)
    assert ([str(event) for event in made.events], made.description, str(made.status)) == (events, "d", "ACTIVE")
    assert made.secret is None
    changed = client.update_webhook(made.webhook_id, url="https://example.org/x", status="DISABLED")
    assert (changed.url, str(changed.status), len(changed.events)) == ("https://example.org/x", "DISABLED", 2)
    assert client.get_webhook(made.webhook_id).url == changed.url
    other = client.create_webhook(unique("w"), "https://example.com/other", ["prompt.created"])
    page = client.list_webhooks(max_results=1)
    assert [one.webhook_id for one in page] == [other.webhook_id]
    assert [one.webhook_id for one in client.list_webhooks(max_results=1, page_token=page.token)] == [made.webhook_id]
    for one in (made, other):
        client.delete_webhook(one.webhook_id)
    with pytest.raises(MlflowException, match="no webhook"):
        client.get_webhook(made.webhook_id)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "-x"}, {"name": ""}, {"name": "x" * 64}, {"events": []}, {"events": [{"entity": "MODEL_VERSION"}]},
        {"events": [{"entity": "REGISTERED_MODEL", "action": "DELETED"}]}, {"status": "SLEEPING"},
        {"url": ""}, {"url": "ftp://example.com/x"}, {"url": "example.com"}, {"url": "https://"},
        {"url": "http://localhost/x"}, {"url": "http://127.0.0.1/x"}, {"url": "http://[::1]/x"},
        {"url": "http://169.254.169.254/latest/meta-data"}, {"url": "http://10.1.2.3/"}, {"url": "http://[::ffff:10.0.0.1]/"},
        {"url": "http://user:pass@example.com/"}, {"url": "http://metadata.internal/"}, {"url": "http://intranet/"},
        {"url": "https://example.com:99999/"}, {"url": "https://exa mple.com/"}, {"secret": "x" * 1001},
    ],
)  # fmt: skip
def test_a_webhook_that_cannot_be_is_refused(sqlite_server: Site, wrong: dict[str, Any]) -> None:
    events = [{"entity": "REGISTERED_MODEL", "action": "CREATED"}]
    body = {"name": "x", "url": "https://example.com/x", "events": events, **wrong}
    answer = sqlite_server.client.post("/api/2.0/mlflow/webhooks", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_a_test_is_sent_and_signed(site: Site, receiver: Receiver) -> None:
    client = client_of(site)
    made = client.create_webhook("w", receiver.url, ["model_version.created"], secret=SECRET)
    result = client.test_webhook(made.webhook_id)
    assert (result.success, result.response_status, len(result.response_body)) == (True, 200, 16384)
    headers, body = receiver.heard.get(timeout=30)
    message = json.loads(body)
    assert (message["entity"], message["action"]) == ("model_version", "created")
    assert message["data"] == EXAMPLES["model_version.created"]
    signed = f"{headers['x-mlflow-delivery-id']}.{headers['x-mlflow-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["x-mlflow-signature"] == f"v1,{mac}"
    receiver.answers.put(500)
    failed = client.test_webhook(made.webhook_id, "model_version.created")
    assert (failed.success, failed.response_status) == (False, 500)


def test_the_server_tells_what_a_client_does(site: Site, receiver: Receiver) -> None:
    client = client_of(site)
    client.create_webhook("w", receiver.url, list(registry.HOOKS))
    client.create_registered_model("m", tags={"a": "b"}, description="d")
    client.create_model_version("m", "s3://bucket/m", tags={"k": "v"})
    client.set_model_version_tag("m", "1", "x", "y" * 3000)
    client.delete_model_version_tag("m", "1", "x")
    client.set_registered_model_tag("m", "quiet", "MLflow tells nobody")
    client.set_registered_model_alias("m", "best", "1")
    client.delete_registered_model_alias("m", "best")
    heard = [receiver.next() for _ in range(6)]
    version = {"name": "m", "version": "1"}
    assert [(one["entity"], one["action"], one["data"]) for one in heard] == [
        ("registered_model", "created", {"name": "m", "tags": {"a": "b"}, "description": "d"}),
        ("model_version", "created",
         {**version, "source": "s3://bucket/m", "run_id": None, "tags": {"k": "v"}, "description": None}),
        ("model_version_tag", "set", {**version, "key": "x", "value": "y" * 3000}),
        ("model_version_tag", "deleted", {**version, "key": "x"}),
        ("model_version_alias", "created", {**version, "alias": "best"}),
        ("model_version_alias", "deleted", {"name": "m", "alias": "best"}),
    ]  # fmt: skip


def test_prompts_are_told_as_prompts(told: Project, receiver: Receiver) -> None:
    hook(told, receiver)
    registry.register_prompt(told, "p", "Hello {{x}}", tags={"lang": "en"}, description="first")
    registry.set_model_tag(told, "p", "team", "a")
    registry.set_version_tag(told, "p", 1, "seen", "yes")
    registry.set_alias(told, "p", "best", 1, actor="ana", reason="")
    assert deliver_due(told) == 5
    heard = [receiver.next() for _ in range(5)]
    assert [f"{one['entity']}.{one['action']}" for one in heard] == [
        "prompt.created", "prompt_version.created", "prompt_tag.set", "prompt_version_tag.set", "prompt_alias.created",
    ]  # fmt: skip
    assert heard[1]["data"] == {
        "name": "p", "version": "1", "template": "Hello {{x}}", "tags": {"lang": "en"}, "description": "first",
    }  # fmt: skip


def test_only_what_was_asked_for_and_came_later_is_told(told: Project, receiver: Receiver) -> None:
    registry.create_model(told, "before")
    hook(told, receiver, "registered_model.created")
    registry.register_prompt(told, "p", "text")
    registry.create_model(told, "after")
    assert deliver_due(told) == 1
    assert receiver.next()["data"]["name"] == "after"
    assert deliver_due(told) == 0


def test_what_happens_while_it_is_disabled_is_never_told(told: Project, receiver: Receiver) -> None:
    made = hook(told, receiver, "registered_model.created")
    registry.update_webhook(told, made.id, status="DISABLED")
    registry.create_model(told, "unheard")
    assert deliver_due(told) == 0
    registry.update_webhook(told, made.id, status="ACTIVE")
    registry.create_model(told, "heard")
    assert deliver_due(told) == 1
    assert receiver.next()["data"]["name"] == "heard"


def test_what_did_not_arrive_is_sent_again_later_under_the_same_id(
    told: Project, receiver: Receiver, clock: SimulatedClock
) -> None:
    made = hook(told, receiver, "registered_model.created")
    registry.create_model(told, "one")
    registry.create_model(told, "two")
    for status in (503, 429):
        receiver.answers.put(status)
    assert deliver_due(told) == 0
    assert deliver_due(told) == 0  # not due yet: nothing is sent
    for attempts in (1, 2):
        assert registry.deliveries(told)[made.id].attempts == attempts
        clock.advance(timedelta(seconds=wait_s(attempts)))
        deliver_due(told)
    heard = [receiver.heard.get(timeout=30) for _ in range(4)]
    assert [json.loads(body)["data"]["name"] for _, body in heard] == ["one", "one", "one", "two"]
    assert len({headers["x-mlflow-delivery-id"] for headers, _ in heard}) == 2
    state = registry.deliveries(told)[made.id]
    assert (state.delivered, state.dropped, state.attempts, state.problem) == (2, 0, 0, "")


def test_after_enough_attempts_a_message_is_given_up_and_the_next_one_sent(
    told: Project, receiver: Receiver, clock: SimulatedClock
) -> None:
    made = hook(told, receiver, "registered_model.created")
    registry.create_model(told, "lost")
    registry.create_model(told, "kept")
    for _ in range(ATTEMPTS):
        receiver.answers.put(500)
    for attempts in range(ATTEMPTS):
        deliver_due(told)
        clock.advance(timedelta(seconds=wait_s(attempts + 1)))
    state = registry.deliveries(told)[made.id]
    assert (state.delivered, state.dropped) == (1, 1)
    names = [receiver.next()["data"]["name"] for _ in range(ATTEMPTS + 1)]
    assert names == ["lost"] * ATTEMPTS + ["kept"]


def test_a_refusal_and_a_redirect_are_final(told: Project, receiver: Receiver) -> None:
    made = hook(told, receiver, "registered_model.created")
    receiver.location = "http://127.0.0.1:1/elsewhere"
    for status in (404, 302):
        receiver.answers.put(status)
    for name in ("one", "two", "three"):
        registry.create_model(told, name)
    assert deliver_due(told) == 1
    assert registry.deliveries(told)[made.id].dropped == 2
    assert receiver.heard.qsize() == 3


def test_a_receiver_that_is_away_delays_no_other(told: Project, receiver: Receiver) -> None:
    away = registry.create_webhook(told, "away", "http://127.0.0.1:1/x", ["registered_model.created"])
    hook(told, receiver, "registered_model.created")
    registry.create_model(told, "m")
    assert deliver_due(told) == 1
    state = registry.deliveries(told)[away.id]
    assert (state.attempts, "refused" in state.problem) == (1, True)


def test_a_name_that_leads_inside_is_not_followed(told: Project, receiver: Receiver, root: Path) -> None:
    made = hook(told, receiver, "registered_model.created")
    registry.create_model(told, "m")
    (root / "bucle.toml").write_text('[project]\nname = "t"\n')
    with pytest.MonkeyPatch.context() as patch:
        closed = Project.open(root, clock=told.clock, actor="ana")
        patch.setattr(told, "config", closed.config)
        assert deliver_due(told) == 0
        closed.close()
    assert "inside of the network" in registry.deliveries(told)[made.id].problem
    assert receiver.heard.empty()


def test_a_project_opened_again_goes_on_where_it_was(
    open_root: Path, receiver: Receiver, clock: SimulatedClock
) -> None:
    first = Project.open(open_root, clock=clock, actor="ana")
    hook(first, receiver, "registered_model.created", secret=SECRET)
    registry.create_model(first, "one")
    deliver_due(first)
    registry.create_model(first, "two")
    first.close()
    second = Project.open(open_root, clock=clock, actor="ana")
    assert deliver_due(second) == 1
    second.close()
    assert [receiver.next()["data"]["name"] for _ in range(2)] == ["one", "two"]


DELIVER = """
import sys, threading
from bucle.doors.protocols.mlflow.delivery import deliver
from bucle.ground.project import Project
deliver(Project.open(sys.argv[1]), threading.Event())
"""


def test_a_deliverer_killed_half_way_loses_nothing(told: Project, receiver: Receiver, open_root: Path) -> None:
    hook(told, receiver, "registered_model.created")
    receiver.pause = threading.Event()
    registry.create_model(told, "one")
    registry.create_model(told, "two")
    process = subprocess.Popen([sys.executable, "-c", DELIVER, str(open_root)])
    headers, body = receiver.heard.get(timeout=60)
    process.kill()
    process.wait()
    receiver.pause.set()
    assert deliver_due(told) == 2
    again = [receiver.heard.get(timeout=30) for _ in range(2)]
    assert json.loads(again[0][1])["data"] == json.loads(body)["data"]
    assert again[0][0]["x-mlflow-delivery-id"] == headers["x-mlflow-delivery-id"]
    assert json.loads(again[1][1])["data"]["name"] == "two"
    assert receiver.heard.empty()


def test_the_secret_is_nowhere_to_be_read(told: Project, receiver: Receiver, open_root: Path) -> None:
    made = hook(told, receiver, secret=SECRET)
    assert registry.webhook_secret(told, made.id) == SECRET
    assert SECRET not in str([told.ledger.events(), made])
    told.database.close()
    kept = [path for path in open_root.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert kept == []
    (open_root / ".bucle" / "secret.key").write_text("0" * 64)
    with pytest.raises(registry.SecretLocked):
        registry.webhook_secret(told, made.id)
    registry.create_model(told, "m")
    assert deliver_due(told) == 0
    assert receiver.heard.empty()


def test_the_second_message_of_an_event_is_given_up_like_any_other(
    told: Project, receiver: Receiver, clock: SimulatedClock
) -> None:
    made = hook(told, receiver)
    registry.register_prompt(told, "p", "text")  # one event: a prompt and its first version
    registry.create_model(told, "after")
    for status in (200, *([500] * ATTEMPTS)):
        receiver.answers.put(status)
    for attempts in range(ATTEMPTS):
        deliver_due(told)
        clock.advance(timedelta(seconds=wait_s(attempts + 1)))
    heard = [receiver.next() for _ in range(ATTEMPTS + 2)]
    assert [f"{one['entity']}.{one['action']}" for one in heard] == [
        "prompt.created", *(["prompt_version.created"] * ATTEMPTS), "registered_model.created",
    ]  # fmt: skip
    state = registry.deliveries(told)[made.id]
    assert (state.delivered, state.dropped, state.attempts, state.told) == (2, 1, 0, 0)


def test_between_two_messages_of_an_event_a_project_opened_again_goes_on_with_the_second(
    open_root: Path, receiver: Receiver, clock: SimulatedClock
) -> None:
    first = Project.open(open_root, clock=clock, actor="ana")
    hook(first, receiver)
    registry.register_prompt(first, "p", "text")
    for status in (200, 500):
        receiver.answers.put(status)
    deliver_due(first)
    first.close()
    clock.advance(timedelta(seconds=wait_s(1)))
    second = Project.open(open_root, clock=clock, actor="ana")
    assert deliver_due(second) == 1
    second.close()
    assert [receiver.next()["entity"] for _ in range(3)] == ["prompt", "prompt_version", "prompt_version"]


@contextlib.contextmanager
def delivering(project: Project) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=deliver, args=(project, stop))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def test_a_slow_receiver_delays_neither_others_nor_the_end(
    told: Project, receiver: Receiver, other: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "DEADLINE_S", 3600.0)
    slow = hook(told, receiver, "registered_model.created")
    hook(told, other, "registered_model.created")
    receiver.pause = threading.Event()
    with delivering(told):
        for name in ("one", "two"):
            registry.create_model(told, name)
            assert other.next()["data"]["name"] == name
        assert receiver.next()["data"]["name"] == "one"
    state = registry.deliveries(told)[slow.id]
    assert (state.delivered, state.dropped, state.attempts) == (0, 0, 0)
    receiver.pause.set()
    assert deliver_due(told) == 2
    assert [receiver.next()["data"]["name"] for _ in range(2)] == ["one", "two"]


def test_a_cursor_moves_only_under_the_lease_that_is_alive(any_project: Project) -> None:
    made = registry.create_webhook(any_project, "w", "https://example.com/x", ["prompt.created"])
    before = registry.deliveries(any_project)[made.id]
    old = acquire(any_project.database, "webhooks", this_process())
    new = acquire(any_project.database, "webhooks", this_process())
    assert old is not None
    assert new is not None
    further = replace(before, seq=before.seq + 5)
    with pytest.raises(LeaseLost):
        registry.note_delivery(any_project, further, old)
    assert registry.deliveries(any_project)[made.id] == before
    registry.note_delivery(any_project, further, new)
    assert registry.deliveries(any_project)[made.id].seq == before.seq + 5


def test_a_server_that_lost_its_lease_sends_nothing_more(told: Project, receiver: Receiver) -> None:
    made = hook(told, receiver, "registered_model.created")
    before = registry.deliveries(told)[made.id]
    receiver.pause = threading.Event()
    for name in ("one", "two"):
        registry.create_model(told, name)
    with delivering(told):
        assert receiver.next()["data"]["name"] == "one"
        with told.database.writing() as connection:  # as another server does when this one stood still
            taken = LEASES.update().values(token=LEASES.c.token + 1, holder="elsewhere:1:1.00", expires_at=1e12)
            connection.execute(taken)
        keeper = next(thread for thread in threading.enumerate() if thread.name == "bucle-webhook-lease")
        receiver.pause.set()
        keeper.join(60)
        assert not keeper.is_alive()
    assert receiver.heard.empty()
    assert registry.deliveries(told)[made.id] == before


def test_a_name_that_does_not_resolve_in_time_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **named: never.wait(120) and [])
    monkeypatch.setattr(sending, "DEADLINE_S", 0.2)
    sent = transmit("http://hooks.example.com/", b"{}", {}, (), threading.Event())
    never.set()
    assert (sent.status, "not resolved in time" in sent.problem, sent.may_arrive_later) == (0, True, True)


def test_addresses_that_do_not_answer_share_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        for _ in range(4):  # its queue is full: whoever comes next hears nothing
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        many = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 1000
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **named: many)
        monkeypatch.setattr(sending, "DEADLINE_S", 0.5)
        sent = transmit(f"http://127.0.0.1:{port}/", b"{}", {}, ("127.0.0.1",), threading.Event())
    assert (sent.status, "did not answer in time" in sent.problem) == (0, True)
