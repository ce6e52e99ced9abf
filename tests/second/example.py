"""The worked example of FORMAT.md section 17, made from what its words say."""

import re
from hashlib import sha256

import envelope
import keys
import note
import protobuf
import salted
import tree
from corpus import same
from envelope import Envelope
from keys import ED25519, Key
from messages import FORMAT, message_of
from statement import Statement, protected_of, signed_bytes, spell

E = 1_700_000_000_000
OPERATOR, LOG, ANN, BO, RECORD, WITNESS = (bytes([n]) * 32 for n in (1, 2, 3, 4, 5, 7))


def blocks():
    text = FORMAT.read_text(encoding="utf-8").split("## 17 Worked example", 1)[1]
    found = re.findall(r"```hex ([\w-]+)\n([0-9a-f\n]*)```", text)
    return {name: bytes.fromhex(digits.replace("\n", "")) for name, digits in found}


def _sealed(kind, body, seed):
    payload = protobuf.encode(message_of(kind), body)
    protected = protected_of(kind, Key(ED25519, keys.public_of(seed)).id)
    signature = keys.sign(seed, signed_bytes(protected, payload))
    return Statement(spell(protected, payload, signature))


def _header(time, before=None, chain=None, checkpoint=None):
    header = {"time": {"unix_ms": E + time, "clock": 1, "max_error_ms": 4}}
    if before is not None:
        header["chain"] = chain or before.digest
        header["sequence"], header["previous"] = before.sequence + 1, before.digest
    if checkpoint is not None:
        header["checkpoint"] = checkpoint
    return header


def check():
    """Makes every block of the example and compares; gives how many there are."""
    due = blocks()
    made = {}
    for name, seed in (("operator", OPERATOR), ("record", RECORD)):
        key = Key(ED25519, keys.public_of(seed))
        made[f"{name}-public"], made[f"{name}-id"] = key.public, key.id
    genesis, clock, enrolment = _opening(made)
    inventory, workloads = _tables(made, enrolment)
    entries = [genesis, clock, enrolment, inventory, workloads]
    usage = _usage(made, entries, enrolment, workloads)
    _log(made, [one.digest for one in [*entries, usage]])
    for name, bytes_ in due.items():
        same(made.get(name, b"").hex(), bytes_.hex(), name)
    same(set(made) - set(due), set(), "blocks that the text lacks")
    return len(due)


def _opening(made):
    genesis = _sealed(
        "genesis",
        {
            "header": _header(0),
            "origin": "log.example/1",
            "log_key": keys.public_of(LOG),
            "operator_key": keys.public_of(OPERATOR),
            "ca": sha256(b"example ca").digest(),
            "officers": [
                {"name": "Ann", "key": keys.public_of(ANN)},
                {"name": "Bo", "key": keys.public_of(BO)},
            ],
            "operator": "Example Cloud",
        },
        OPERATOR,
    )
    clock = _sealed("clock", {"header": _header(1_000, genesis)}, OPERATOR)
    enrolment = _sealed(
        "enrolment",
        {
            "header": _header(2_000),
            "genesis": genesis.digest,
            "host": "host-a",
            "record_key": keys.public_of(RECORD),
            "identity_key": sha256(b"example identity key").digest(),
            "agent_version": "0.1.0",
            "token": sha256(b"example token").digest(),
            "site": "hall-1",
        },
        RECORD,
    )
    for name, one in (("genesis", genesis), ("clock", clock), ("enrolment", enrolment)):
        made[f"{name}-statement"], made[f"{name}-digest"] = one.bytes, one.digest
    made["genesis-payload"] = genesis.payload
    made["enrolment-payload"] = enrolment.payload
    made["enrolment-protected"] = enrolment.protected
    made["enrolment-signed"] = enrolment.signed()
    made["enrolment-signature"] = enrolment.signature
    return genesis, clock, enrolment


def _under(seed, contents, fields=("root", "count")):
    return {fields[0]: tree.root(salted.leaves(seed, contents)), fields[1]: len(contents)}


def _tables(made, enrolment):
    seed = b"\xa1" * 16
    device = {"model": "NVIDIA H200", "memory_bytes": 150_754_820_096, "coverage": 1}
    devices = [
        {
            **device,
            "uuid": f"GPU-00000000-0000-0000-0000-00000000000{n}",
            "pci_bus_id": f"00000000:0{n}:00.0",
            "pci_device_id": 0x233510DE,
        }
        for n in (1, 2)
    ]
    devices[0]["serial"] = "1650024000001"
    leaves = [protobuf.encode("Device", one) for one in devices]
    body = {
        "header": _header(3_000, enrolment),
        "source": 1,
        "library": "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
        "library_digest": sha256(b"example library").digest(),
        "driver_version": "580.95.05",
        **_under(seed, leaves),
    }
    inventory = _sealed("inventory", body, RECORD)
    for n, leaf in enumerate(leaves):
        made[f"inventory-leaf-{n}"] = leaf
        made[f"inventory-salt-{n}"] = salted.salt(seed, n)
        made[f"inventory-hash-{n}"] = salted.leaves(seed, leaves)[n]
    made["inventory-root"] = inventory.body["root"]

    seed = b"\xa2" * 16
    jobs = [
        {
            "platform": 3,
            "unit": "slurmstepd.scope",
            "uid": 1001,
            "user": "mira",
            "cluster": "hall-1",
            "slurm_job": "4711",
            "slurm_account": "genomics",
        },
        {
            "platform": 2,
            "uid": 0,
            "container_id": "0a1b2c",
            "pod_uid": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "namespace": "atlas",
            "pod": "train-0",
            "service_account": "trainer",
            "image": "registry.example/train:1",
        },
    ]
    leaves = [protobuf.encode("Workload", one) for one in jobs]
    header = _header(4_000, inventory, enrolment.digest)
    workloads = _sealed("workloads", {"header": header, **_under(seed, leaves)}, RECORD)
    for n, leaf in enumerate(leaves):
        made[f"workloads-leaf-{n}"] = leaf
    made["workloads-root"] = workloads.body["root"]
    for name, one in (("inventory", inventory), ("workloads", workloads)):
        made[f"{name}-statement"], made[f"{name}-digest"] = one.bytes, one.digest
    return inventory, workloads


