"""The queue: what was added comes out in order, also after a crash, and locks say who may do what."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.core import Environment
from bucle.line.client import queue as module
from bucle.line.client.errors import QueueDamaged
from bucle.line.client.message import End, Entry, File, Message, Start, Stretch
from bucle.line.client.queue import Place, Queue, queue_root, queues
from bucle.line.client.remote import sync

AT = datetime(2013, 1, 1, tzinfo=UTC)
RUN = "0123456789abcdef0123456789abcdef"
START = Start(run=RUN, experiment="flights", started_at=AT)
END = End(status="finished", ended_at=AT)


def _entry(number: int) -> Entry:
    return Entry(tags={"n": str(number)})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "queues"


@pytest.fixture
def queue(root: Path) -> Iterator[Queue]:
    begun = Queue.begin(root, "http://there:4242", START)
    yield begun
    begun.close()


def test_messages_come_out_in_order_until_they_are_acknowledged(queue: Queue, root: Path) -> None:
    queue.append(_entry(1))
    queue.append(END)
    (reader,) = queues(root)
    assert (reader.run, reader.server) == (RUN, "http://there:4242")
    found = list(reader.undelivered())
    assert [one.message for one in found] == [START, _entry(1), END]
    reader.acknowledge(found[1].after)
    assert [one.message for one in reader.undelivered()] == [END]
    assert reader.has_end()
    queue.close()
    reader.remove()
    assert queues(root) == []


def test_a_reader_sees_what_is_added_later(queue: Queue) -> None:
    place = list(queue.undelivered())[-1].after
    assert list(queue.after(place)) == []
    queue.append(_entry(1))
    assert [one.message for one in queue.after(place)] == [_entry(1)]


def test_segments_that_were_delivered_are_gone(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT", 200)
    for number in range(100):
        queue.append(_entry(number))
    assert len(list(queue.folder.glob("0*"))) > 10
    found = list(queue.undelivered())
    assert [one.message for one in found[1:]] == [_entry(number) for number in range(100)]
    queue.acknowledge(found[-1].after)
    assert len(list(queue.folder.glob("0*"))) == 1
    assert list(queue.undelivered()) == []
    assert not queue.has_end()
    queue.append(END)
    assert queue.has_end()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(cut=st.integers(0, 400), flip=st.integers(0, 400))
def test_a_message_cut_short_is_not_there_and_those_before_are(root: Path, cut: int, flip: int) -> None:
    queue = Queue.begin(root, "http://there", Start(run=os.urandom(16).hex(), experiment="x", started_at=AT))
    for number in range(5):
        queue.append(_entry(number))
    ends = [one.after.offset for one in queue.undelivered()]
    queue.close()
    path = queue.folder / "00000000"
    content = bytearray(path.read_bytes())
    cut, flip = ends[0] + cut % (len(content) - ends[0] + 1), flip % len(content)
    path.write_bytes(content[:cut])
    assert len(list(queue.undelivered())) == sum(end <= cut for end in ends)
    content[flip] ^= 1
    path.write_bytes(content)
    assert len(list(queue.undelivered())) == sum(end <= flip for end in ends)


def test_damage_in_the_middle_is_told(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT", 200)
    for number in range(20):
        queue.append(_entry(number))
    path = queue.folder / "00000001"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(QueueDamaged, match="00000001"):
        list(queue.undelivered())


def test_a_full_disk_leaves_what_was_there_readable(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    before = list(queue.undelivered())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (queue._size + 50, limits[1]))
    try:
        with pytest.raises(module.QueueFull, match="cannot be written"):
            queue.append(Entry(params={"long": "x" * 5000}))
        with pytest.raises(module.QueueFull):
            queue.put_file("big", b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(queue.undelivered()) == before
    queue.append(_entry(1))
    assert [one.message for one in queue.undelivered()][-1] == _entry(1)
    assert list((queue.folder / "files").iterdir()) == []


def test_files_wait_beside_it(queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"weights")
    queue.put_file("model/weights", tmp_path / "model.bin")
    queue.put_file("note", b"hello")
    (tmp_path / "model.bin").write_bytes(b"later")
    files = [one.message for one in queue.undelivered() if isinstance(one.message, File)]
    assert [(one.path, queue.file(one).read_bytes()) for one in files] == [
        ("model/weights", b"weights"),
        ("note", b"hello"),
    ]


def test_who_writes_and_who_delivers_is_locked(queue: Queue, root: Path) -> None:
    (other,) = queues(root)
    with other.abandoned() as nobody:
        assert not nobody
    with queue.sending() as ours, other.sending() as theirs:
        assert (ours, theirs) == (True, False)
    queue.close()
    with other.abandoned() as nobody, other.sending() as ours:
        assert (nobody, ours) == (True, True)


def test_what_was_refused_is_kept_aside(queue: Queue, root: Path) -> None:
    queue.set_aside(_entry(3), "too long")
    assert queue.refused() == ["too long"]
    queue.close()
    queue.remove()
    assert queues(root) == []
    assert b'"n":"3"' in (root / ".refused" / RUN / "refused").read_bytes()


_WRITER = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from bucle.line.client.message import Entry, Start
from bucle.line.client.queue import Queue
start = Start(run=os.urandom(16).hex(), experiment="x", started_at=datetime(2013, 1, 1, tzinfo=UTC))
queue = Queue.begin(Path(sys.argv[1]), "http://there", start)
for number in range(1_000_000):
    queue.append(Entry(tags={"n": str(number)}))
    os.write(1, b"%d\\n" % number)
"""


