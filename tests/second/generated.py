"""A thousand generated records: FORMAT.md section 16."""

import re
from hashlib import sha256

import envelope
import keys
import protobuf
import salted
import tree
from chain import Host
from corpus import load, raw
from envelope import Envelope
from keys import ED25519, Key
from messages import FORMAT, message_of
from statement import Statement, protected_of, signed_bytes, spell
from usage import TOTALS

E = 1_700_000_000_000
RECORDS = 1000


def draw(n, k, m):
    parts = b"affiant vector" + n.to_bytes(4, "big") + k.to_bytes(4, "big")
    return int.from_bytes(sha256(parts).digest()[:8], "big") % m


class Maker:
    """Seals statements of one host, admits each as a verifier would, and hashes envelopes."""

    def __init__(self):
        enrolment = raw(load("host.json")["enrolment"])
        genesis = Statement(raw(load("host.json")["genesis"]))
        self.host = Host.opened(Statement(enrolment), genesis.digest)
        self.hash = sha256(envelope.spell(enrolment))
        self.key = 5

    def seal(self, kind, body, time, contents=None, rooted=("root", "count")):
        """Seals the next statement; its contents go under the root fields of `rooted`."""
        head, sequence = self.host.head, self.host.sequence + 1
        header = {"chain": self.host.name, "sequence": sequence, "previous": head, "time": time}
        if "checkpoint" in body:
            header["checkpoint"] = body.pop("checkpoint")
        body = {"header": header, **body}
        seed = b""
        if contents is not None:
            seed = sha256(b"affiant vector seed" + sequence.to_bytes(8, "big")).digest()[:16]
            body[rooted[0]] = tree.root(salted.leaves(seed, contents))
            body[rooted[1]] = len(contents)
        payload = protobuf.encode(message_of(kind), body)
        own = bytes([self.key]) * 32
        protected = protected_of(kind, Key(ED25519, keys.public_of(own)).id)
        statement = spell(protected, payload, keys.sign(own, signed_bytes(protected, payload)))
        sent = envelope.spell(statement, contents or (), seed)
        self.host.admit(Envelope(sent), False)
        self.hash.update(sent)

    def change_key(self, time):
        new = bytes([self.key + 1]) * 32
        public = keys.public_of(new)
        host, sequence = self.host, self.host.sequence + 1
        signed = b"affiant key change\0" + host.name + sequence.to_bytes(8, "big") + host.head + public
        self.seal("key", {"new_key": public, "proof": keys.sign(new, signed)}, time)
        self.key += 1


def accumulated():
    """Makes the records; gives the hash after each of the counts that section 16 lists."""
    block = FORMAT.read_text(encoding="utf-8").split("<!-- accumulated -->", 1)[1]
    rows = re.findall(r"^\| (\d+) \| `([0-9a-f]{64})` \|", block.split("<!-- end", 1)[0], re.M)
    expected = {int(count): digest for count, digest in rows}
    made, maker = {}, Maker()
    _tables(maker)
    last_end = None
    for n in range(RECORDS):
        if n % 100 == 50:
            maker.change_key({"unix_ms": E + 10_000 * n, "clock": 1, "max_error_ms": 4})
        last_end = _usage(maker, n, last_end)
        if n + 1 in expected:
            made[n + 1] = maker.hash.hexdigest()
    return made, expected


def _tables(maker):
    devices = [
        {"uuid": f"GPU-{i}", "model": "NVIDIA H200", "coverage": 1} for i in range(4)
    ]
    inventory = {
        "source": 1,
        "library": "/lib/libnvidia-ml.so.1",
        "library_digest": sha256(b"vector library").digest(),
        "driver_version": "580",
    }
    contents = [protobuf.encode("Device", device) for device in devices]
    maker.seal("inventory", inventory, {"unix_ms": E + 1, "clock": 1, "max_error_ms": 4}, contents)
    jobs = [
        {"platform": 3, "slurm_job": str(w), "slurm_account": f"a{w % 3}"} for w in range(8)
    ]
    contents = [protobuf.encode("Workload", job) for job in jobs]
    maker.seal("workloads", {}, {"unix_ms": E + 2, "clock": 1, "max_error_ms": 4}, contents)


def _usage(maker, n, last_end):
    start = draw(n, 0, 100_000) if n % 250 == 0 else last_end
    interval = 1_000 + draw(n, 1, 59_001)
    wall = E + 10_000 * n
    body = {
        "boot": 1 + n // 250,
        "start_ms": start,
        "end_ms": start + interval,
        "wall_start_ms": wall,
        "wall_end_ms": wall + interval,
        "source": 1,
        "inventory": 1,
        "workloads": 2,
    }
    time = {"unix_ms": wall + 10_000, "clock": 1}
    if n % 2 == 0:
        time["max_error_ms"] = n % 50
    if n % 10 == 3:
        root = sha256(f"vector root {n}".encode()).digest()
        body["checkpoint"] = {"origin": "log.example/1", "size": n + 1, "root": root}
    lines = [line for device in range(4) for line in _lines(n, device, interval)]
    contents = [protobuf.encode("Totals", {"devices": _totals(lines)})]
    contents += [protobuf.encode("UsageLine", line) for line in lines]
    maker.seal("usage", body, time, contents, ("usage_root", "usage_count"))
    return body["end_ms"]


def _lines(n, d, interval):
    rest = interval
    for w in range(8):
        k = 100 * (d + 1) + w
        if draw(n, k, 4) != 0:
            continue
        t = draw(n, k + 10, rest + 1)
        rest -= t
        line = {"device": d, "kind": 1, "workload": w, "time_ms": t}
        line["allocated_ms"] = t + draw(n, k + 20, interval - t + 1)
        if draw(n, k + 30, 3) != 0:
            line["busy_ms"] = draw(n, k + 40, t + 1)
        if d != 3:
            line["energy_mj"] = draw(n, k + 50, 1_000_000)
        line["memory_peak_bytes"] = draw(n, k + 60, 2**37)
        if d % 2 == 0:
            line["sm_permille"] = draw(n, k + 70, 1_001)
        if d == 0:
            line["tensor_permille"] = draw(n, k + 80, 1_001)
        line["samples"] = draw(n, k + 90, 61)
        yield line
    k = 1_000 + 10 * d
    t = draw(n, k, rest + 1)
    rest -= t
    line = {"device": d, "kind": 2, "time_ms": t, "busy_ms": 0}
    if d != 3:
        line["energy_mj"] = draw(n, k + 1, 100_000)
    yield {**line, "samples": draw(n, k + 2, 61)}
    if draw(n, k + 3, 2) == 0:
        t = draw(n, k + 4, rest + 1)
        rest -= t
        yield {"device": d, "kind": 3, "time_ms": t, "missing": draw(n, k + 5, 3)}
    if rest > 0:
        reason, missing = 1 + draw(n, k + 6, 7), draw(n, k + 7, 61)
        yield {"device": d, "kind": 4, "reason": reason, "time_ms": rest, "missing": missing}


def _totals(lines):
    totals = []
    for d in range(4):
        own = [line for line in lines if line["device"] == d]
        total = {
            field: sum(line["time_ms"] for line in own if line["kind"] == kind)
            for kind, field in enumerate(TOTALS, 1)
        }
        energies = [line["energy_mj"] for line in own if "energy_mj" in line]
        if energies:
            total["energy_mj"] = sum(energies)
        totals.append(total)
    return totals
