"""Writes what a play does as lines of JSON, for the program that started it: see harness/fleet."""

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: events
    type: notification
    short_description: what a play does, as lines of JSON
    description:
      - Appends an object a line to the file that METRONOME_EVENTS names, and does nothing without it.
      - Each has an event, which is task, changed, failed, unreachable, report or end.
      - A report is the output of a task that has the tag report.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "events"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        path = os.environ.get("METRONOME_EVENTS")
        if not path:
            self.disabled = True
            return
        self.file = open(path, "a", buffering=1, encoding="utf-8")

    def _write(self, event, **fields):
        self.file.write(json.dumps({"event": event, **fields}) + "\n")

    def _result(self, event, result, message):
        self._write(event, host=result._host.get_name(), task=result._task.get_name(), message=message)

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._write("task", task=task.get_name())

    def v2_playbook_on_handler_task_start(self, task):
        self._write("task", task=task.get_name())

    def v2_runner_on_ok(self, result):
        if result._result.get("changed", False):
            self._result("changed", result, "")
        if "report" in result._task.tags:
            self._result("report", result, result._result.get("stdout", ""))

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not ignore_errors:
            self._result("failed", result, _why(result._result))

    def v2_runner_on_unreachable(self, result):
        self._result("unreachable", result, _why(result._result))

    def v2_playbook_on_stats(self, stats):
        for host in sorted(stats.processed):
            self._write("end", host=host, **{k: v for k, v in stats.summarize(host).items() if k != "skipped"})


def _why(result):
    """The most telling text of a result: what a tool said before what Ansible made of it."""
    failed_items = [r for r in result.get("results", []) if r.get("failed")]
    if failed_items:
        return "; ".join(_why(r) for r in failed_items)
    said = [result.get(k) for k in ("msg", "module_stderr", "stderr", "module_stdout", "stdout", "content")]
    texts = [s.strip() for s in said if isinstance(s, str) and s.strip()]
    return ": ".join(dict.fromkeys(texts))
