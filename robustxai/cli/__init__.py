"""Command line: a model, reasons and an audit of one's own table, and experiments; one file a command."""

from robustxai.cli._program import app, main

__all__ = ["app", "main"]
