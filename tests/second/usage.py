"""What inventory, workloads and usage records must satisfy: FORMAT.md section 7."""

import protobuf
from messages import ENUMS
from refused import Refused, due

U64 = (1 << 64) - 1
ATTRIBUTED, IDLE, UNATTRIBUTED, NOT_OBSERVED = 1, 2, 3, 4
TOTALS = ("attributed_ms", "idle_ms", "unattributed_ms", "not_observed_ms")
UNMEASURED = ("allocated_ms", "busy_ms", "memory_peak_bytes", "sm_permille", "tensor_permille")
MOST_DEVICES, MOST_WORKLOADS, MOST_INTERVAL = 64, 1024, 3_600_000


def entry(name, content, code):
    """A leaf's message in its one spelling."""
    try:
        message, same = protobuf.one_spelling(name, content)
    except protobuf.NotAMessage as why:
        raise Refused(code, str(why)) from why
    due(same, code, f"a {name} in another spelling")
    return message


def inventory(body, recorded):
    """The signed part of an inventory."""
    due(body.get("source", 0) in (1, 2, 3), "usage", "source")
    due(recorded or body["source"] == 1, "source", "recorded")
    due(body.get("count", 0) <= MOST_DEVICES, "usage", "too many devices")


def workloads(body):
    due(body.get("count", 0) <= MOST_WORKLOADS, "usage", "too many workloads")


class InForce:
    """What a chain has in force: tables, and the last interval."""

    def __init__(self):
        self.forget()

    def forget(self):
        """After a gap and a restart."""
        self.inventory = self.workloads = (0, 0)
        self.source = None
        self.last = None


def record(body, in_force, recorded):
    """Steps 1 to 4: the signed part of a usage record, in this order."""
    start, end = body.get("start_ms", 0), body.get("end_ms", 0)
    due(start < end and end - start <= MOST_INTERVAL, "usage", "interval")
    due(body.get("wall_start_ms", 0) <= body.get("wall_end_ms", 0), "usage", "wall clock")
    source, boot = body.get("source", 0), body.get("boot", 0)
    due(source in (1, 2, 3), "usage", "source")
    due(boot >= 1, "usage", "boot")
    due(recorded or source == 1, "source", "recorded")
    if in_force.last is not None:
        last_boot, last_end = in_force.last
        if boot == last_boot:
            due(start >= last_end, "overlap")
            due(start <= last_end, "apart")
        else:
            due(boot == last_boot + 1, "usage", "boot")
    due(body.get("inventory", 0) == in_force.inventory[0], "not-in-force", "inventory")
    due(body.get("workloads", 0) == in_force.workloads[0], "not-in-force", "workloads")
    due(in_force.source is None or source == in_force.source, "usage", "source of the inventory")


def lines(body, shown, devices, workloads_in_force):
    """Steps 5 to 7 over shown (index, content); with all leaves shown, step 7 in full.

    Gives the totals and the lines. `devices` and `workloads_in_force` are None where the tables
    are not known to the reader.
    """
    interval = body.get("end_ms", 0) - body.get("start_ms", 0)
    due(shown and shown[0][0] == 0, "usage", "the totals are not shown")
    totals = entry("Totals", shown[0][1], "usage").get("devices", [])
    due(devices is None or len(totals) == devices, "usage", "a total per device is due")
    for device in totals:
        due(sum(device.get(kind, 0) for kind in TOTALS) == interval, "sum", "totals")
    found = []
    for _, content in shown[1:]:
        line = entry("UsageLine", content, "usage")
        _line(line, interval, len(totals), workloads_in_force)
        found.append(line)
    order = [_order(line) for line in found]
    due(all(a < b for a, b in zip(order, order[1:])), "usage", "lines out of order")
    whole = len(shown) == body.get("usage_count", 0)
    _sums(found, totals, whole)
    return totals, found


def _order(line):
    workload = line.get("workload")
    return (
        line.get("device", 0),
        line.get("kind", 0),
        -1 if workload is None else workload,
        line.get("reason", 0),
    )


def _line(line, interval, devices, workloads_in_force):
    kind, time = line.get("kind", 0), line.get("time_ms", 0)
    due(line.get("device", 0) < devices, "usage", "device")
    due(kind in (1, 2, 3, 4), "usage", "kind")
    due(("workload" in line) == (kind == ATTRIBUTED), "usage", "workload")
    if kind == ATTRIBUTED and workloads_in_force is not None:
        due(line["workload"] < workloads_in_force, "usage", "workload")
    reason = line.get("reason", 0)
    if kind == NOT_OBSERVED:
        due(reason != 0 and reason in ENUMS["Reason"], "usage", "reason")
        due(not any(field in line for field in UNMEASURED), "usage", "measured unobserved")
    else:
        due(reason == 0, "usage", "reason")
    allocated = line.get("allocated_ms")
    due(allocated is None or time <= allocated <= interval, "usage", "allocated")
    due(line.get("busy_ms", 0) <= time, "usage", "busy")
    for activity in ("sm_permille", "tensor_permille"):
        due(line.get(activity, 0) <= 1000, "usage", activity)


def _sums(found, totals, whole):
    for index, device in enumerate(totals):
        own = [line for line in found if line.get("device", 0) == index]
        for kind, field in enumerate(TOTALS, 1):
            time = sum(line.get("time_ms", 0) for line in own if line["kind"] == kind)
            _sum(time, device.get(field, 0), whole)
        energies = [line["energy_mj"] for line in own if "energy_mj" in line]
        energy = device.get("energy_mj")
        if energies:
            due(energy is not None, "sum", "energy")
            _sum(sum(energies), energy, whole)
        else:
            due(not whole or energy is None, "sum", "energy")


def _sum(lines_, total, whole):
    due(lines_ <= U64, "sum", "above 64 bits")
    due(lines_ == total if whole else lines_ <= total, "sum")
