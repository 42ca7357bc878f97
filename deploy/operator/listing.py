"""A group of verbs whose `list` is meant where none is named."""

import click


class Listing(click.Group):
    """`lifeos deliveries --limit 3` is `lifeos deliveries list --limit 3`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in self.get_help_option_names(ctx)):
            args = ["list", *args]
        return super().parse_args(ctx, args)
