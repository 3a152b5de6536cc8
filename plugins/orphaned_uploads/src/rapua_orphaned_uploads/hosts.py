"""Which absolute URLs are certainly another site's."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from attrs import define, field

_HOST = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//(?:[^/@?#]*@)?(\[[^\]/]*\]|[^/:?#\s]+)", re.IGNORECASE)
_ADDRESS = re.compile(r"[0-9.]+")

_ANY_HOST = re.compile(r"//([^/:?#\x00\\\s\"'<>]+)")
# Only as far as it runs without a doubt: no user, no second "//", no comma, no query. Whatever follows may
# name a file of this site.
_ABSOLUTE = re.compile(r"//([a-zA-Z0-9.-]+)(?::[0-9]*)?((?:/(?!/)[\w.~%-]*)+)")
_MANY = 8
_SCHEME = re.compile("https?:$", re.IGNORECASE)
_NO_PART_OF_A_URL = re.compile(r"(?:^|[\x00\s\"'<>(\[]|\\[bfnrt])$")
_DATE = re.compile("/[0-9]{4}/[0-9]{2}/[0-9]{2}/")


def host_of(url: str) -> str | None:
    """Return the host that *url* names, in lower case and without port or "www."; None if it is relative."""
    match = _HOST.match(url)
    if match is None:
        return None
    return match[1].lower().rstrip(".").removeprefix("www.") or None


@define
class Hosts:
    """The hosts that a site is known under, and what that says about URLs.

    Attributes:
        own: The site's own, as `host_of` gives them.
        is_complete: Whether the site's present address is among them.
        unjudged: A host that would have to be known to tell whether an upload's URL is the site's own;
            set by `strike_foreign`, if `is_complete` is not.
    """

    own: frozenset[str]
    is_complete: bool
    unjudged: str | None = field(default=None, init=False)

    @classmethod
    def of(cls, site_url: str | None, urls: Iterable[str]) -> Hosts:
        """Return the hosts of *site_url*, the site's present address, and of *urls* that are its own too."""
        present = host_of(site_url) if site_url else None
        own = {host for url in urls if (host := host_of(url))}
        return cls(frozenset(own | {present} if present else own), is_complete=present is not None)

    def strike_foreign(self, text: str) -> str:
        """Return unescaped *text* without the URLs that are certainly another site's."""
        foreign = {host for host in set(_ANY_HOST.findall(text)) if self._is_foreign(host)}
        if not foreign:
            return text
        left: list[str] = []
        end = 0
        for slashes in _positions(text, foreign):
            url = _ABSOLUTE.match(text, slashes)
            if url and self._names_own(url[2]):  # a proxy of images may be asked for one of the site's
                continue
            if url and slashes >= end and url[1] in foreign and (start := _start(text, slashes)) is not None:
                left.append(text[end:start])
                end = url.end()
                if not self.is_complete and "/uploads/" in url[2].lower() and _DATE.search(url[2]):
                    self.unjudged = url[1]
        return "\0".join([*left, text[end:]])

    def _names_own(self, path: str) -> bool:
        lowered = path.lower()
        return any(host in lowered for host in self.own)

    def _is_foreign(self, written: str) -> bool:
        host = written.lower().rstrip(".").removeprefix("www.")
        if host in self.own:
            return False
        # A bare name or an address may be the same machine, and an encoded name the same host.
        return "." in host and "xn--" not in host and not _ADDRESS.fullmatch(host)


def _positions(text: str, hosts: Collection[str]) -> list[int]:
    """Return where a "//" stands that one of *hosts* may follow, in order."""
    if len(hosts) > _MANY:
        return [match.start() for match in _ANY_HOST.finditer(text)]
    positions: set[int] = set()
    for host in hosts:
        position = text.find(f"//{host}")
        while position >= 0:
            positions.add(position)
            position = text.find(f"//{host}", position + 2)
    return sorted(positions)


def _start(text: str, slashes: int) -> int | None:
    """Return where the URL begins whose "//" is at *slashes*; None if that cannot be told."""
    window = max(0, slashes - 8)
    scheme = _SCHEME.search(text, window, slashes)
    start = scheme.start() if scheme else slashes
    before = text[max(0, start - 2) : start]
    return start if _NO_PART_OF_A_URL.search(before) else None
