"""The S3 gateway: objects put, read and listed, beside a plain answer of the same server and beside moto's S3 server.

    python benchmarks/gateway.py [--paths 100000] [--rounds 200]

Every server runs in a process of its own; one client sends one signed request after another. CPU is the server's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import boto3
import httpx
import psutil
from botocore.config import Config

SERVER = """
import sys
from bucle.doors.server import serve
from bucle.ground import governance
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.files import FileEntry
project = Project.open(sys.argv[1])
entry = FileEntry(digest=project.blobs.put(bytes(1024)), size_bytes=1024)
paths = (f"many/d{n // 1000:04d}/f{n:07d}" for n in range(int(sys.argv[2])))
data.change_files(project, dict.fromkeys(paths, entry), message="many")
key, secret = governance.make_access_key(project, "bench")
serve(project, "127.0.0.1", 0, ready=lambda url: print(url, key.id, secret, flush=True))
"""
MOTO = """
import logging, sys, time
logging.getLogger("werkzeug").setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
host, port = server.get_host_and_port()
print(f"http://{host}:{port} key secret", flush=True)
time.sleep(3600)
"""
LONG = os.urandom(64 << 20)


class Side:
    """A server in a process of its own, and a client of it."""

    def __init__(self, code: str, *arguments: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url, key, secret = self.process.stdout.readline().split()
        self.watched = psutil.Process(self.process.pid)
        self.s3 = boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id=key, aws_secret_access_key=secret,
            region_name="us-east-1", config=Config(s3={"addressing_style": "path"}),
        )  # fmt: skip

    def measure(self, do: Callable[[int], object], rounds: int) -> tuple[float, float]:
        """Milliseconds of wall time and of the server's CPU a request."""
        do(-1)
        before, begun = sum(self.watched.cpu_times()[:2]), time.perf_counter()
        for number in range(rounds):
            do(number)
        wall = time.perf_counter() - begun
        return wall / rounds * 1e3, (sum(self.watched.cpu_times()[:2]) - before) / rounds * 1e3

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def works(side: Side, folder: str, rounds: int) -> dict[str, tuple[Callable[[int], object], int]]:
    s3, few = side.s3, max(3, rounds // 50)
    short = bytes(1016)
    return {
        "PUT 1 KB": (lambda n: s3.put_object(Bucket="lake", Key=f"main/n/{n}", Body=b"%8d" % n + short), rounds),
        "GET 1 KB": (lambda n: s3.get_object(Bucket="lake", Key=f"main/n/{max(n, 0)}")["Body"].read(), rounds),
        "PUT 64 MB": (lambda n: s3.put_object(Bucket="lake", Key="main/long", Body=b"%8d" % n + LONG), few),
        "GET 64 MB": (lambda n: s3.get_object(Bucket="lake", Key="main/long")["Body"].read(), few),
        "list 1,000": (lambda n: s3.list_objects_v2(Bucket="lake", Prefix=folder), max(5, rounds // 10)),
    }


def main(paths: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bucle.toml").write_text('[project]\nname = "lake"\n')
        ours, moto = Side(SERVER, folder, str(paths)), Side(MOTO)
        try:
            moto.s3.create_bucket(Bucket="lake")
            for number in range(1000):
                moto.s3.put_object(Bucket="lake", Key=f"main/many/d0000/f{number:07d}", Body=b"1")
            with httpx.Client(base_url=ours.url) as plain:
                wall, cpu = ours.measure(lambda _: plain.get("/health").read(), rounds)
            print(f"a tree of {paths:,} paths; one client; wall ms (server's CPU ms) a request")
            print(f"{'':12}{'gateway':>20}{'moto':>20}{'wall: gateway/moto':>22}")
            print(f"{'GET /health':12}{wall:12.2f} ({cpu:5.2f})")
            theirs = works(moto, "main/many/d0000/", rounds)
            for name, (do, count) in works(ours, "main/many/d0000/", rounds).items():
                mine, other = ours.measure(do, count), moto.measure(*theirs[name])
                told = "".join(f"{wall:12.2f} ({cpu:5.2f})" for wall, cpu in (mine, other))
                print(f"{name:12}{told}{mine[0] / other[0]:22.2f}", flush=True)
            with tempfile.NamedTemporaryFile(dir=folder) as file:
                begun = time.perf_counter()
                for _ in range(50):
                    file.write(bytes(1024))
                    file.flush()
                    os.fsync(file.fileno())
                print(f"one fsync of 1 KB on this disk: {(time.perf_counter() - begun) / 50 * 1e3:.2f} ms")
        finally:
            ours.close()
            moto.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    main(options.paths, options.rounds)
