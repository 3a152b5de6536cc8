"""Ways in which a person or a JSON writer may spell the URL of an upload; each leads to the file."""

from __future__ import annotations

import html
import json
import random
import unicodedata
from collections.abc import Callable
from urllib.parse import quote

Spelling = Callable[[random.Random, str], str]

SAFE = "/:?#=&"


def percent(rng: random.Random, path: str, *, share: float) -> str:
    """Percent-encode what must be, and some of what need not be, in either case."""
    encoded = []
    for character in path:
        must = not (character.isascii() and (character.isalnum() or character in "/-._~"))
        if must or (character != "/" and rng.random() < share) or (character == "/" and rng.random() < share / 4):
            one = "".join(f"%{byte:02X}" for byte in character.encode())
            encoded.append(one.lower() if rng.random() < 0.5 else one)
        else:
            encoded.append(character)
    return "".join(encoded)


def as_the_application_does(_: random.Random, path: str) -> str:
    return quote(path)


def raw(_: random.Random, path: str) -> str:
    return path


def some_percent(rng: random.Random, path: str) -> str:
    return percent(rng, path, share=rng.choice([0.0, 0.1, 1.0]))


def twice_percent(rng: random.Random, path: str) -> str:
    return quote(percent(rng, path, share=0.1), safe="/")


def plus_for_space(_: random.Random, path: str) -> str:
    return quote(path).replace("%20", "+")


def other_normal_form(rng: random.Random, path: str) -> str:
    return unicodedata.normalize(rng.choice(["NFC", "NFD"]), path)


def dot_segments(rng: random.Random, path: str) -> str:
    parts = path.split("/")
    if len(parts) == 1:
        return path
    where = rng.randrange(1, len(parts))
    return "/".join([*parts[:where], *rng.choice([["."], ["x", ".."], [""], [".", ""]]), *parts[where:]])


def other_case(rng: random.Random, path: str) -> str:
    return "".join(rng.choice([c, *(d for d in (c.lower(), c.upper()) if d.casefold() == c.casefold())]) for c in path)


def backslashes(_: random.Random, path: str) -> str:
    return path.replace("/", "\\")


PATHS: list[Spelling] = [
    as_the_application_does,
    raw,
    some_percent,
    twice_percent,
    plus_for_space,
    other_normal_form,
    dot_segments,
    other_case,
    backslashes,
]


def prefix(rng: random.Random, own_hosts: list[str]) -> str:
    """Return what may stand before the date of an upload on one of *own_hosts*."""
    tree = rng.choice(["static/uploads/", "static/uploads/", "static/uploads/.cache/small/", "Static/Uploads/"])
    host = rng.choice(own_hosts)
    host = rng.choice([host, host.upper(), host.title()])
    return rng.choice(
        [
            f"https://{host}/",
            f"http://{host}/",
            f"HTTPS://{host}/",
            f"//{host}/",
            f"https://{host}:443/",
            f"http://{host}:80/",
            f"https://www.{host}/",
            f"https://someone@{host}/",
            f"https://{host}//",
            "/",
            "",
            "./",
            "../../",
        ]
    ) + rng.choice([tree, tree, ""])


def suffix(rng: random.Random) -> str:
    return rng.choice(["", "", "?size=small", "#top", "?a=1&copy=2#x", "?", "&size=large"])


def url(rng: random.Random, path: str, own_hosts: list[str], layers: list[Spelling]) -> str:
    for layer in layers:
        path = layer(rng, path)
    return prefix(rng, own_hosts) + path + suffix(rng)


def in_text(rng: random.Random, address: str) -> str:
    """Return Markdown or HTML that uses *address*."""
    escaped = html.escape(address) if rng.random() < 0.5 else address
    spaced = " " in address or "(" in address or ")" in address
    forms = [
        f'<p>Look: <img alt="" src="{html.escape(address)}"></p>',
        f"<img src='{html.escape(address)}' width=100>",
        f"[ref]: <{address}>\nand ![a][ref]",
        f"Before.\n\n<{escaped}>\n\nAfter.",
        f"![tree](<{address}> 'a title')",
    ]
    if not spaced and '"' not in address and "'" not in address:
        forms += [
            f'![a tree]({address} "a title")',
            f"[![x]({address})](https://elsewhere.example/page)",
            f"[ref]: {address}\n![a][ref]",
            f"Look at {escaped}, it is nice.",
            f"{address}",
            f"- one\n- {address}\n\thttps://elsewhere.example/x.jpg",
            f"<img src={address}>",
        ]
    return rng.choice(forms)


def in_json(rng: random.Random, value: str) -> str:
    """Return *value* inside a JSON document, inside another perhaps, by one writer or another."""
    key = rng.choice(["content", "link", "text", "a b"])
    document: object = rng.choice([{key: value}, {"blocks": [{"deep": {key: ["x", value, 3]}}]}, [value], value])
    text = write_json(rng, document)
    if rng.random() < 0.3:
        text = write_json(rng, {"inner": text})
        if rng.random() < 0.3:
            text = write_json(rng, {"outer": [text]})
    return text


def write_json(rng: random.Random, document: object) -> str:
    """Write *document* as one of several writers would."""
    escaped = set(rng.choice(["", "<>&", "/", "<>&/'"]))
    share = rng.choice([0.0, 0.0, 0.0, 0.1])
    upper, ascii_only, spaced = (rng.random() < 0.5 for _ in range(3))

    def escape(character: str) -> str:
        if character == "/" and "/" in escaped:
            return "\\/"
        if character in escaped or rng.random() < share:
            units = character.encode("utf-16-be").hex()
            units = units.upper() if upper else units
            return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
        return json.dumps(character, ensure_ascii=ascii_only)[1:-1]

    def write(part: object) -> str:
        if isinstance(part, str):
            return '"' + "".join(map(escape, part)) + '"'
        if isinstance(part, dict):
            colon, comma = (": ", ",\n  ") if spaced else (":", ",")
            return "{" + comma.join(write(key) + colon + write(value) for key, value in part.items()) + "}"
        if isinstance(part, list):
            return "[" + (", " if spaced else ",").join(map(write, part)) + "]"
        return json.dumps(part)

    return write(document)
