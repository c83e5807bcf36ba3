"""The program: its commands, and errors that become one sentence and an exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Any

import typer
from rich.markup import escape

from robustxai.cli._audit import audit
from robustxai.cli._benchmark import benchmark
from robustxai.cli._bracket import bracket
from robustxai.cli._certify import certify
from robustxai.cli._demo import demo
from robustxai.cli._explain import explain
from robustxai.cli._fit import fit
from robustxai.cli._paper import paper
from robustxai.cli._reasons import reasons
from robustxai.cli._streams import messages, speak_utf8
from robustxai.exceptions import DivergedError, FailedCellsError

__all__ = ["app", "main"]

#: Commands under their headings in the help, in the order in which a newcomer needs them.
_COMMANDS: dict[str, tuple[Callable[..., Any], ...]] = {
    "Your own table": (fit, reasons, audit, explain, certify),
    "Experiments on tables, images and graphs": (demo, benchmark, bracket, paper),
}

#: Errors of the machine, not of the command.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train classifiers whose reasons hold, attack explanations, report how stable they are. Start with a table of "
    "your own: 'robustxai fit data.csv --target LABEL --out model', then 'robustxai reasons data.csv --model model' "
    "and 'robustxai audit data.csv --model model'.",
)
for _heading, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(rich_help_panel=_heading)(_command)


def main() -> None:
    """Run the command line.

    Errors are one sentence, without a traceback. The exit code is 0 where all went well, 1 where work failed (cells of
    an experiment, a training that diverged, a full disk) and 2 where the command or a file must be mended.
    """
    speak_utf8()
    try:
        app()
    except FailedCellsError as error:
        for sentence in (*error.sentences, error.summary):
            messages.print(f"[red]error:[/red] {escape(sentence)}", soft_wrap=True)
        sys.exit(1)
    except (DivergedError, MemoryError) as error:
        _tell(error)
        sys.exit(1)
    except (ValueError, TypeError, OSError, ImportError, NotImplementedError) as error:
        _tell(error)
        sys.exit(1 if isinstance(error, OSError) and error.errno in _FULL else 2)


def _tell(error: BaseException) -> None:
    messages.print(f"[red]error:[/red] {escape(str(error) or type(error).__name__)}", soft_wrap=True)
