"""Command line: `python -m alarm COMMAND`."""

from __future__ import annotations

import argparse
import os
import sys

from alarm.commands import COMMANDS


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status. A problem the user can mend is one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m alarm")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=command.HELP))
    options = parser.parse_args(arguments)
    try:
        COMMANDS[options.command].run(options)
        sys.stdout.flush()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever reads, such as `head`, has had enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
