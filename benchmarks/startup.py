"""Start-up: `import bucle` and `bucle --version` against `python -c pass` and `python -c 'import argparse'`.

    python benchmarks/startup.py [--runs 15]

CPU seconds (user and system) of whole processes, median of the runs, taken in turns so that noise hits all alike.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
from pathlib import Path

BUCLE = str(Path(sys.executable).with_name("bucle"))
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import argparse'": [sys.executable, "-c", "import argparse"],
    "python -c 'import bucle'": [sys.executable, "-c", "import bucle"],
    "bucle --version": [BUCLE, "--version"],
    "bucle --help": [BUCLE, "--help"],
    "bucle data --help": [BUCLE, "data", "--help"],
}


def cpu_s(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    seen: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            seen[name].append(cpu_s(command))
    middle = {name: statistics.median(values) for name, values in seen.items()}
    python = platform.python_version()
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {python}, load {os.getloadavg()[0]:.1f}, {runs} runs")
    print(f"{'command':<30}{'CPU ms':>8}{'x pass':>8}{'x argparse':>12}")
    for name, value in middle.items():
        against = value / middle["python -c pass"], value / middle["python -c 'import argparse'"]
        print(f"{name:<30}{value * 1000:>8.1f}{against[0]:>8.2f}{against[1]:>12.2f}")


if __name__ == "__main__":
    main()
