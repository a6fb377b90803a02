"""Where commands print tables."""

from rich.console import Console

UNBOUNDED = 1000  # characters; a table takes no more than it needs


def unfolded(console: Console) -> Console:
    """`console`, or where it is no terminal one on which no table is cut: a file has no width."""
    return console if console.is_terminal else Console(file=console.file, width=UNBOUNDED)
