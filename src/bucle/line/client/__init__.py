"""The client: a run as training code holds it, and how what it logs comes to a project, here or behind a server."""

from bucle.line.client.active_run import ActiveRun
from bucle.line.client.context import begin
from bucle.line.client.errors import (
    BadEntry,
    BadMedia,
    ForeignProcess,
    NoProject,
    NotDelivered,
    QueueDamaged,
    QueueFull,
    ServerRefused,
)
from bucle.line.client.intake import take_end, take_entry, take_file, take_start
from bucle.line.client.media import Figure, Html, Image, Media, Table
from bucle.line.client.message import End, Entry, Start
from bucle.line.client.queue import queue_root
from bucle.line.client.remote import CLIENT, MESSAGES, Delivery, sync

__all__ = [
    "CLIENT",
    "MESSAGES",
    "ActiveRun",
    "BadEntry",
    "BadMedia",
    "Delivery",
    "End",
    "Entry",
    "Figure",
    "ForeignProcess",
    "Html",
    "Image",
    "Media",
    "NoProject",
    "NotDelivered",
    "QueueDamaged",
    "QueueFull",
    "ServerRefused",
    "Start",
    "Table",
    "begin",
    "queue_root",
    "sync",
    "take_end",
    "take_entry",
    "take_file",
    "take_start",
]
