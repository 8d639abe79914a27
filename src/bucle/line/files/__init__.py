"""Files: contents kept once in packs, trees of paths that name them, and local folders; nothing here knows a commit."""

from bucle.line.files.chunks import LARGE_BYTES, Filler, filling
from bucle.line.files.clash import below_file, folders_above, is_file, is_folder, without_clash
from bucle.line.files.compare import FileDiff, diff, patch
from bucle.line.files.content import content_path, is_kept, keep_files, pieces_of, read_range, unpacked
from bucle.line.files.errors import BadFile, BadPath, BadUrl, NoSuchFolder, PackDamaged, PinMoved
from bucle.line.files.far import FarPacks
from bucle.line.files.folder import (
    PARTIAL,
    Folder,
    Known,
    below,
    is_exact,
    kept_mode,
    look_at,
    place_in_tree,
    points_inside,
    unreadable,
)
from bucle.line.files.pack import ENDING, check_pack, hexes
from bucle.line.files.packs import Packs, packs_of, room_for
from bucle.line.files.page import blobs_between, entries_at, walk
from bucle.line.files.parts import change_kept, find_entries, find_entry, load_below, unshared
from bucle.line.files.path import check_path
from bucle.line.files.pin import Pin, fetched, keep_pin, known_pins, look_at_url, pin_of
from bucle.line.files.seal import Seals, is_encrypted
from bucle.line.files.transfer import Tell, fetch_contents, fetch_trees, send_contents, send_trees
from bucle.line.files.tree import (
    FOLDER,
    LINK,
    PIN,
    FileEntry,
    Tree,
    check_tree,
    keep_tree,
    load_part,
    load_tree,
    parts_of,
)

__all__ = [
    "ENDING",
    "FOLDER",
    "LARGE_BYTES",
    "LINK",
    "PARTIAL",
    "PIN",
    "BadFile",
    "BadPath",
    "BadUrl",
    "FarPacks",
    "FileDiff",
    "FileEntry",
    "Filler",
    "Folder",
    "Known",
    "NoSuchFolder",
    "PackDamaged",
    "Packs",
    "Pin",
    "PinMoved",
    "Seals",
    "Tell",
    "Tree",
    "below",
    "below_file",
    "blobs_between",
    "change_kept",
    "check_pack",
    "check_path",
    "check_tree",
    "content_path",
    "diff",
    "entries_at",
    "fetch_contents",
    "fetch_trees",
    "fetched",
    "filling",
    "find_entries",
    "find_entry",
    "folders_above",
    "hexes",
    "is_encrypted",
    "is_exact",
    "is_file",
    "is_folder",
    "is_kept",
    "keep_files",
    "keep_pin",
    "keep_tree",
    "kept_mode",
    "known_pins",
    "load_below",
    "load_part",
    "load_tree",
    "look_at",
    "look_at_url",
    "packs_of",
    "parts_of",
    "patch",
    "pieces_of",
    "pin_of",
    "place_in_tree",
    "points_inside",
    "read_range",
    "room_for",
    "send_contents",
    "send_trees",
    "unpacked",
    "unreadable",
    "unshared",
    "walk",
    "without_clash",
]
