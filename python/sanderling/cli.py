"""The command `sanderling`.

It knows only click: packages add commands through the entry-point group `sanderling.commands`, each loaded when it is
needed, so that one with a missing extra breaks nobody else.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

import sanderling
from sanderling.errors import SanderlingError

GROUP = "sanderling.commands"
EXIT_CODES = (
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 a check found a problem, 4 not authorised, 5 unreachable, "
    "6 integrity refused, 7 gate refused, 8 timed out."
)


class EntryPointGroup(click.Group):
    """A group whose commands are the entry points of `GROUP`, beside those added by decorator."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, sorted."""
        return sorted({*super().list_commands(ctx), *(point.name for point in entry_points(group=GROUP))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Loads one command; one that cannot be imported becomes a command that says why."""
        known = super().get_command(ctx, cmd_name)
        if known is not None:
            return known
        for point in entry_points(group=GROUP):
            if point.name == cmd_name:
                try:
                    command = point.load()
                except ImportError as error:
                    return _unavailable(point, error)
                assert isinstance(command, click.Command)
                return command
        return None


def _unavailable(point: EntryPoint, error: ImportError) -> click.Command:
    missing = error.name or str(error)

    @click.command(
        point.name,
        help=f"Not available: {missing} is missing.",
        context_settings={"ignore_unknown_options": True},
        add_help_option=False,
    )
    @click.argument("args", nargs=-1, type=click.UNPROCESSED)
    def command(args: tuple[str, ...]) -> None:
        raise click.ClickException(
            f"'{point.name}' needs the package {missing!r}, which is not installed.\n"
            "  hint: pip install 'sanderling[all]'"
        )

    return command


@click.group(
    cls=EntryPointGroup,
    epilog=EXIT_CODES,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "SANDERLING",
        "max_content_width": 100,
    },
)
@click.version_option(sanderling.__version__, prog_name="sanderling")
def cli() -> None:
    """Quantize ONNX models, run them fast on edge devices, and watch what they see.

    \b
    First steps:
      sanderling demo device                          see it work on real digits, in a minute
      sanderling doctor                               what this machine can run, and what is missing
      sanderling model show model.onnx                operators, shapes and costs of a model
      sanderling model quantize model.onnx rows.npy model-int8.onnx
      sanderling bench model-int8.onnx                latency, beside ONNX Runtime where it is installed

    Data goes to stdout, everything else to stderr. Every option can be set by an environment variable, as in
    SANDERLING_BENCH_THREADS=2.
    """


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell.

    \b
    bash:  sanderling completion bash >> ~/.bashrc
    zsh:   sanderling completion zsh >> ~/.zshrc
    fish:  sanderling completion fish > ~/.config/fish/completions/sanderling.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "sanderling", "_SANDERLING_COMPLETE").source())


def explain(error: SanderlingError) -> str:
    """Three lines for a person: what is wrong, the cause, what to do."""
    what, _, hint = str(error).partition(". ")
    what = re.sub(r"^\[[^\]]*\] ", "", what)
    cause = error.__cause__ or (type(error).__doc__ or "").splitlines()[0]
    return (
        f"error: {what.rstrip('.')}\n"
        f"  cause: {type(error).__name__}: {cause}\n"
        f"  hint: {hint or 'see the --help of this command, or run: sanderling doctor'}"
    )


def main(args: list[str] | None = None) -> Any:
    """Runs the command line and exits with one of `EXIT_CODES`."""
    try:
        cli.main(args=args, prog_name="sanderling", standalone_mode=True)
    except SanderlingError as error:
        click.echo(explain(error), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
