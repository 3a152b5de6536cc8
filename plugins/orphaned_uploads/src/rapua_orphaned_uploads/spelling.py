r"""The many ways to write one file's path, brought down to one.

A name in a text may be written with percent-encoding, JSON's escapes, HTML's entities, any of
these inside another, and either Unicode normal form. `unescape` takes off every layer until none is
left. It is applied to file names too, because a name that itself looks escaped (`50%25.jpg`) loses in a
text what it loses on its own; two names that become one are both kept if either is referred to.
"""

from __future__ import annotations

import html
import re
import unicodedata

_ROUNDS = 8
_ENTITY = re.compile("&[#a-zA-Z]")
_PERCENT_OF_PERCENT = re.compile("%(?:25)+")
_PERCENT = re.compile("(?:%[0-9a-fA-F]{2})+")
_JSON_CHARACTER = re.compile(r"\\u([0-9a-fA-F]{4})")
_JSON_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\\\"'/]))")
_JSON_OF_GO = (("\\u003c", "<"), ("\\u003e", ">"), ("\\u0026", "&"))
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_ESCAPED_BYTES = re.compile("[\udc80-\udcff]{2,}")
_SEPARATORS = re.compile(r"\\(?![bfnrt])")
_CONTROLS = (("\n", r"\n"), ("\r", r"\r"), ("\t", r"\t"), ("\b", r"\b"), ("\f", r"\f"))
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
# Begins or ends as what a backslash before or behind it would be read together with; or is more than a name.
_UNCERTAIN = re.compile(r"^(?:[/\"']|u[0-9a-fA-F]{4}| *\\)|//|/$|(?:^|/)\.\.?(?:/|$)|\x00")


def unescape(text: str) -> str:
    r"""Return *text* with every layer of escapes taken off and backslashes made slashes.

    A backslash before b, f, n, r or t stays, alone: it may be part of a JSON writer's line break, or
    stand between two folders. Line breaks and tabs that are written as such become `\n`, `\t` and so on.
    """
    for _ in range(_ROUNDS):
        text = before = _without_json(text)  # first, because JSON lies outside of everything else
        if _ENTITY.search(text):
            text = html.unescape(text)
        if "%" in text:
            text = _PERCENT.sub(_bytes_of_percent, _PERCENT_OF_PERCENT.sub("%", text))
            text = _ESCAPED_BYTES.sub(_join_bytes, text)  # of which some may have come out a round earlier
        if text == before:
            break
    for control, escape in _CONTROLS:
        text = text.replace(control, escape)
    return _SEPARATORS.sub("/", text)


def fold(text: str) -> str:
    """Return *text* in one case and one normal form, with `+` as the space it may stand for.

    Decomposed, so that a text cut off between a letter and its accent still begins alike.
    """
    text = text.replace("+", " ")
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


def name_in_texts(name: str) -> str | None:
    """Return how the file name *name* looks in a text that was unescaped and folded.

    None says that no text can be searched for it with certainty: the name is not UTF-8, or it holds
    what in a path means something else.
    """
    if _PLAIN_NAME.fullmatch(name) and name[0] != "u":
        return name.lower()
    try:
        name.encode()
    except UnicodeEncodeError:
        return None
    plain = unescape(name)
    if not plain or _UNCERTAIN.search(plain) or unescape(plain) != plain:
        return None
    forms = {fold(unescape(unicodedata.normalize(form, name))) for form in ("NFC", "NFD")}
    return fold(plain) if forms == {fold(plain)} else None


def _bytes_of_percent(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "surrogateescape")


def _without_json(text: str) -> str:
    for _ in range(_ROUNDS):
        if "\\\\" not in text and "\\u005" not in text:
            return _without_one_layer_of_json(text)
        # Pairs of backslashes must be told from what follows them, from left to right.
        before = text
        text = _SURROGATES.sub(_join_surrogates, _JSON_ESCAPE.sub(_character_of_json, text))
        if text == before:
            break
    return text


def _without_one_layer_of_json(text: str) -> str:
    if "\\" not in text:
        return text
    if "\\u" in text:
        for escape, character in _JSON_OF_GO:
            text = text.replace(escape, character)
        if "\\u" in text:
            text = _SURROGATES.sub(_join_surrogates, _JSON_CHARACTER.sub(_character_of_json, text))
    return text.replace('\\"', '"').replace("\\'", "'").replace("\\/", "/")  # faster than any pattern


def _character_of_json(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else match[2]


def _join_bytes(match: re.Match[str]) -> str:
    return match[0].encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def _join_surrogates(match: re.Match[str]) -> str:
    return match[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")
