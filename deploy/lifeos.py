"""The `lifeos` command. Each verb lives beside what it runs and is imported only on use: `--help` stays quick."""

try:  # Ctrl-C falls into what takes longest
    import signal
    import sys
    from importlib import import_module
    from typing import Any, Final, NoReturn

    import click
except KeyboardInterrupt:
    raise SystemExit(130) from None

INTERRUPTED: Final = 130

VERBS: dict[str, tuple[str, str]] = {
    "up": ("deploy.local.cli:up", "Start the whole stack on this machine."),
    "down": ("deploy.local.cli:down", "Stop the stack that `up --detach` started."),
    "ingress": ("deploy.wire:ingress", "Run the public webhook door."),
    "processors": ("deploy.wire:processors", "Run the consumers and the synchroniser."),
    "relay": ("deploy.wire:relay", "Run the outbox relay."),
    "migrate": ("deploy.wire:migrate", "Bring the database schema and the topics to this version."),
    "connections": ("deploy.operator.connections:connections", "List and show connections; add them (development)."),
    "deliveries": ("deploy.operator.deliveries:deliveries", "List deliveries; follow one to its changes and readers."),
    "watches": ("deploy.operator.watches:watches", "List the subscriptions at providers."),
    "doctor": ("deploy.operator.doctor:doctor", "Say what is wrong, and what to do about it."),
    "tail": ("deploy.operator.tail:tail", "Follow a topic in readable form."),
    "simulate": ("deploy.simulators.cli:simulate", "Run and drive the provider simulators."),
}


class LazyVerbs(click.Group):
    """A group whose commands are imported on use; the help screen needs only the table above.

    Here, for all of them, an interrupted verb ends with 130, and one whose answer cannot be written with 1.
    """

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Run as a process."""
        from deploy import output

        output.guard()
        try:
            status = self.main(standalone_mode=False)
            if sys.stdout is not None:
                sys.stdout.flush()
        except click.ClickException as error:
            error.show()
            status = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            status = INTERRUPTED
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # it has ended already
        sys.exit(status)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, summary) for verb, (_, summary) in VERBS.items()])


@click.command(cls=LazyVerbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lifeos-integrations", prog_name="lifeos")
def main() -> None:
    """LifeOS Integrations: every change of every connected tool, once, in order, replayably."""


if __name__ == "__main__":
    main()
