"""Files: contents kept once in packs, trees of paths that name them, and local folders; nothing here knows a commit."""

from bucle.line.files.chunks import LARGE_BYTES, Filler, filling
from bucle.line.files.compare import FileDiff, diff, patch
from bucle.line.files.content import content_path, is_kept, keep_files, pieces_of, unpacked
from bucle.line.files.errors import BadFile, BadPath, NoSuchFolder, PackDamaged
from bucle.line.files.far import FarPacks
from bucle.line.files.folder import PARTIAL, Folder, Known, below, look_at, place_in_tree, unreadable
from bucle.line.files.pack import ENDING, check_pack, hexes
from bucle.line.files.packs import Packs, packs_of, room_for
from bucle.line.files.path import check_path
from bucle.line.files.transfer import Tell, fetch_contents, fetch_trees, send_contents, send_trees
from bucle.line.files.tree import FileEntry, Tree, change_tree, keep_tree, load_part, load_tree, parts_of

__all__ = [
    "ENDING",
    "LARGE_BYTES",
    "PARTIAL",
    "BadFile",
    "BadPath",
    "FarPacks",
    "FileDiff",
    "FileEntry",
    "Filler",
    "Folder",
    "Known",
    "NoSuchFolder",
    "PackDamaged",
    "Packs",
    "Tell",
    "Tree",
    "below",
    "change_tree",
    "check_pack",
    "check_path",
    "content_path",
    "diff",
    "fetch_contents",
    "fetch_trees",
    "filling",
    "hexes",
    "is_kept",
    "keep_files",
    "keep_tree",
    "load_part",
    "load_tree",
    "look_at",
    "packs_of",
    "parts_of",
    "patch",
    "pieces_of",
    "place_in_tree",
    "room_for",
    "send_contents",
    "send_trees",
    "unpacked",
    "unreadable",
]
