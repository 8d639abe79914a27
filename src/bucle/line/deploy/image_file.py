"""The Dockerfile of a serving image: a pure function of what goes into it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from bucle.ground.core import Record
from bucle.line.deploy.errors import BadBase

__all__ = ["Base", "dockerfile", "read_base"]

_BASE = re.compile(r"(?P<name>[a-z0-9][\w./:-]*)@(?P<digest>sha256:[0-9a-f]{64})")

USER = 10001
"""The number the container's process runs under; a number, so that Kubernetes can see that it is not root."""


class Base(Record, frozen=True):
    """The image that another one stands on.

    Attributes:
        name: repository and tag, e.g. `docker.io/library/python:3.11-slim`.
        digest: `sha256:…`, of the manifest.
    """

    name: str
    digest: str


def read_base(text: str) -> Base:
    """A base image as `REPOSITORY[:TAG]@sha256:…` names it.

    Raises:
        BadBase: there is no digest, or it is no such name.
    """
    found = _BASE.fullmatch(text)
    if found is None:
        name = text.partition("@")[0] or "REPOSITORY:TAG"
        raise BadBase(
            f"{text!r} does not say which image it is: a digest @sha256:… is missing.",
            why="A tag may lead to another image tomorrow; a digest never does.",
            fix=f"Find it: skopeo inspect --format '{{{{.Digest}}}}' docker://{name} (or: docker buildx imagetools "
            f"inspect {name}); then --base {name}@sha256:…",
            at="--base",
        )
    return Base(**found.groupdict())


def dockerfile(
    base: Base, *, labels: Mapping[str, str], python: str, package: str, model: str, port: int, needs_project: bool
) -> str:
    """The text of a Dockerfile that installs a lock and serves one package.

    Args:
        base: with Python and pip.
        labels: of the image.
        python: the version the lock is for, e.g. `3.11`.
        package: the digest of the package, which lies in `package/<digest>`.
        model: `NAME@VERSION`.
        port: it listens on.
        needs_project: whether columns are joined online from a project's folder, mounted at `/project`.
    Source: the Dockerfile reference; the pre-defined annotation keys of the OCI image specification 1.1.
    """
    said = " \\\n      ".join(f"{_quoted(name)}={_quoted(value)}" for name, value in sorted(labels.items()))
    check = (
        f"import sys; '%d.%d' % sys.version_info[:2] == '{python}' or sys.exit('the base must have Python {python}')"
    )
    alive = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{port}/v2/health/ready', timeout=4)"
    entry = [
        *("python3", "-m", "bucle.line.serving", "--package", f"/srv/bucle/package/{package}", "--model", model),
        *("--state", "/var/lib/bucle", "--host", "0.0.0.0", "--port", str(port)),  # noqa: S104  inside the container
        *(("--enrich", "bucle.line.features:enricher", "/project") if needs_project else ()),
    ]
    return f"""FROM {base.name}@{base.digest}
LABEL {said}
WORKDIR /srv/bucle
COPY wheels/ ./wheels/
COPY requirements.lock ./
RUN python3 -c "{check}" \\
 && python3 -m pip install --no-cache-dir --no-deps --require-hashes --target /opt/bucle -r requirements.lock \\
 && install -d -o {USER} -g {USER} /var/lib/bucle
ENV PYTHONPATH=/opt/bucle PYTHONUNBUFFERED=1
COPY package/ ./package/
USER {USER}:{USER}
EXPOSE {port}
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD {json.dumps(["python3", "-c", alive])}
ENTRYPOINT {json.dumps(entry)}
"""


def _quoted(text: str) -> str:
    escaped = re.sub(r'(["\\$])', r"\\\1", text.replace("\n", " "))
    return f'"{escaped}"'
