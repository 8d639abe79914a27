"""The console: what is printed is kept, in bounded size, and reaches the terminal as ever."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.line.client.console import PART, Console, Transcript, TranscriptFile, listen


def _clock() -> float:
    return 0.0


def test_what_python_prints_is_heard_and_still_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with listen("python", _clock) as console:
        sys.stdout.write("out\n")
        sys.stderr.write("err\n")
    sys.stdout.write("after\n")
    assert console is not None
    assert console.last == b"out\nerr\n"
    assert capsys.readouterr().out == "out\nafter\n"


def test_a_logger_that_held_the_stream_before_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    logger, stream = logging.getLogger("test_console"), logging.StreamHandler(sys.stderr)
    logger.addHandler(stream)
    with listen("python", _clock) as console:
        logger.warning("careful")
    logger.removeHandler(stream)
    assert console is not None
    assert console.last == b"careful\n"


def test_two_listeners_may_stop_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = listen("python", _clock), listen("python", _clock)
    outer = first.__enter__()
    inner = second.__enter__()
    sys.stdout.write("both\n")
    first.__exit__(None, None, None)
    sys.stdout.write("inner\n")
    second.__exit__(None, None, None)
    sys.stdout.write("none\n")
    assert outer is not None
    assert inner is not None
    assert (outer.last, inner.last) == (b"both\n", b"both\ninner\n")
    assert capsys.readouterr().out == "both\ninner\nnone\n"


def test_nothing_is_heard_when_nobody_listens() -> None:
    with listen("none", _clock) as console:
        pass
    assert console is None


def test_of_a_progress_bar_the_last_state_is_kept() -> None:
    transcript = Transcript()
    for share in range(101):
        transcript.write(f"\r{share:3d} %")
    transcript.write("\r\ndone\r\n")
    assert transcript.content() == b"100 %\ndone\n"


@given(st.lists(st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]))))
def test_what_is_short_is_kept_whole_however_it_is_cut(texts: list[str]) -> None:
    transcript = Transcript()
    for text in texts:
        transcript.write(text)
    assert transcript.content().decode() == "".join(texts)


def test_what_is_long_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    transcript, file = Transcript(), tmp_path / "log"
    lines = [f"line {number:06d}\n" for number in range(400_000)]
    for line in lines:
        transcript.write(line)
    file.write_text("".join(lines))
    for kept in (transcript.content(), TranscriptFile(file).content()):
        assert len(kept) < 2.1 * PART
        assert kept.startswith(b"line 000000\n")
        assert kept.endswith(b"line 399999\n")
        assert b"bytes left out" in kept


def test_a_transcript_is_handed_on_ever_more_rarely() -> None:
    now, transcript = 0.0, Transcript()
    console = Console(transcript, lambda: now)
    sizes = []
    for _ in range(36_000):
        now += 0.1
        transcript.write("x" * 99 + "\n")
        text = console.fresh()
        sizes += [] if text is None else [len(text)]
    assert len(sizes) < 60
    assert sum(sizes) < 12 * transcript.size
    assert sizes == sorted(sizes)
    assert console.fresh() is None


_CHILD = """
import os, subprocess, sys, time
from bucle.line.client.console import listen
with listen("all", time.monotonic) as console:
    print("python")
    os.write(1, b"descriptor\\n")
    subprocess.run(["echo", "child"])
    os.write(2, b"error\\n")
    {then}
print("after", sorted(console.last.split()))
"""


def test_all_hears_descriptors_and_children_and_passes_them_on() -> None:
    done = subprocess.run(
        [sys.executable, "-u", "-c", _CHILD.format(then="")], capture_output=True, text=True, check=True
    )
    assert sorted(done.stdout.splitlines()[:3]) == ["child", "descriptor", "python"]
    assert done.stdout.splitlines()[3] == "after [b'child', b'descriptor', b'error', b'python']"
    assert done.stderr == "error\n"


def test_what_was_printed_before_a_crash_reaches_the_terminal() -> None:
    done = subprocess.run(
        [sys.executable, "-u", "-c", _CHILD.format(then="os.kill(os.getpid(), 9)")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -9
    assert sorted(done.stdout.splitlines()) == ["child", "descriptor", "python"]
    assert done.stderr == "error\n"


def test_the_temporary_folder_of_all_is_gone_afterwards(tmp_path: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", _CHILD.format(then="")], env=environ, check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
