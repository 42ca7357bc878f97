"""`python -m deploy.contracts`: what a developer does with the published contract."""

import sys
from pathlib import Path

import click

from deploy.contracts import files
from deploy.contracts.breaks import breaks


@click.group()
def main() -> None:
    """The published contract of `changes.*`, in schemas/published/."""


@main.command()
def write() -> None:
    """Make the documents anew from the models and the examples."""
    for name in files.write():
        click.echo(f"wrote {name}")


against = click.option(
    "--released",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=files.RELEASED,
    help="Where the released contract is, if not in schemas/published/released.",
)


@main.command()
@against
def check(directory: Path) -> None:
    """Exit with 1 where a document is stale or would break what was released, with one line for each."""
    wrong = [f"{name}: is not what the models say; run write" for name in files.stale()]
    _exit([*wrong, *breaks(files.released(directory), files.made())])


@main.command()
@against
def release(directory: Path) -> None:
    """Make the present contract the one that subscribers may rely on; never where it would break the last one."""
    _exit(breaks(files.released(directory), files.made()))
    for name in files.write(directory):
        click.echo(f"released {name}")


def _exit(wrong: list[str]) -> None:
    if wrong:
        click.echo("\n".join(wrong))
        sys.exit(1)


@main.command()
def record() -> None:
    """Take the examples anew from the topics of the running stack, then write."""
    from deploy.contracts import records
    from deploy.operator.ask import ask
    from schemas.settings import KafkaSettings

    for name in ask(KafkaSettings, lambda settings: records.record(settings, files.EXAMPLES)):
        click.echo(f"recorded {name}")
    files.write()


if __name__ == "__main__":
    main()
