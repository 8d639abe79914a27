"""A base image from this machine's own Python, and images built and run with buildah: no registry is asked."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

NAME = "localhost/python"
PROGRAMS = ("sh", "install", "id", "env", "ls")
LIBRARIES = (
    "libstdc++.so.6",
    "libgcc_s.so.1",
    "libz.so.1",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libutil.so.1",
    "libm.so.6",
    "libnss_files.so.2",
    "libnss_dns.so.2",
    "libresolv.so.2",
)
LEFT_OUT = shutil.ignore_patterns("site-packages", "test", "tests", "idlelib", "turtledemo", "__pycache__", "config-*")


class Buildah:
    """Buildah with a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"buildah {' '.join(arguments)}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return done.stdout.strip()

    def command(self, *arguments: str) -> list[str]:
        places = ("--root", str(self.folder / "root"), "--runroot", str(self.folder / "run"))
        return ["buildah", "--storage-driver", "vfs", *places, *arguments]

    def base(self, root: Path) -> str:
        """Commit a root file system; the answer is what goes behind FROM."""
        self.folder.mkdir(exist_ok=True)
        container = self("from", "scratch")
        self("add", container, str(root), "/")
        self("commit", container, f"{NAME}:base")
        self("rm", container)
        return f"{NAME}@{self('images', '--format', '{{.Digest}}', f'{NAME}:base')}"


def python_root(root: Path) -> Path:
    """A root file system with the Python that runs this, pip, a shell, and the libraries they load."""
    prefix, version = Path(sys.base_prefix), f"python3.{sys.version_info.minor}"
    library = root / "usr/local/lib" / version
    shutil.copytree(prefix / "lib" / version, library, ignore=LEFT_OUT)
    (library / "site-packages").mkdir()
    for found in (prefix / "lib" / version / "site-packages").glob("pip*"):
        shutil.copytree(found, library / "site-packages" / found.name)
    for folder in ("usr/local/bin", "usr/lib"):
        (root / folder).mkdir(parents=True)
    shutil.copy(prefix / "bin" / version, root / "usr/local/bin/python3")
    for found in (prefix / "lib").glob("libpython3*.so*"):
        shutil.copy(found, root / "usr/lib" / found.name)
    (root / "bin").mkdir()
    for program in PROGRAMS:
        where = shutil.which(program)
        assert where is not None
        shutil.copy(Path(where).resolve(), root / "bin" / program)
    loaded = [*(root / "bin").iterdir(), *(root / "usr/local/bin").iterdir(), *library.rglob("*.so")]
    for needed in (*libraries_of(loaded), *named_libraries()):
        target = root / needed.relative_to("/")
        if not target.exists() and not needed.is_relative_to(prefix):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(needed, target)
    (root / "etc/ssl/certs").mkdir(parents=True)
    for certificates in (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/nsswitch.conf")):
        if certificates.exists():
            shutil.copy(certificates, root / certificates.relative_to("/"))
    (root / "etc/pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    for folder in ("tmp", "var/tmp"):
        (root / folder).mkdir(parents=True)
        (root / folder).chmod(0o1777)
    return root


def libraries_of(files: Iterable[Path]) -> set[Path]:
    told = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False).stdout
    return {Path(found) for found in re.findall(r"(/\S+\.so\S*) \(0x", told)}


def named_libraries() -> set[Path]:
    told = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    wanted = "|".join(map(re.escape, LIBRARIES))
    return {Path(found) for found in re.findall(rf"(?:{wanted}) \(libc6,x86-64.*?\) => (\S+)", told)}
