"""The rooms of the library, and who may import whom: the one table.

``tests/test_rooms.py`` holds it, and ``docs/house.py`` draws the house from it. It imports nothing of the library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "aiomultipart"

EVERYWHERE = ("*",)


@dataclass(frozen=True, kw_only=True)
class Room:
    """One package, or a few modules that count as one."""

    does: str
    modules: tuple[str, ...] = ()
    """The modules at the top of the library that are this room; none: a package of the room's name."""
    imports: tuple[str, ...] = ()
    """The rooms that it may import, all of them: nothing follows from what those may import."""
    also: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What single modules may import beyond that."""
    asyncio: tuple[str, ...] = ()
    """The modules that may import asyncio."""
    face: bool = False
    """Whether it may use the public names, from ``aiomultipart`` itself."""


ROOMS = {
    "ground": Room(
        does="errors; names of header fields; bounds; what each policy makes of each doubtful construct",
        modules=("exceptions", "hdrs", "limits", "policy", "extension", "_accelerator"),
    ),
    "grammar": Room(does="header fields, read and written", imports=("ground",)),
    "testing": Room(
        does="scripted sources, cut in any way",
        modules=("testing",),
        imports=("ground",),
        asyncio=EVERYWHERE,
    ),
    "work": Room(
        does="work in threads: kept under cancellation, awaited on close",
        modules=("work",),
        imports=("ground",),
        asyncio=EVERYWHERE,
    ),
    "codecs": Room(
        does="content codings and transfer encodings: incremental, bounded, both ways", imports=("ground", "grammar")
    ),
    "parser": Room(does="bytes in, events out", imports=("ground", "grammar")),
    "sources": Room(
        does="where bytes come from: adapters from anything that yields bytes",
        modules=("sources",),
        imports=("ground", "work"),
        asyncio=EVERYWHERE,
    ),
    "targets": Room(does="where received bytes go", imports=("ground", "work"), asyncio=EVERYWHERE),
    "reading": Room(
        does="messages read with asyncio, part by part",
        imports=("ground", "work", "grammar", "codecs", "parser", "sources", "targets"),
        asyncio=EVERYWHERE,
    ),
    "writing": Room(
        does="messages written, with every size known that can be",
        imports=("ground", "work", "grammar", "codecs", "sources"),
        asyncio=("sinks", "payloads.files"),
    ),
    "forms": Room(
        does="whole forms, with asyncio and without",
        imports=("ground", "work", "grammar", "codecs", "parser", "targets"),
        also={"asynchronous": ("sources",)},
        asyncio=("asynchronous",),
    ),
    "families": Room(
        does="image streams, byte ranges: thin, over reading and writing",
        imports=("ground", "work", "grammar", "parser", "sources", "reading", "writing", "forms"),
        asyncio=EVERYWHERE,
    ),
}
_ALL = tuple(name for name in ROOMS if name != "testing")
ROOMS |= {
    "integrations": Room(does="what other libraries need", imports=_ALL, asyncio=EVERYWHERE, face=True),
    "cli": Room(does="the command line", modules=("cli", "__main__"), imports=_ALL, asyncio=EVERYWHERE, face=True),
}
FACE = "__init__"
"""The public face imports what it shows: from every room but these."""
BEHIND_THE_FACE = ("integrations", "cli")
FRAMEWORKS = {"aiohttp", "anyio", "fastapi", "httpx", "litestar", "obstore", "pydantic", "rich", "starlette"}
WITH_FRAMEWORKS = {"integrations", "cli"}

# What breaks the table today, with the issue that ends it: (module, what it imports or reads). An entry that is not
# needed any more fails the test too.
KNOWN = {}


def room_of(module: str) -> str | None:
    """The room of a module, which is named without ``aiomultipart.``; None if it has none."""
    head = module.partition(".")[0]
    for name, room in ROOMS.items():
        if head in (room.modules or (name,)):
            return name
    return None


def module_of(path: Path) -> str:
    """The name of a file's module, without ``aiomultipart.``; a package has the name of its directory."""
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


def modules() -> dict[str, list[str]]:
    """The modules that are in each room, by their names within it; rooms that are empty are left out."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = module_of(path)
        room = room_of(module)
        if room is not None and (path.name != "__init__.py"):
            found.setdefault(room, []).append(module.removeprefix(f"{room}."))
    return found
