"""What the database refers to: read in one pass, and asked for the files of one folder."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator

from rapua_orphaned_uploads.hosts import Hosts
from rapua_orphaned_uploads.spelling import fold, name_in_texts, unescape
from rapua_scheduler import SiteError

IN_USE = "(coalesce(team_code, '') <> '' OR EXISTS (SELECT 1 FROM blocks WHERE blocks.id = uploads.block_id))"
"""Whether a row of `uploads` is in use by itself: in a team's gallery, or in a block that lives."""

_SOURCES = (
    "SELECT data FROM blocks WHERE typeof(data) IN ('text', 'blob')",
    "SELECT player_data FROM team_block_states WHERE typeof(player_data) IN ('text', 'blob') AND player_data <> 'null'",
    "SELECT content FROM notifications WHERE typeof(content) IN ('text', 'blob')",
    f"SELECT original_url FROM uploads WHERE typeof(original_url) IN ('text', 'blob') AND {IN_USE}",  # noqa: S608
)
# As much of each URL as holds its host, so that a hundred thousand rows are a few distinct values.
_MINTED = """
    SELECT DISTINCT substr(original_url, 1, 8 + instr(substr(original_url, 9), '/'))
    FROM uploads WHERE typeof(original_url) IN ('text', 'blob')
"""

# Digits are spelled out, and slashes come first, because that is what the search is fast for.
_HEX = "[0-9a-fA-F]"
_UUID = "-".join(_HEX * length for length in (8, 4, 4, 4, 12))
_UUID_LENGTH = 36
_EVERY_UUID = re.compile(_UUID)
_BREAKS = r" *+(?:\\[nrt] *+)++"  # possessive, like what is atomic below: players write these texts too
_SLASH = rf"(?>(?:{_BREAKS})?/(?:\.?/|{_BREAKS}){{0,20}})"
# After the year, a month, a day, and then anything but a whole uuid: a name of another kind, or one cut off.
_DATE_AND_OTHER_NAME = re.compile(
    rf"/(?>([0-9][0-9])|(?=[./\\ ])(?>(?:\.?/|{_BREAKS}){{0,20}})([0-9][0-9]))"
    rf"{_SLASH}([0-9][0-9])(?>{_SLASH}(?:\.?\\(?=[bf]))?|\\(?=[bfnrt]))(?!{_UUID})"
)
# Found wherever that one is, and sooner: a slash that is doubled or dotted, or a month and what follows it.
_PERHAPS_A_DATE = re.compile(
    rf"/(?:(?<=[0-9nrt ]/)[./\\ ]|[0-9][0-9](?:[\\ ]|/(?:[./\\ ]|[0-9][0-9](?:[\\ ]|/(?!{_UUID})))))"
)
_YEAR = re.compile(rf"([0-9]{{4}})(?:{_BREAKS})?$")
_SAME_FOLDER = re.compile(r"/(?:\.?/)+")
_FOLDER_AND_BACK = re.compile(r"/(?!\.\.?/)[^/\x00\\\s\"'<>()]+/\.\./")
_WORD_END = re.compile(r"[\x00\s\"'<>()\[\]{}?#&|`,;!*/\\]")
_CUT = re.compile("(?:%[0-9a-f]?|[.…\ufffd\udc80-\udcff])+$")

_CHUNK = 64 * 1024
_LONGEST_TEXT = 1024 * 1024
_OVERLAP = 8 * 1024
_LONGEST_NAME = 600
_LONGEST_BREAK = 60
_MOST_NAMES = 5000
_MOST_CHARACTERS = 16 * 1024 * 1024
_DEEPEST = 16


