"""`bucle data view`: queries that have names."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

__all__ = ["VIEW"]


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "show", "set", "rename", "drop"))
    parser.add_argument("name", nargs="?", default="", help="the view; tables and views share their names")
    parser.add_argument("to", nargs="?", default="", metavar="SQL|NAME", help="set: its query; rename: its new name")
    parser.add_argument("--at", default="main", help="where: a branch; for list and show a commit or an instant too")
    parser.add_argument("--message", default="", metavar="TEXT", help="why")


def _view(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.cli.errors import BadUsage
    from bucle.line import data, query

    action, name, at = options.action, options.name, options.at
    if action != "list" and not name:
        raise BadUsage(f"Which view is to {action}?", fix=f"bucle data view {action} NAME")
    if action in ("set", "rename") and not options.to:
        what = "its query" if action == "set" else "its new name"
        raise BadUsage(f"To {action} a view takes {what}.", fix=f"bucle data view {action} {name} …")
    with terminal.project() as project:
        if action == "list":
            terminal.show([{"view": one} for one in data.views(project, at=at)], ("view",))
        elif action == "show":
            terminal.show(_told(data.view(project, name, at=at)))
        elif action == "set":
            terminal.show(_told(query.define_view(project, name, options.to, branch=at, message=options.message)))
            terminal.next(f'bucle data query "FROM {name}"')
        elif action == "rename":
            told = options.message or f"view {name} renamed to {options.to}"
            made = data.rename_view(project, name, options.to, branch=at, message=told)
            terminal.show({"commit": made.id, "view": options.to})
        else:
            made = data.drop_view(project, name, branch=at, message=options.message or f"view {name} dropped")
            terminal.show({"commit": made.id, "dropped": name})


def _told(view: object) -> dict[str, object]:
    from bucle.line import data

    assert isinstance(view, data.View)
    version = view.version
    return {
        "view": view.name,
        "version": version["version-id"],
        "namespace": ".".join(view.namespace),
        **{one["dialect"]: one["sql"] for one in version["representations"]},
        "columns": ", ".join(f"{one['name']} {one['type']}" for one in view.columns),
    }


VIEW = Verb("view", "queries that have names, for here and for Iceberg's clients", _view, _arguments,
            "bucle data view set tall 'SELECT * FROM samples WHERE height > 180'")  # fmt: skip
"""Views from the command line."""
