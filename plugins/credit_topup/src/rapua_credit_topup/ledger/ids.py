"""The primary key of an audit row, which is what guards against crediting twice."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256

_PREFIX_LENGTH = 16
_HASH_LENGTH = 11  # of six bits each
_PLAIN = re.compile("[--~]*")

SHAPE = f"[0-9][0-9][0-9][0-9]-[0-9][0-9]-{'?' * _PREFIX_LENGTH}.{'?' * _HASH_LENGTH}"
"""SQL `GLOB` pattern of our ids. No UUID matches it: the fifth character of one is never a hyphen."""


def entry_id(period: str, user_id: str) -> str:
    """Return the id of the audit row for *period* ("2026-11") and *user_id*: 36 characters.

    Such as `2026-11-0b5c9e71-3f0a-4b.5p4UV7EMEYG`: the period, the start of the user's id, and 66
    bits of a hash of both. The ids of a period sort as the users' ids do (as far as these differ in
    their first 16 characters), so that rows written in that order are added at one end of the index.
    """
    digest = sha256(f"{period}\n{user_id}".encode()).digest()
    tail = urlsafe_b64encode(digest[:9]).decode()[:_HASH_LENGTH]
    return f"{period}-{_sortable(user_id[:_PREFIX_LENGTH])}.{tail}"


def bounds(period: str) -> tuple[str, str]:
    """Return two texts between which, the first included, all ids of *period* sort."""
    return f"{period}-", f"{period}."


def _sortable(prefix: str) -> str:
    # Clamping each character to "-" … "~" keeps the order and leaves nothing that needs quoting.
    if not _PLAIN.fullmatch(prefix):
        prefix = "".join(min(max(character, "-"), "~") for character in prefix)
    return prefix.ljust(_PREFIX_LENGTH, "-")