class References:
    """Which files the texts that were added refer to.

    A file named by a uuid, as Rapua names all of them, is referred to wherever that uuid stands. Any
    other name must follow its date's folder. A name that is cut off stands for all that begin so.
    """

    def __init__(self, folders: Collection[str], hosts: Hosts) -> None:
        """Begin with nothing.

        Args:
            folders: The date folders that can be asked for, such as "2026/11/23".
            hosts: Whose absolute URLs count.
        """
        self._hosts = hosts
        self._uuids: set[str] = set()
        self._names: dict[str, set[str]] = {folder: set() for folder in folders}
        self._whole: set[str] = set()
        self._room = _MOST_CHARACTERS

    def add(self, text: str) -> None:
        """Take in what *text* refers to; texts that are not one are parted by a NUL."""
        plain = self._hosts.strike_foreign(unescape(text))
        self._uuids.update(map(str.lower, _EVERY_UUID.findall(plain)))
        self._add_names(plain)
        if "/.." in plain or "/.\\" in plain:
            for reading in (plain, plain.replace("\\", "/")):
                self._add_names(_without_dots(reading))

    def _add_names(self, plain: str) -> None:
        if not _PERHAPS_A_DATE.search(plain):
            return
        for date in _DATE_AND_OTHER_NAME.finditer(plain):
            year = _YEAR.search(plain, max(0, date.start() - _LONGEST_BREAK), date.start())
            folder = f"{year[1]}/{date[1] or date[2]}/{date[3]}" if year else ""
            names = self._names.get(folder)
            if names is None or folder in self._whole:
                continue
            text = fold(plain[date.end() : date.end() + _LONGEST_NAME].partition("\x00")[0])
            if text in names:
                continue
            names.add(text)
            self._room -= len(text)
            if len(names) > _MOST_NAMES or self._room < 0:  # somebody plays with dates: keep all of that day
                self._whole.add(folder)
                self._room += sum(map(len, names))
                names.clear()

    def unreferenced(self, folder: str, names: Iterable[str]) -> list[str]:
        """Return those of *names*, all that are in *folder*, that nothing refers to.

        Args:
            folder: One of the folders that this was made with.
            names: Every file name in it; all are needed to tell what a name that was cut off stands for.
        """
        uuids = self._uuids
        left = [name for name in names if name[:_UUID_LENGTH].lower() not in uuids]
        texts = self._names[folder]
        if folder in self._whole:
            return []
        if not texts or not left:
            return left
        looks = {name: name_in_texts(name) for name in names}
        referenced: set[str] = set()
        for text in texts:
            whole = {look for look in looks.values() if look is not None and text.startswith(look)}
            if not whole:
                word = _CUT.sub("", _WORD_END.split(text, maxsplit=1)[0])
                whole = {look for look in looks.values() if look is not None and look.startswith(word)}
            referenced |= whole
        return [name for name in left if looks[name] not in referenced]


def _without_dots(plain: str) -> str:
    plain = _SAME_FOLDER.sub("/", plain)
    for _ in range(_DEEPEST):
        plain = _FOLDER_AND_BACK.sub("/", plain)
    return plain


class ReferenceReader:
    """Reads the references, again only if somebody has changed the database meanwhile."""

    def __init__(
        self,
        db: sqlite3.Connection,
        *,
        folders: Collection[str],
        site_url: str | None,
        aliases: Collection[str],
        checkpoint: Callable[[], None],
    ) -> None:
        """Prepare to read.

        Args:
            db: A connection for reading, used for nothing else and kept open.
            folders: The date folders that will be asked for.
            site_url: The site's present address.
            aliases: Hosts that are the site's own too.
            checkpoint: Called every now and then; may raise to end the reading.
        """
        db.row_factory = None
        db.text_factory = bytes
        self._db = db
        self._folders = folders
        self._site_url = site_url
        self._aliases = aliases
        self._checkpoint = checkpoint
        self._version: int | None = None
        self._references: References | None = None
        self.passes = 0

    def current(self) -> References:
        """Return the references that the database holds now.

        Raises:
            SiteError: The site has no blocks, or its address is needed and not known.
            sqlite3.Error: The database cannot be read.
        """
        version = self._db.execute("PRAGMA data_version").fetchone()[0]
        if self._references is None or version != self._version:
            self._references = None  # two at once would need twice the memory
            self._references = self._read()
            self._version = version
            self.passes += 1
        return self._references

    def _read(self) -> References:
        self._db.execute("BEGIN")  # one snapshot: what moves from one table to another is seen in either
        try:
            if not self._db.execute("SELECT EXISTS (SELECT 1 FROM blocks)").fetchone()[0]:
                raise SiteError("the site has no blocks, so every upload would seem orphaned; none was taken")
            minted = (_decoded(url) for (url,) in self._db.execute(_MINTED))
            hosts = Hosts.of(self._site_url, [*self._aliases, *minted])
            references = References(self._folders, hosts)
            for source in _SOURCES:
                for chunk in _chunks(text for (text,) in self._db.execute(source)):
                    self._checkpoint()
                    references.add(_decoded(chunk))
        finally:
            if self._db.in_transaction:  # some errors end it
                self._db.execute("ROLLBACK")
        if hosts.unjudged is not None:
            raise SiteError(
                f"uploads on {hosts.unjudged} are referred to, and whether that is this site is not known; "
                "set [rapua_scheduler.site] url. No upload was taken"
            )
        return references


def _chunks(texts: Iterable[bytes]) -> Iterator[bytes]:
    chunk: list[bytes] = []
    size = 0
    for text in texts:
        for piece in _pieces(text) if len(text) > _LONGEST_TEXT else (text,):
            chunk.append(piece)
            size += len(piece)
            if size >= _CHUNK:
                yield b"\0".join(chunk)
                chunk.clear()
                size = 0
    yield b"\0".join(chunk)


def _pieces(text: bytes) -> Iterator[bytes]:
    """Yield overlapping pieces of *text*; what stands across an edge is whole in one of them."""
    for start in range(0, len(text), _LONGEST_TEXT - _OVERLAP):
        yield text[start : start + _LONGEST_TEXT]


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
