"""``vecdb completion SHELL``: click's own script, to be sourced."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_VECDB_COMPLETE"
SOURCING = {
    "bash": 'eval "$(vecdb completion bash)"    # in ~/.bashrc',
    "zsh": 'eval "$(vecdb completion zsh)"    # in ~/.zshrc',
    "fish": "vecdb completion fish | source    # in ~/.config/fish/config.fish",
}


@click.command(
    epilog="\b\nTo have it in every shell:\n" + "\n".join(f"  {s}" for s in SOURCING.values())
)
@click.argument("shell", type=click.Choice(list(SOURCING)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script for a shell that completes commands."""
    made = get_completion_class(shell)
    assert made is not None, f"click knows no shell {shell}"
    click.echo(made(ctx.find_root().command, {}, "vecdb", VARIABLE).source())
