"""`bucle data`, the part about files: remotes, push and pull."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb, nothing

if TYPE_CHECKING:
    from bucle.ground.project import Project

__all__ = ["FILE_VERBS"]


def _remote_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "add", "remove", "show"))
    parser.add_argument("name", nargs="?", default="", help="of the remote")
    parser.add_argument("url", nargs="?", default="", help="add: s3://bucket/prefix or a folder")


def _remote(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.cli.errors import BadUsage

    if (options.action in ("add", "remove") and not options.name) or (options.action == "add" and not options.url):
        raise BadUsage(f"Which remote is to {options.action}?", fix="bucle data remote add NAME s3://bucket/prefix")
    with terminal.project() as project:
        _REMOTE[options.action](project, options, terminal)


def _list_remotes(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    terminal.show(data.remotes(project), ("name", "url"))


def _add_remote(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    terminal.show(data.add_remote(project, options.name, options.url))
    terminal.next(f"bucle data push {options.name}")


def _remove_remote(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    data.remove_remote(project, options.name)
    terminal.show({"removed": options.name})


def _show_remote(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    heads = data.remote_heads(project, options.name or "origin")
    rows = [{"branch": one.branch, "commit": one.commit[:12], "at": one.at, "author": one.author,
             "message": one.message} for one in heads]  # fmt: skip
    terminal.show(heads, ("branch", "commit", "at", "author", "message"), told=rows)


_REMOTE = {"list": _list_remotes, "add": _add_remote, "remove": _remove_remote, "show": _show_remote}


def _place_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("remote", nargs="?", default="origin", help="its name or address (default: origin)")
    parser.add_argument("--branch", default="main", help="whose files (default: main)")


def _push_arguments(parser: ArgumentParser) -> None:
    _place_arguments(parser)
    parser.add_argument("--force", action="store_true", help="although the branch there went another way")


def _push(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project, _Progress(terminal, "sent") as told:
        done = data.push(project, options.remote, options.branch, force=options.force, tell=told.tell)
    terminal.show(done)
    terminal.next(f"bucle data pull {options.remote} --branch {options.branch}")


def _pull_arguments(parser: ArgumentParser) -> None:
    _place_arguments(parser)
    parser.add_argument("--into", default="", metavar="BRANCH", help="the branch here (default: of the same name)")


def _pull(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project, _Progress(terminal, "fetched") as told:
        done = data.pull(project, options.remote, options.branch, into=options.into, tell=told.tell)
    terminal.show(done)
    terminal.next(f"bucle data checkout FOLDER --at {done.branch}")


def _import_url_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("url", nargs="?", default="", help="s3://bucket/key, https://…, file:///path or a local path")
    parser.add_argument("path", help="where in the tree")
    parser.add_argument("--update", action="store_true", help="take the version that the file's URL names now")
    parser.add_argument("--branch", default="main", help="where it becomes visible (default: main)")
    parser.add_argument("--message", default="", metavar="TEXT", help="why")


def _import_url(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.cli.errors import BadUsage
    from bucle.line import data

    if bool(options.url) == options.update:
        raise BadUsage("A file has one URL.", fix="bucle data import-url URL PATH, or with --update and PATH alone")
    where = {"branch": options.branch, "message": options.message}
    with terminal.project() as project:
        if options.update:
            made = data.update_url(project, options.path, **where)
        else:
            made = data.import_url(project, options.url, options.path, **where)
    terminal.show(made, told={"commit": made.id[:12], "message": made.message})
    terminal.next("bucle data files")


def _dvc_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("import", "export", "stages", "repro"))
    parser.add_argument("folder", metavar="DIR", help="the DVC project; repro: where it lies in the tree")
    parser.add_argument("--path", default=None, help="where in the tree (default: its name; export: all)")
    parser.add_argument("--branch", default="main", help="import: where they become visible (default: main)")
    parser.add_argument("--at", default="main", help="export, repro: a branch or commit (default: main)")
    parser.add_argument("--remote", default="", help="export: a folder or s3://… for `dvc pull`")
    parser.add_argument("--message", default="", metavar="TEXT", help="import: why")


def _dvc(options: Namespace, terminal: Terminal) -> int:
    from bucle.line import data

    if options.action == "stages":
        stages = data.read_dvc(Path(options.folder)).stages
        terminal.show(stages, ("name", "command", "deps", "outs"))
        return 0
    with terminal.project() as project:
        if options.action == "repro":
            return _repro(project, options, terminal)
        if options.action == "import":
            made = data.import_dvc(
                project, options.folder, options.path, branch=options.branch, message=options.message
            )
            told = {"commit": made.commit[:12], "files": made.files, "outputs": len(made.outputs),
                    "stages": ", ".join(one.name for one in made.stages)}  # fmt: skip
            terminal.show(made, told=told)
            terminal.next("bucle data files")
        else:
            done = data.export_dvc(project, options.folder, options.path or "", at=options.at, remote=options.remote)
            terminal.show(done)
            terminal.next(f"cd {options.folder} && dvc status")
    return 0


def _repro(project: Project, options: Namespace, terminal: Terminal) -> int:
    """Run the stages of an imported project again; exit status 7 when an output is not what DVC wrote down."""
    from bucle.line import data

    done = data.reproduce_dvc(project, options.folder, at=options.at, report=terminal.say)
    rows = [
        {"stage": one.stage, "output": one.path, "outcome": one.outcome, "recorded": one.recorded, "got": one.got}
        for one in done.made
    ]
    terminal.show(done, told=rows)
    terminal.say("Every output is the same." if done.is_identical else "Something came out otherwise.")
    return 0 if done.is_identical else FOUND


class _Progress:
    """A bar on standard error, for people who look at it."""

    def __init__(self, terminal: Terminal, what: str) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        console = terminal.console()
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, done: int, total: int) -> None:
        """How far it is; may be told from any thread."""
        self._bar.update(self._task, completed=done, total=total)


def _storage(options: Namespace, terminal: Terminal) -> None:
    """What versions take beside full copies."""
    from bucle.line import data

    with terminal.project() as project:
        found = data.storage(project)
    rows = [
        {"what": one.name or one.kind, "versions": one.versions, "files": one.files,
         "as_copies_mb": round(one.copies_bytes / 1e6, 2), "kept_mb": round(one.kept_bytes / 1e6, 2),
         "ratio": round(one.ratio, 1)}
        for one in found
    ]  # fmt: skip
    terminal.show(found, ("what", "versions", "files", "as_copies_mb", "kept_mb", "ratio"), told=rows)


FILE_VERBS: tuple[Verb, ...] = (
    Verb("remote", "places that files are pushed to: list, add, remove, show what is there", _remote, _remote_arguments,
         "bucle data remote add origin ../shared"),
    Verb("push", "send the files of a branch to a remote: what it lacks", _push, _push_arguments, "bucle data push"),
    Verb("pull", "fetch the files of a branch from a remote, verified", _pull, _pull_arguments, "bucle data pull"),
    Verb("import-url", "make a file of the tree what a URL names, without copying its bytes", _import_url,
         _import_url_arguments, "bucle data import-url /data/large.bin large.bin"),
    Verb("dvc", "import a DVC project, run its stages again, export the tree as one", _dvc, _dvc_arguments,
         "bucle data dvc import ../old"),
    Verb("storage", "what all versions of tables and files take, and would take as copies", _storage, nothing,
         "bucle data storage"),
)  # fmt: skip