def test_what_is_left_of_a_queue_that_was_being_removed_is_no_queue(
    queue: Queue, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.close()
    removed = list[Path]()

    def killed(folder: Path) -> None:
        removed.append(folder)
        raise OSError("The process died here.")

    with monkeypatch.context() as patched:
        patched.setattr(module.shutil, "rmtree", killed)
        queue.remove()
    assert removed[0].exists()
    assert queues(root) == []
    module.clear(root)
    assert not removed[0].exists()


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "no address": lambda folder: (folder / "server").unlink(),
    "an address that is none": lambda folder: (folder / "server").write_text("http://[:::"),
    "no segment": lambda folder: (folder / "00000000").unlink(),
    "a message of another kind": lambda folder: (folder / "00000000").write_bytes(
        struct.pack("<II", 1, zlib.crc32(b"\x01")) + b"\x01"
    ),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_queue_that_cannot_be_read_keeps_no_other_waiting(root: Path, free_port: int, what: str) -> None:
    address = f"http://127.0.0.1:{free_port}"
    runs = [f"{number}" * 32 for number in range(3)]
    for run in runs:
        begun = Queue.begin(root, address, msgspec.structs.replace(START, run=run))
        begun.append(END)
        begun.close()
    UNREADABLE[what](root / runs[1])
    told = {one.run: one for one in sync(root)}
    assert sorted(told) == runs
    assert {one.state for one in told.values()} == {"waiting"}
    assert "cannot be delivered" in told[runs[1]].reason
    assert all("does not answer" in told[run].reason for run in (runs[0], runs[2]))


def test_after_kill_9_all_that_was_added_is_there(root: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", _WRITER, str(root)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(200):
        child.stdout.readline()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    told = child.stdout.read().split(b"\n")[:-1]  # what stands before a line's end was told whole
    child.stdout.close()
    (queue,) = queues(root)
    found = [one.message.tags["n"] for one in queue.undelivered() if isinstance(one.message, Entry)]
    assert found == [str(number) for number in range(len(found))]
    assert len(found) > (int(told[-1]) if told else 199)
    with queue.abandoned() as nobody:
        assert nobody


WRITTEN = {
    "8da474797065a57374617274a372756ed9203031323334353637383961626364656630313233343536373839616263646566aa6578706572696d"
    "656e74a7666c6967687473aa737461727465645f6174d6ff50e22700a46e616d65a0a56163746f72a0a6706172616d7381a161a131a474616773"
    "80a6696e7075747390a47365656407ab636f64655f636f6d6d6974a0a9636f64655f64696666c400ab656e7669726f6e6d656e7484a670797468"
    "6f6ea4332e3131ae696d706c656d656e746174696f6ea143a673797374656da14ca87061636b6167657381a178a131": Start(
        run=RUN, experiment="flights", started_at=AT, params={"a": "1"}, seed=7,
        environment=Environment(python="3.11", implementation="C", system="L", packages={"x": "1"}),
    ),
    "84a474797065a5656e747279a97374726574636865739194a46c6f7373c4080000000000000000c4080101010101010101c40802020202020202"
    "02a6706172616d7380a47461677381a162a132": Entry(
        stretches=(Stretch("loss", b"\0" * 8, b"\1" * 8, b"\2" * 8),), tags={"b": "2"}
    ),
    "83a474797065a466696c65a470617468a3612f62a7636f6e74656e74a3302d31": File(path="a/b", content="0-1"),
    "84a474797065a3656e64a6737461747573a66661696c6564a8656e6465645f6174d6ff50e22700a56572726f72a26e6f": End(
        status="failed", ended_at=AT, error="no"
    ),
}  # fmt: skip
"""Messages as the first version wrote them to disk and sent them."""


@pytest.mark.parametrize("written", WRITTEN)
def test_messages_of_the_first_version_stay_readable(written: str) -> None:
    content = bytes.fromhex(written)
    assert msgspec.msgpack.decode(content, type=Message) == WRITTEN[written]
    assert msgspec.msgpack.encode(WRITTEN[written]) == content


def test_where_queues_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUCLE_QUEUE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert queue_root() == tmp_path / "bucle" / "queue"
    monkeypatch.setenv("BUCLE_QUEUE", str(tmp_path / "here"))
    assert queue_root() == tmp_path / "here"
    assert queues(tmp_path / "none") == []
    assert Queue(tmp_path / "none").delivered() == Place(0, 0)
