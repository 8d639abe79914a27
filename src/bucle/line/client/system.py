"""System: how busy the machine is while a run goes on, under the names MLflow's pages group by (`system/…`)."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

import psutil

__all__ = ["Gpus", "Host", "SystemProbe", "gpus", "watch_system"]

INTERVAL_S = 10.0
"""Seconds between two looks, as MLflow has it."""

MEGA = 1e6

GPU_QUERY = ("index", "utilization.gpu", "memory.used", "memory.total", "power.draw", "power.limit")
MIB = 1.048576
"""Megabytes in a mebibyte, which nvidia-smi counts in."""


class SystemProbe(Protocol):
    """Something that can be looked at now and then."""

    def look(self) -> dict[str, float]:
        """Name -> value, without the `system/` before it; what cannot be told is left out."""
        ...


class Host:
    """Processor, memory, disk and network of this machine, and this process' share of the first two.

    Args:
        disk: a path on the disk to watch.
    """

    def __init__(self, disk: str = "/") -> None:
        self._disk = disk
        self._process = psutil.Process()
        # Both are measured between two calls; the first one gives nothing.
        psutil.cpu_percent()
        self._process.cpu_percent()
        self._received, self._sent = _network()

    def look(self) -> dict[str, float]:
        """How it stands now; processor shares are those since the last look, network what went by since the first."""
        memory, disk, (received, sent) = psutil.virtual_memory(), psutil.disk_usage(self._disk), _network()
        return {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "process_cpu_utilization_percentage": self._process.cpu_percent(),
            "process_memory_usage_megabytes": self._process.memory_info().rss / MEGA,
            "system_memory_usage_megabytes": memory.used / MEGA,
            "system_memory_usage_percentage": memory.percent,
            "disk_usage_megabytes": disk.used / MEGA,
            "disk_usage_percentage": disk.percent,
            "disk_available_megabytes": disk.free / MEGA,
            "network_receive_megabytes": (received - self._received) / MEGA,
            "network_transmit_megabytes": (sent - self._sent) / MEGA,
        }


class Gpus:
    """NVIDIA's processors, as `nvidia-smi` tells them.

    Args:
        program: the path of nvidia-smi.
    """

    def __init__(self, program: str) -> None:
        self._program = program

    def look(self) -> dict[str, float]:
        """How busy, full and hungry each of them is; nothing when the program fails. Cost: one process, some 50 ms."""
        command = [self._program, f"--query-gpu={','.join(GPU_QUERY)}", "--format=csv,noheader,nounits"]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603
        except (OSError, subprocess.SubprocessError):
            return {}
        return {name: value for line in told.stdout.splitlines() for name, value in _gpu(line)}


def gpus() -> Gpus | None:
    """The GPUs of this machine; None when it has no `nvidia-smi`."""
    program = shutil.which("nvidia-smi")
    return None if program is None else Gpus(program)


@contextmanager
def watch_system(
    log: Callable[[Mapping[str, float]], None], *, interval_s: float = INTERVAL_S, disk: str = "/"
) -> Iterator[None]:
    """Look at the machine in a thread of its own until the block ends: at once, each interval, and at the end.

    Args:
        log: is given what each look finds, named `system/…`.
        interval_s: seconds between two looks, > 0.
        disk: a path on the disk to watch.
    """
    found = gpus()
    probes: list[SystemProbe] = [Host(disk), *([found] if found else [])]
    stop = threading.Event()

    def look() -> None:
        # What the machine cannot tell (a container without /proc/net, a disk that went away) must not end a training.
        with suppress(OSError, psutil.Error):
            log({f"system/{name}": value for probe in probes for name, value in probe.look().items()})

    def watch() -> None:
        look()
        while not stop.wait(interval_s):
            look()
        look()

    thread = threading.Thread(target=watch, name="bucle-system", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _network() -> tuple[int, int]:
    """Bytes received and sent by this machine since it started."""
    found = psutil.net_io_counters()
    return (found.bytes_recv, found.bytes_sent) if found else (0, 0)


def _gpu(line: str) -> Iterator[tuple[str, float]]:
    """The values one line of nvidia-smi holds; a part this card does not know reads `[N/A]`."""
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != len(GPU_QUERY) or not parts[0].isdecimal():
        return
    told = {name: _number(part) for name, part in zip(GPU_QUERY, parts, strict=True)}
    busy, used, total, power, limit = (told[name] for name in GPU_QUERY[1:])
    values = {
        "utilization_percentage": busy,
        "memory_usage_megabytes": None if used is None else used * MIB,
        "memory_usage_percentage": _share(used, total),
        "power_usage_watts": power,
        "power_usage_percentage": _share(power, limit),
    }
    yield from ((f"gpu_{parts[0]}_{name}", value) for name, value in values.items() if value is not None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else round(100 * part / whole, 1)
