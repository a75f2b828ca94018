#!/usr/bin/python3
"""An Ansible module: gives files of /proc and /sys values, and later their old ones back."""

import glob
import re

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.record import changes, note, replace

DOCUMENTATION = """
module: kernel_values
short_description: sets values in files of /proc and /sys, and gives the old ones back
options:
  values:
    description: what is wanted; path may be a pattern, and an optional one may resist or not exist
    type: list
    elements: dict
  record:
    description: the file that old values are written to, before anything changes
    type: path
    required: true
  state:
    description: restored gives back what the record names and still has the value given to it
    choices: [present, restored]
"""

CPU_LIST = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
MOST_CPUS = 1 << 16


def meaning(text):
    """What a value says, beyond how it is written: [b] of "a [b] c", the CPUs of "0,1-3"."""
    text = text.strip()
    chosen = re.search(r"\[(\S+)\]", text)
    if chosen:
        return chosen.group(1)
    if not CPU_LIST.fullmatch(text):
        return text
    cpus = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(last or first) - int(first) > MOST_CPUS:
            return text
        cpus.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(cpus))


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


def write(path, value):
    with open(path, "w", encoding="ascii") as f:
        f.write(str(value))


def give(path, value, record, check):
    """Gives one file a value. Returns what changed, if anything, and raises if the kernel would not."""
    old = read(path).strip()
    if meaning(old) == meaning(str(value)):
        return None
    if not check:
        chosen = meaning(old)
        old = chosen if isinstance(chosen, str) else old
        note(record, kind="value", path=path, old=old, new=str(value))
        write(path, value)
        got = read(path).strip()
        if meaning(got) != meaning(str(value)):
            write(path, old)
            raise OSError(f"the kernel made {got} of it")
    return f"{path}: {old} -> {value}"


def present(values, record, check):
    changed, problems = [], []
    for item in values or []:
        paths = sorted(glob.glob(item["path"]))
        if not paths and not item.get("optional"):
            problems.append(f"{item['path']}: this kernel has no such file. Next: mark it optional, or drop it")
        for path in paths:
            try:
                line = give(path, item["value"], record, check)
            except (OSError, UnicodeError) as e:
                if not item.get("optional"):
                    problems.append(f"{path}: wanted {item['value']}: {e}")
                continue
            if line:
                changed.append(line)
    return changed, problems


def restored(record, check):
    changed, problems, kept = [], [], []
    recorded = changes(record)
    for line in reversed(recorded):
        if line["kind"] != "value":
            kept.insert(0, line)
            continue
        try:
            now = read(line["path"])
            if meaning(now) == meaning(line["new"]) and meaning(now) != meaning(line["old"]):
                changed.append(f"{line['path']}: {line['new']} -> {line['old']}")
                if not check:
                    write(line["path"], line["old"])
        except FileNotFoundError:
            continue  # the device is gone, and its value with it
        except OSError as e:
            problems.append(f"{line['path']}: {e}")
            kept.insert(0, line)
    if recorded and not check:
        replace(record, kept)
    return changed, problems


def main():
    module = AnsibleModule(
        argument_spec={
            "values": {"type": "list", "elements": "dict", "default": []},
            "record": {"type": "path", "required": True},
            "state": {"choices": ["present", "restored"], "default": "present"},
        },
        supports_check_mode=True,
    )
    p = module.params
    if p["state"] == "present":
        changed, problems = present(p["values"], p["record"], module.check_mode)
    else:
        changed, problems = restored(p["record"], module.check_mode)
    if problems:
        module.fail_json(msg="; ".join(problems), changed=bool(changed), changes=changed)
    module.exit_json(changed=bool(changed), changes=changed)


if __name__ == "__main__":
    main()
