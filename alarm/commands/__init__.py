"""The commands of `python -m alarm`, one module each.

A command module has `HELP`, one line; `add_arguments(parser)`; and `run(options)`, which raises `ValueError` with a
sentence for any problem the user can mend. Importing one costs nothing: heavy imports wait for `run`.
"""

from __future__ import annotations

from types import ModuleType

from alarm.commands import judge, listing, report, show, tables

COMMANDS: dict[str, ModuleType] = {
    "judge": judge,
    "list": listing,
    "report": report,
    "show": show,
    "tables": tables,
}
