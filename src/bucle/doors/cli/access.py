"""`bucle access`: who may read what, and who sees what is personal."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bucle.doors.cli.arguments import add_reason
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

__all__ = ["VERBS"]


def _list(options: Namespace, terminal: Terminal) -> None:
    from bucle.ground import governance

    with terminal.project() as project:
        terminal.show(governance.grants(project), ("principal", "effect", "action", "subject", "by", "reason"))


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("principal", help="who; '*' is everybody, 'anonymous' who comes without a token")
    parser.add_argument(
        "action",
        choices=("read", "unmask", "push", "write"),
        help="read rows; see personal values as they are; push rows to a table's stream; change tables over a protocol",
    )
    parser.add_argument(
        "subject", help="e.g. table/sales.orders, 'table/raw.*', zone/raw, 'file/images/*', connection/shop"
    )
    add_reason(parser)


def _allow(options: Namespace, terminal: Terminal) -> None:
    _grant(options, terminal, "allow")


def _deny(options: Namespace, terminal: Terminal) -> None:
    _grant(options, terminal, "deny")


def _grant(options: Namespace, terminal: Terminal, effect: str) -> None:
    from bucle.ground import governance

    with terminal.project() as project:
        made = governance.grant(
            project,
            options.principal,
            options.action,
            options.subject,
            effect="allow" if effect == "allow" else "deny",
            reason=options.reason,
        )
    terminal.show(made)
    terminal.next("bucle access list")


def _revoke(options: Namespace, terminal: Terminal) -> None:
    from bucle.ground import governance

    with terminal.project() as project:
        governance.revoke(project, options.principal, options.action, options.subject, reason=options.reason)
    terminal.show({"revoked": f"{options.principal} {options.action} {options.subject}"})


def _token_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("principal", help="whom it stands for")
    parser.add_argument("--revoke", action="store_true", help="take back all of the principal's tokens instead")


def _token(options: Namespace, terminal: Terminal) -> None:
    from bucle.ground import governance

    with terminal.project() as project:
        if options.revoke:
            terminal.show({"revoked": governance.revoke_tokens(project, options.principal)})
            return
        token = governance.make_token(project, options.principal)
    terminal.show({"principal": options.principal, "token": token})
    terminal.say("It is shown this once. Send it as: Authorization: Bearer TOKEN")


def _s3_key_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("principal", help="whom it stands for; with --revoke, this may be the id of one key")
    parser.add_argument("--revoke", action="store_true", help="take back all of the principal's keys instead, or one")


def _s3_key(options: Namespace, terminal: Terminal) -> None:
    from bucle.ground import governance

    with terminal.project() as project:
        if options.revoke:
            gone = governance.revoke_access_keys(project, options.principal)
            terminal.show({"revoked": [one.id for one in gone]})
            return
        made, secret = governance.make_access_key(project, options.principal)
        bucket = project.name
    terminal.show(
        {"principal": made.principal, "bucket": bucket, "access_key_id": made.id, "secret_access_key": secret}
    )
    terminal.say("The secret is shown this once; any region will do.")


def _s3_keys(options: Namespace, terminal: Terminal) -> None:
    from bucle.ground import governance

    with terminal.project() as project:
        terminal.show(governance.access_keys(project), ("id", "principal", "at", "by"))


VERBS: tuple[Verb, ...] = (
    Verb("list", "what was allowed and denied", _list, example="bucle access list"),
    Verb("allow", "let a principal read, or see what is personal", _allow, _arguments,
         "bucle access allow ana unmask table/samples"),
    Verb("deny", "keep a principal from it", _deny, _arguments, "bucle access deny anonymous read table/samples"),
    Verb("revoke", "take back what was allowed or denied", _revoke, _arguments,
         "bucle access revoke ana unmask table/samples"),
    Verb("token", "make a token for a program, or take them back", _token, _token_arguments, "bucle access token ana"),
    Verb("s3-key", "make a key for S3's clients, or take keys back", _s3_key, _s3_key_arguments,
         "bucle access s3-key ana"),
    Verb("s3-keys", "the keys of S3's clients", _s3_keys, example="bucle access s3-keys"),
)  # fmt: skip
