"""The program: its commands, and errors that become one sentence and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer
from rich.markup import escape

from robustxai.cli._benchmark import benchmark
from robustxai.cli._bracket import bracket
from robustxai.cli._demo import demo
from robustxai.cli._paper import paper
from robustxai.cli._streams import messages, speak_utf8
from robustxai.exceptions import DivergedError, FailedCellsError

__all__ = ["app", "main"]

#: Commands under their headings in the help, in the order in which a newcomer needs them.
_COMMANDS: dict[str, tuple[Callable[..., Any], ...]] = {
    "Experiments on tables, images and graphs": (demo, benchmark, bracket, paper),
}

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train classifiers with stable explanations, attack them and report their scores.",
)
for _heading, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(rich_help_panel=_heading)(_command)


def main() -> None:
    """Run the command line; print errors that a user can fix as one sentence, without a traceback."""
    speak_utf8()
    try:
        app()
    except FailedCellsError as error:
        for sentence in (*error.sentences, error.summary):
            messages.print(f"[red]error:[/red] {escape(sentence)}", soft_wrap=True)
        sys.exit(1)
    except (ValueError, TypeError, OSError, ImportError, DivergedError) as error:
        messages.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(2)