# device, kind, workload, reason, time, allocated, busy, energy, memory peak, SM, tensor, samples, missing
LINES = [
    (0, 1, 0, None, 6_000, 10_000, 5_400, 4_100_000, 68_719_476_736, 812, 430, 10, 0),
    (0, 1, 1, None, 2_500, 4_000, None, 1_200_000, None, None, None, 4, 1),
    (0, 2, None, None, 1_500, None, None, 300_000, None, None, None, 2, 0),
    (1, 2, None, None, 7_000, None, 0, None, None, None, None, 7, 0),
    (1, 4, None, 1, 3_000, None, None, None, None, None, None, 0, 3),
]
FIELDS = (
    "device kind workload reason time_ms allocated_ms busy_ms energy_mj memory_peak_bytes"
    " sm_permille tensor_permille samples missing"
).split()


def _usage(made, entries, enrolment, workloads):
    seed = b"\xa3" * 16
    totals = [
        {"attributed_ms": 8_500, "idle_ms": 1_500, "energy_mj": 5_600_000},
        {"idle_ms": 7_000, "not_observed_ms": 3_000},
    ]
    leaves = [protobuf.encode("Totals", {"devices": totals})]
    for line in LINES:
        present = {field: value for field, value in zip(FIELDS, line) if value is not None}
        leaves.append(protobuf.encode("UsageLine", present))
    root = tree.root([tree.leaf_hash(entry.digest) for entry in entries[:3]])
    checkpoint = {"origin": "log.example/1", "size": 3, "root": root}
    body = {
        "header": _header(14_000, workloads, enrolment.digest, checkpoint),
        "boot": 1,
        "start_ms": 60_000,
        "end_ms": 70_000,
        "wall_start_ms": E + 4_000,
        "wall_end_ms": E + 14_000,
        "source": 1,
        "inventory": 1,
        "workloads": 2,
        **_under(seed, leaves, ("usage_root", "usage_count")),
    }
    usage = _sealed("usage", body, RECORD)
    hashes = salted.leaves(seed, leaves)
    for n, leaf in enumerate(leaves):
        made[f"usage-leaf-{n}"], made[f"usage-hash-{n}"] = leaf, hashes[n]
    made["usage-root"] = usage.body["usage_root"]
    made["usage-payload"] = usage.payload
    made["usage-statement"], made["usage-digest"] = usage.bytes, usage.digest
    made["usage-envelope"] = envelope.spell(usage.bytes, leaves, seed)
    Envelope(made["usage-envelope"])
    for n in (0, 2):
        made[f"usage-salt-{n}"] = salted.salt(seed, n)
    proof = tree.multi_proof(hashes, [0, 2])
    made["shown-proof"] = b"".join(proof)
    shown = [(n, salted.salt(seed, n), leaves[n]) for n in (0, 2)]
    same(salted.shown(shown, len(leaves), usage.body["usage_root"], proof), True, "disclosure")
    return usage


def _log(made, entries):
    leaves = [tree.leaf_hash(entry) for entry in entries]
    root = tree.root(leaves)
    inclusion = [leaves[4], tree.root(leaves[:4])]
    same(tree.verify_inclusion(leaves[5], 5, 6, root, inclusion), True, "inclusion")
    made["usage-log-leaf"], made["log-root"] = leaves[5], root
    made["usage-inclusion"] = b"".join(inclusion)

    text = FORMAT.read_text(encoding="utf-8")
    block = lambda name: text.split(f"<!-- {name} -->\n```text\n", 1)[1].split("```", 1)[0]
    log = note.VerifierKey.spell("log.example/1", 1, keys.public_of(LOG))
    witness = note.VerifierKey.spell("witness.example", 4, keys.public_of(WITNESS))
    same(f"{log}\n{witness}\n", block("vkeys"), "vkeys")
    checkpoint, signed = note.opened(block("note").encode(), note.VerifierKey(log, 1))
    same((checkpoint.size, checkpoint.root), (6, root), "checkpoint")
    at = signed.cosigned_by(note.VerifierKey(witness, 4))
    same(at, 1_700_000_020, "cosigned")
