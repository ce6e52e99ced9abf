"""Device time of a report, computed again: FORMAT.md section 15, "Device time".

As far as it does not depend on who owns a workload, which the rules of the judge say.
"""

from refused import Refused, due

PLANNED = (16, 17, 18, 19)
TOTALS = ("attributed_ms", "idle_ms", "unattributed_ms", "not_observed_ms")
PARTS = ("tenants_ms", "unattributed_ms", "idle_ms", "not_observed_ms", "lost_ms", "withheld_ms")


def held(reading, period, report):
    """Holds the figures of `report.json` against the evidence; says in words what was held."""
    first, last = period
    records = [one for one in reading.records if first < one.body.get("wall_end_ms", 0) <= last]
    made, withheld = _made(records)
    try:
        _compare(reading, made, withheld, len(records), report)
    except (ValueError, KeyError, TypeError) as why:
        raise Refused("figures", f"report.json: {why!r}") from why
    return f"{len(records)} records, {made['total_ms']} ms of device time, as the report says"


def _made(records):
    made = dict.fromkeys(("total_ms", "idle_ms", "not_observed_ms", "planned_ms", "used_ms"), 0)
    made |= dict.fromkeys(("energy_mj", "without_energy", "device_records"), 0)
    withheld = 0
    for one in records:
        withheld += one.body.get("usage_count", 0) - 1 - len(one.lines)
        for device in one.totals:
            made["total_ms"] += sum(device.get(part, 0) for part in TOTALS)
            made["device_records"] += 1
            made["energy_mj"] += device.get("energy_mj", 0)
            made["without_energy"] += "energy_mj" not in device
        for line in one.lines:
            time = line.get("time_ms", 0)
            if line["kind"] == 2:
                made["idle_ms"] += time
            elif line["kind"] == 4:
                made["not_observed_ms"] += time
                made["planned_ms"] += time if line["reason"] in PLANNED else 0
            elif line["kind"] == 3 or line["workload"] in one.workloads:
                made["used_ms"] += time
    return made, withheld


def _compare(reading, made, withheld, records, report):
    # An amount is a number up to 2^53 − 1 and a string of digits above.
    said = {name: int(value) for name, value in report["totals"].items()}
    whole = report["completeness"]
    due(whole["entries"] == reading.entries, "figures", "entries")
    last = reading.basis - 1 if reading.span[1] is None else reading.span[1]
    due((whole["whole_from"], whole["whole_to"]) == (reading.span[0], last), "figures", "span")
    due(whole["records"] == records, "figures", "records")
    due(whole["lines_withheld"] == withheld, "figures", "lines withheld")
    due(sum(said[part] for part in PARTS) == said["total_ms"], "figures", "parts and total")
    for name in ("total_ms", "energy_mj", "without_energy", "device_records", "planned_ms"):
        due(said[name] == made[name], "figures", f"{name}: {said[name]}, and {made[name]} are shown")
    if not reading.lines_lost:
        due(said["lost_ms"] == 0, "figures", "time is lost that no host says is lost")
        for name in ("idle_ms", "not_observed_ms"):
            due(said[name] == made[name], "figures", name)
        used = said["tenants_ms"] + said["unattributed_ms"]
        due(used == made["used_ms"], "figures", "used time")
    for name, value in said.items():
        classes = sum(int(one[name]) for one in report["classes"])
        due(classes == value, "figures", f"{name} of the classes")
    for one in report["classes"]:
        of = [use for use in report["tenant_use"] if use["class"] == one["class"]]
        tenants = sum(int(use["attributed_ms"]) for use in of)
        due(tenants == int(one["tenants_ms"]), "figures", "tenants of a class")
