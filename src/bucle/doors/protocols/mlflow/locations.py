"""Where things lie: what a client may say of it, and what we hand out.

Our own artifacts are at `mlflow-artifacts:/<experiment>/<run>/artifacts`, `…/models/<model>/artifacts` and
`…/traces/<trace>/artifacts`. The id before `artifacts` is the owner; what stands before it is for people. The bytes are
blobs under their digest, so no path of a client ever names a file on our disk. Other addresses are kept as they are,
for the client to go to; this server fetches none of them.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from bucle.doors.protocols.mlflow.errors import MlflowError, invalid
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Experiment, LoggedModel, Run

__all__ = [
    "TREES",
    "Locations",
    "check_experiment_location",
    "check_location",
    "experiment_root",
    "locations_of",
    "model_root",
    "owner_and_path",
    "run_root",
    "safe_path",
    "trace_root",
]

OURS = "mlflow-artifacts"
TREES = "trees"
"""The folder under which the files of registered versions are read, see `trees.py`."""
PROXY = "/mlflow-artifacts/artifacts/"
"""In an address by HTTP, what stands before a path of the artifact proxy."""
REMOTE = frozenset(
    ("s3", "r2", "b2", "gs", "wasb", "wasbs", "abfs", "abfss", "dbfs", "hdfs", "viewfs", "http", "https", "sftp", "ftp")
)
"""Stores of others, kept by reference: the client reads and writes there itself."""
BY_NAME = frozenset(("models", "runs"))
LONGEST = 1000

_ROOT = re.compile(
    r"(?:.*?/)?(?:models/(?P<model>m-[0-9a-f]+)|traces/(?P<trace>tr-[\w-]+)|(?P<run>[0-9a-f]{16,64}))"
    r"/artifacts(?:/(?P<below>.*))?",
    re.ASCII,
)


def safe_path(path: str) -> str:
    """A relative path as a client may give it, in the form in which it is kept.

    Raises:
        MlflowError: it is absolute, climbs out, or hides something behind percent signs.
    """
    for text in _layers(path):
        parts = text.split("/")
        if (
            text.startswith("/")
            or ".." in parts
            or any(mark in text for mark in ("\\", "#", ";", "\0"))
            or (len(text) > 1 and text[1] == ":" and text[0].isalpha())
            or any(ord(one) < 32 for one in text)
        ):
            raise invalid(f"Invalid path: {path[:200]!r}")
    return path.rstrip("/")


def owner_and_path(path: str) -> tuple[str, str]:
    """Whose file a path of the artifact proxy names, and which.

    Returns:
        The owner as a ref, e.g. `run/4f1c…`, and the path below it, possibly empty.
    Raises:
        MlflowError: it is unsafe, or under nothing that we handed out.
    """
    found = _ROOT.fullmatch(safe_path(path))
    if found is None:
        raise MlflowError(
            "RESOURCE_DOES_NOT_EXIST",
            f"No artifacts are kept under {path[:200]!r}. Artifacts belong to a run, a model or a trace.",
        )
    below = safe_path(found["below"] or "")
    if found["model"]:
        return f"logged-model/{found['model']}", below
    if found["trace"]:
        return f"trace/{found['trace']}", below
    return f"run/{found['run']}", below


def check_location(location: str, field: str, *, by_name: bool = False) -> str:
    """An address a client gives, when it is none of this machine.

    Args:
        by_name: whether `models:/…` and `runs:/…` will do.
    Raises:
        MlflowError: it is a path or a file of this machine, climbs out, or has parts that do not belong there.
    """
    try:
        parts = urlsplit(location)
    except ValueError as error:
        raise invalid(f"Invalid {field}: {location[:200]!r} is no address.") from error
    allowed = {OURS, *REMOTE, *(BY_NAME if by_name else ())}
    if len(location) > LONGEST or parts.scheme.lower() not in allowed:
        raise invalid(
            f"Invalid {field}: {location[:200]!r}. It must be at most {LONGEST} characters long and begin with one of "
            f"{', '.join(sorted(f'{one}:' for one in allowed))}. Leave it out to let Bucle keep the files."
        )
    if location != location.strip() or any(ord(one) < 32 for one in location):
        raise invalid(f"Invalid {field}: {location[:200]!r} begins or ends with a space, or holds a line break.")
    if parts.fragment or ";" in location or "#" in location or (parts.query and not by_name):
        raise invalid(f"Invalid {field}: {location[:200]!r} cannot have a query, a fragment or parameters.")
    for text in _layers(parts.path):
        if ".." in text.split("/") or "\\" in text or any(ord(one) < 32 for one in text):
            raise invalid(f"Invalid {field}: {location[:200]!r} must not climb out of where it begins.")
    if parts.scheme.lower() == OURS and parts.netloc:
        raise invalid(f"Invalid {field}: {location[:200]!r} must not name a host.")
    return location


def check_experiment_location(location: str) -> str:
    """An address a client gives as the root of an experiment's artifacts.

    Raises:
        MlflowError: as `check_location`; or it lies within what belongs to a run, a model, a trace or a version, so
            that files of this experiment would be taken for theirs.
    """
    field = "artifact_location"
    parts = urlsplit(check_location(location, field))
    for text in _layers(parts.path):
        if parts.scheme.lower() != OURS:
            text = text.partition(PROXY)[2]  # noqa: PLW2901  what of it a server like this one would look up
        names = [name for name in text.split("/") if name not in ("", ".")]
        if names[:1] == [TREES] or "artifacts" in names:
            raise invalid(
                f"Invalid {field}: {location[:200]!r} is where Bucle keeps what belongs to others. "
                f"Choose a folder that is neither {TREES!r} nor below any 'artifacts', or leave it out."
            )
    return location


class Locations:
    """Where the artifacts of each experiment lie; said once when it is made, so what is known stays true.

    Args:
        project: open.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._known: dict[str, str] = {}

    def of(self, experiment_id: str) -> str:
        """The root of one experiment.

        Raises:
            NoSuchExperiment: there is none.
        """
        known = self._known.get(experiment_id)
        if known is None:
            known = experiment_root(tracking.experiment(self._project, id=experiment_id))
            self._known[experiment_id] = known
        return known

    def close(self) -> None:
        """Forget them."""
        self._known = {}


def locations_of(project: Project) -> Locations:
    """The locations an open project knows."""
    return project.keep(Locations, lambda: Locations(project))


def experiment_root(experiment: Experiment) -> str:
    """Where an experiment's artifacts lie."""
    return experiment.artifact_location or f"{OURS}:/{experiment.id}"


def run_root(project: Project, run: Run) -> str:
    """Where a run's artifacts lie."""
    return f"{locations_of(project).of(run.experiment_id).rstrip('/')}/{run.id}/artifacts"


def model_root(project: Project, model: LoggedModel) -> str:
    """Where a logged model's files lie."""
    return f"{locations_of(project).of(model.experiment_id).rstrip('/')}/models/{model.id}/artifacts"


def trace_root(project: Project, experiment_id: str, trace_id: str) -> str:
    """Where a trace's attachments lie."""
    return f"{locations_of(project).of(experiment_id).rstrip('/')}/traces/{trace_id}/artifacts"


def _layers(text: str) -> list[str]:
    """A text and what it becomes each time it is percent-decoded once more.

    Raises:
        MlflowError: it is encoded more than a few times over, which nobody does in good faith.
    """
    found = [text]
    while (following := unquote(found[-1])) != found[-1]:
        found.append(following)
        if len(found) > 5:
            raise invalid(f"Invalid path: {text[:200]!r}")
    return found
