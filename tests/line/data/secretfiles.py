"""What the test of crashes runs in another process: everything that handles encrypted files, until it is killed.

python secretfiles.py ROOT FOLDER OUT    prints a line after each round
"""

import random
import sys
from pathlib import Path

from bucle.ground.project import Project
from bucle.line import data

MARK = b"Zx9secret"


def secret(number: int, count: int) -> bytes:
    """Bytes in each kilobyte of which the mark stands."""
    seeded = random.Random(number)
    return b"".join(MARK + seeded.randbytes(1015) for _ in range(count >> 10))


def main(root: str, folder: str, out: str) -> None:
    project, number = Project.open(root), 0
    data.add_remote(project, "origin", f"{out}-remote")
    while True:
        (Path(folder) / "small").write_bytes(secret(number, 4096))
        (Path(folder) / "large").write_bytes(secret(number, 3 << 20) + secret(0, 3 << 20))
        data.add_files(project, folder, "secret")
        data.commit(project, {}, files={"secret/one": secret(number + 1, 2048)}, message="one")
        data.status(project, folder, "secret")
        data.checkout(project, out, "secret")
        data.push(project)
        number += 1
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
