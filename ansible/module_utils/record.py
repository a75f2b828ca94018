"""The record of what was changed on a machine: a JSON object a line, each written before its change is made."""

import json
import os


def note(record, **change):
    """Writes down a change that is about to be made."""
    os.makedirs(os.path.dirname(record), exist_ok=True)
    with open(record, "a", encoding="utf-8") as f:
        f.write(json.dumps(change) + "\n")
        f.flush()
        os.fsync(f.fileno())


def changes(record):
    """What was changed, in order; nothing if nothing was ever recorded."""
    try:
        with open(record, encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.strip()]
    except FileNotFoundError:
        return []


def replace(record, kept):
    """Leaves these changes in a record that exists; none: no record."""
    if not kept:
        os.remove(record)
        return
    with open(record + ".new", "w", encoding="utf-8") as f:
        f.writelines(json.dumps(change) + "\n" for change in kept)
    os.replace(record + ".new", record)
