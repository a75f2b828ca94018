#!/usr/bin/python3
"""An Ansible module: binds an experiment's NIC to a driver of user space, never the one we came by."""

import json
import os
import re
import subprocess

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.record import changes, note, replace

DOCUMENTATION = """
module: nic_driver
short_description: binds a NIC to a driver, and back; refuses a NIC that the machine is managed by
options:
  pci:
    description: the NIC's PCI address, as in 0000:3b:00.0; not needed to restore
    type: str
  driver:
    description: vfio-pci, or for NICs whose driver DPDK shares with the kernel, that driver (mlx5_core)
    type: str
  management:
    description: addresses that the machine is managed by, beside those it finds out
    type: list
    elements: str
  record:
    description: the file that the old driver is written to, before anything changes
    type: path
    required: true
  state:
    choices: [bound, restored]
  root:
    description: for tests, a made-up machine
    type: path
"""

PCI = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


class Refused(Exception):
    pass


class Machine:
    """What the kernel shows of devices; root is / but in tests."""

    def __init__(self, root, check):
        self.root, self.check = root, check

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def device(self, pci):
        return self.path("sys/bus/pci/devices", pci)

    def names(self, pci):
        """The network devices of a PCI device: its own, or of a device on it, as virtio's are."""
        found = []
        for folder, below, _ in os.walk(self.device(pci)):
            if os.path.basename(folder) == "net":
                found += below
                below.clear()
        return sorted(found)

    def above(self, name):
        """A network device and all that stand on it: bonds, bridges, VLANs."""
        found, todo = set(), [name]
        while todo:
            n = todo.pop()
            if n in found:
                continue
            found.add(n)
            try:
                entries = os.listdir(self.path("sys/class/net", n))
            except FileNotFoundError:
                continue
            todo += [e[len("upper_"):] for e in entries if e.startswith("upper_")]
        return found

    def ip(self, *args):
        """What ip(8) says, as JSON."""
        if self.root != "/":
            with open(self.path("ip-" + args[0] + ".json"), encoding="utf-8") as f:
                return json.load(f)
        return json.loads(subprocess.check_output(["ip", "-j", *args], text=True) or "[]")

    def driver(self, pci):
        link = os.path.join(self.device(pci), "driver")
        return os.path.basename(os.readlink(link)) if os.path.islink(link) else ""

    def write(self, path, text):
        if not self.check:
            with open(path, "w", encoding="ascii") as f:
                f.write(text)

    def bind(self, pci, driver):
        """Moves a device to a driver; an empty name gives it back to whichever the kernel chooses."""
        device = self.device(pci)
        self.write(os.path.join(device, "driver_override"), driver or "\n")
        if self.driver(pci):
            self.write(os.path.join(device, "driver", "unbind"), pci)
        self.write(self.path("sys/bus/pci/drivers_probe"), pci)


def refuse_management(machine, pci, addresses):
    """Refuses a NIC that carries a default route, the connection we came by, or a management address."""
    devices = set()
    for name in machine.names(pci):
        devices |= machine.above(name)
    for route in machine.ip("route", "show", "table", "all", "default"):
        if route.get("dev") in devices:
            raise Refused(f"{pci} is {route['dev']}, which has the default route")
    for link in machine.ip("addr"):
        for a in link.get("addr_info", []):
            if link["ifname"] in devices and a.get("local") in addresses:
                raise Refused(f"{pci} is {link['ifname']}, with {a['local']}, by which this machine is managed")


def management(given):
    """Addresses the machine is managed by: those given, and where this connection arrived."""
    came_by = os.environ.get("SSH_CONNECTION", "").split()
    return set(given or []) | set(came_by[2:3])


def bound(machine, p):
    pci, driver = p["pci"], p["driver"]
    if not PCI.fullmatch(pci or ""):
        raise Refused(f"{pci!r} is no PCI address: use one as in 0000:3b:00.0, from lspci -D")
    if not os.path.isdir(machine.device(pci)):
        raise Refused(f"this machine has no PCI device {pci}: lspci -D lists them")
    refuse_management(machine, pci, management(p["management"]))
    old = machine.driver(pci)
    if old == driver:
        return []
    if driver == "vfio-pci" and not has_iommu(machine):
        raise Refused("vfio-pci needs an IOMMU: enable it in the firmware, and boot with intel_iommu=on iommu=pt")
    if not os.path.isdir(machine.path("sys/bus/pci/drivers", driver)):
        raise Refused(f"driver {driver} is not loaded: modprobe {driver}")
    if not machine.check:
        note(p["record"], kind="driver", pci=pci, old=old, new=driver)
    machine.bind(pci, driver)
    if machine.root == "/" and not machine.check and machine.driver(pci) != driver:
        machine.bind(pci, old)
        raise Refused(f"the kernel would not give {pci} to {driver}: dmesg says why; it is back with {old}")
    return [f"{pci}: {old or 'no driver'} -> {driver}"]


def has_iommu(machine):
    try:
        return bool(os.listdir(machine.path("sys/class/iommu")))
    except FileNotFoundError:
        return False


def restored(machine, record):
    changed, kept = [], []
    recorded = changes(record)
    for line in reversed(recorded):
        if line["kind"] != "driver":
            kept.insert(0, line)
        elif os.path.isdir(machine.device(line["pci"])) and machine.driver(line["pci"]) == line["new"]:
            machine.bind(line["pci"], "")
            changed.append(f"{line['pci']}: {line['new']} -> {line['old'] or 'no driver'}")
    if recorded and not machine.check:
        replace(record, kept)
    return changed


def main():
    module = AnsibleModule(
        argument_spec={
            "pci": {"type": "str"},
            "driver": {"type": "str", "default": "vfio-pci"},
            "management": {"type": "list", "elements": "str", "default": []},
            "record": {"type": "path", "required": True},
            "state": {"choices": ["bound", "restored"], "default": "bound"},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    p = module.params
    machine = Machine(p["root"], module.check_mode)
    try:
        changed = bound(machine, p) if p["state"] == "bound" else restored(machine, p["record"])
    except (Refused, OSError, subprocess.CalledProcessError) as e:
        module.fail_json(msg=f"{e}")
    module.exit_json(changed=bool(changed), changes=changed)


if __name__ == "__main__":
    main()
