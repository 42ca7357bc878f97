"""The published documents as files: `schemas/published/`, the released ones below it."""

from pathlib import Path
from typing import Final

import orjson

import schemas
from deploy.contracts import asyncapi, published, records
from deploy.contracts.breaks import ASYNCAPI, Contract

PUBLISHED: Final = Path(schemas.__file__).parent / "published"
RELEASED: Final = PUBLISHED / "released"
EXAMPLES: Final = PUBLISHED / "examples"


def made() -> Contract:
    """Every document as the models and the examples say it now."""
    return {ASYNCAPI: asyncapi.document(records.read(EXAMPLES)), **published.standalone()}


def released(directory: Path = RELEASED) -> Contract:
    """Every document as it was last released; nothing before the first release."""
    return {path.name: orjson.loads(path.read_bytes()) for path in sorted(directory.glob("*.json"))}


def stale(directory: Path = PUBLISHED) -> list[str]:
    """The files that are not what `made` says: other content, missing, or of nothing that exists."""
    wanted = {name: _text(document) for name, document in made().items()}
    present = {path.name: path.read_bytes() for path in directory.glob("*.json")}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def write(directory: Path = PUBLISHED) -> list[str]:
    """Brings a directory to what `made` says, and returns the names of the files that were stale."""
    names, documents = stale(directory), made()
    put(directory, documents)
    for name in names:
        if name not in documents:
            (directory / name).unlink()
    return names


def put(directory: Path, documents: Contract) -> None:
    """Writes documents as files of a directory."""
    directory.mkdir(exist_ok=True)
    for name, document in documents.items():
        (directory / name).write_bytes(_text(document))


def _text(document: published.Schema) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
