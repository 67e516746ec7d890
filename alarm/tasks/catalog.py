"""All tasks by name."""

from __future__ import annotations

from alarm.tasks.base import Task
from alarm.tasks.long_form_qa import LongFormQA
from alarm.tasks.wmt import WMT

TASKS: dict[str, type[Task]] = {task.name: task for task in (LongFormQA, WMT)}
