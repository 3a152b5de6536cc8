"""A generated site that knows of every file, by the way it was made, whether it is in use.

Nothing here asks the plugin anything: a file is made, and then referred to in a way that makes it one in
use, or left alone or mentioned in a way that does not.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from attrs import define, field

from tests.plugins.orphaned_uploads import spellings
from tests.plugins.orphaned_uploads.sites import MadeSite, go_json, make_site

OWN, FORMER, ALIAS = "rapua.example", "old.rapua.example", "alias.example"
FOREIGN = ["elsewhere.example", "rapua.example.evil.example", "notrapua.example", "rapua.example.org"]
SETTINGS = {"aliases": (ALIAS,), "allow_more_than_half": True}

ODD = [
    "my photo ({n}).jpg",
    "{n} 50% off.png",
    "{n}%20literal%2Fslash.jpg",
    "māori whare {n}.jpg",
    "e\u0301te\u0301 {n}.JPG",
    "日本 {n}.webp",
    "party 🎉 {n}.gif",
    "{n}+plus+signs.jpg",
    'it\'s {n} "quoted".jpg',
    "{n}&amp;copy;.jpg",
    "{n}, a; b=c!.jpg",
    "{n}#what?.jpg",
    "{n}",
    "IMG_{n}.jpeg",
    "{n}.tar.gz",
]


@define
class Generated:
    """A site, and the truth about its files."""

    made: MadeSite
    rng: random.Random
    in_use: dict[str, str] = field(factory=dict)
    orphans: dict[str, str] = field(factory=dict)
    rows_in_use: set[str] = field(factory=set)
    rows_of_orphans: dict[str, str] = field(factory=dict)
    serial: int = 0

    def new_file(self, *, age: timedelta | None = None) -> str:
        self.serial += 1
        day = date(2026, 11, 20) - timedelta(days=self.rng.randrange(0, 12))
        if self.rng.random() < 0.6:
            name = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
            name += self.rng.choice([".jpg", ".JPG", ".png", ".webp", "", ".tar.gz"])
        else:
            name = self.rng.choice(ODD).format(n=f"q{self.rng.getrandbits(40):010x}")
        path = f"{day:%Y/%m/%d}/{name}"
        self.made.add_file(path, age=age or timedelta(hours=self.rng.choice([25, 48, 24 * 300])))
        for size in ("small", "medium", "large"):
            if self.rng.random() < 0.1:
                self.made.add_file(f".cache/{size}/{path}", age=timedelta(minutes=self.rng.randrange(3000)))
        return path

    def spelled(self, path: str) -> str:
        layers = self.rng.choices(spellings.PATHS, k=self.rng.choice([1, 1, 1, 2, 3]))
        return spellings.url(self.rng, path, [OWN, OWN, FORMER, ALIAS], layers)

    def stored(self, path: str, host: str = OWN) -> str:
        return f"https://{host}/static/uploads/" + spellings.as_the_application_does(self.rng, path)

    def row(self, path: str, *, in_use: bool, **columns: object) -> None:
        host = FORMER if self.rng.random() < 0.2 else OWN
        identity = self.made.add_upload(self.stored(path, host), **columns)
        if in_use:
            self.rows_in_use.add(identity)
        else:
            self.rows_of_orphans[identity] = path

    # -- in use -------------------------------------------------------------------------------------

    def as_whole_string(self, path: str) -> None:
        key, type_ = self.rng.choice([("content", "image"), ("link", "image"), ("link", "button")])
        self.made.add_block({key: self.stored(path), "caption": ""}, type_)

    def in_markdown(self, path: str) -> None:
        data = {"content": "# Title\n\n" + spellings.in_text(self.rng, self.spelled(path))}
        self.made.add_block(spellings.write_json(self.rng, data))

    def at_any_depth(self, path: str) -> None:
        value = self.rng.choice([self.spelled(path), spellings.in_text(self.rng, self.spelled(path))])
        self.made.add_block(spellings.in_json(self.rng, value), self.rng.choice(["quiz", "rating", "unheard_of"]))

    def in_no_json(self, path: str) -> None:
        text = spellings.in_text(self.rng, self.spelled(path))
        self.made.add_block(self.rng.choice([text, text.encode(), "{" + text, b"\xff\xfe " + text.encode()]))

    def as_player_photo(self, path: str) -> None:
        photos = ["https://elsewhere.example/x.jpg", self.stored(path, self.rng.choice([OWN, FORMER]))]
        self.made.insert(
            "team_block_states",
            team_code=f"T{self.serial}",
            block_id=f"gone-{self.serial}",
            player_data=self.rng.choice(
                [go_json({"images": photos}), spellings.write_json(self.rng, {"images": photos})]
            ),
        )
        if self.rng.random() < 0.5:
            self.row(path, in_use=True)

    def in_a_notice(self, path: str) -> None:
        text = "Hurry! " + self.rng.choice([self.spelled(path), spellings.in_text(self.rng, self.spelled(path))])
        self.made.insert("notifications", content=text)

    def in_a_gallery(self, path: str) -> None:
        self.row(path, in_use=True, team_code=f"TEAM{self.serial}", block_id=self.rng.choice([None, "gone"]))

    def by_a_live_block(self, path: str) -> None:
        self.row(path, in_use=True, block_id=self.made.add_block({"prompt": "Take a photo"}, "photo"))

    def in_a_duplicate(self, path: str) -> None:
        self.row(path, in_use=True, block_id="the-deleted-original")
        self.made.add_block({"content": self.stored(path)}, "image")

    def just_uploaded(self, path: str) -> None:
        age = self.rng.choice([timedelta(0), timedelta(hours=23, minutes=59), timedelta(days=-30)])
        self.made.add_file(path, age=age)
        if self.rng.random() < 0.5:
            self.row(path, in_use=True)

    def by_a_copy(self, path: str) -> None:
        size = self.rng.choice(["small", "medium", "large"])
        self.made.add_block({"content": f"https://{OWN}/static/uploads/.cache/{size}/{path.replace(' ', '%20')}"})

    def in_another_query(self, path: str) -> None:
        self.made.add_block({"link": f"https://elsewhere.example/resize?w=9&u={self.stored(path)}"})

    # -- not in use ---------------------------------------------------------------------------------

    def not_at_all(self, path: str) -> None:
        pass

    def by_its_row_alone(self, path: str) -> None:
        for _ in range(self.rng.choice([1, 1, 2])):
            self.row(path, in_use=False, location_id=self.rng.choice([None, "L1"]), instance_id="I1")

    def by_a_dead_block(self, path: str) -> None:
        self.row(path, in_use=False, block_id=f"dead-{self.serial}")

    def on_another_host(self, path: str) -> None:
        host = self.rng.choice(FOREIGN)
        host = self.rng.choice([host, host.upper(), host + ":443", host + ":8080"])
        scheme = self.rng.choice(["https:", "http:", "HTTPS:", ""])
        encoded = spellings.as_the_application_does(self.rng, path)
        address = f"{scheme}//{host}/static/uploads/{encoded}" + spellings.suffix(self.rng)
        text = self.rng.choice(
            [
                address,
                f'![a]({address} "t")',
                f"One\n\n{address}\n\nTwo",
                f'<img src="{address}">',
                f"<{address}>",
                f"https://{OWN}/about and {address}",
            ]
        )
        if self.rng.random() < 0.5:
            self.made.add_block(go_json({"content": text}))
        else:
            self.made.add_block(spellings.in_json(self.rng, text))

    def where_nobody_looks(self, path: str) -> None:
        self.made.insert("instances", game_structure=go_json({"image": self.stored(path)}))
        self.made.insert(
            "credit_purchases",
            user_id="u",
            credits=1,
            amount_paid=1,
            stripe_session_id=f"s{self.serial}",
            receipt_url=self.stored(path),
        )


USES: list[Callable[[Generated, str], None]] = [
    Generated.as_whole_string,
    Generated.in_markdown,
    Generated.at_any_depth,
    Generated.in_no_json,
    Generated.as_player_photo,
    Generated.in_a_notice,
    Generated.in_a_gallery,
    Generated.by_a_live_block,
    Generated.in_a_duplicate,
    Generated.just_uploaded,
    Generated.by_a_copy,
    Generated.in_another_query,
]
NO_USES: list[Callable[[Generated, str], None]] = [
    Generated.not_at_all,
    Generated.by_its_row_alone,
    Generated.by_a_dead_block,
    Generated.on_another_host,
    Generated.where_nobody_looks,
]


def generate(folder: Path, seed: int, files: int) -> Generated:
    """Make a site of about *files* files in *folder*; every use comes up in turn."""
    rng = random.Random(seed)
    made = make_site(folder, url=f"https://{OWN}")
    generated = Generated(made, rng)
    made.add_upload(f"https://{FORMER}/static/uploads/2001/01/01/long-gone.jpg")
    for number in range(files):
        path = generated.new_file()
        if rng.random() < 0.5:
            use = USES[(number // 2) % len(USES)]
            use(generated, path)
            generated.in_use[path] = use.__name__
        else:
            no_use = NO_USES[(number // 2) % len(NO_USES)]
            no_use(generated, path)
            generated.orphans[path] = no_use.__name__
    return generated
