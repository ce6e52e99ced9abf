"""Holds this implementation against tests/vectors: what it must make and what it must refuse."""

import base64
import json
from hashlib import sha256
from pathlib import Path

import authority
import dossier
import keys
import messages
import note
import protobuf
import salted
import tree
from chain import Host, opened
from envelope import Envelope
from keys import ED25519, ESP256, Key
from messages import ENUMS, MESSAGES, SCALARS
from refused import Refused
from statement import Statement, protected_of, signed_bytes, spell

VECTORS = Path(__file__).resolve().parents[1] / "vectors"


class Wrong(Exception):
    """This implementation and the vectors differ."""


def same(found, expected, what):
    if found != expected:
        raise Wrong(f"{what}: {found!r} instead of {expected!r}")


def load(name):
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def raw(digits):
    return bytes.fromhex(digits)


def all_raw(list_):
    return [raw(digits) for digits in list_]


# ---- what must be made ----


def made():
    """Makes everything that the vectors fix; gives how much."""
    count = 0
    for check in (_keys, _statements, _salted, _trees, _notes, _chains, _host, _dossier):
        count += check()
    return count


def _keys():
    vectors = load("keys.json")
    for one in vectors["ed25519"]:
        seed = raw(one["seed"])
        key = Key(ED25519, keys.public_of(seed))
        same(key.public.hex(), one["public"], "public key")
        same(key.id.hex(), one["id"], "key id")
        signature = keys.sign(seed, b"message")
        same(signature.hex(), one["signature_of_message"], "signature")
        same(key.verify(b"message", signature), True, "own signature")
    key = vectors["esp256"]
    same(Key(ESP256, raw(key["public"])).id.hex(), key["id"], "key id")
    for one in vectors["accepted"]:
        key = Key(ED25519 if one["algorithm"] == "ed25519" else ESP256, raw(one["key"]))
        same(key.verify(raw(one["message"]), raw(one["signature"])), True, one["what"])
    return len(vectors["ed25519"]) + 1 + len(vectors["accepted"])


def from_json(name, value):
    """Reads a message from protobuf's JSON mapping."""
    out = {}
    for field in MESSAGES[name]:
        if field.name not in value:
            continue
        found = value[field.name]
        out[field.name] = (
            [_json(field, one) for one in found] if field.label == "repeated" else _json(field, found)
        )
    same(set(value) - set(out), set(), f"fields of {name}")
    return out


def _json(field, value):
    if field.type == "bytes":
        return base64.b64decode(value)
    if field.type in ("uint32", "uint64"):
        return int(value)
    if field.type in ENUMS:
        by_name = {label: number for number, label in ENUMS[field.type].items()}
        return by_name[value] if isinstance(value, str) else value
    return value if field.type in SCALARS else from_json(field.type, value)


def _statements():
    vectors = load("statements.json")
    seed = raw(vectors["signer_seed"])
    key_id = Key(ED25519, keys.public_of(seed)).id
    for one in vectors["statements"]:
        kind = one["kind"]
        name = messages.message_of(kind)
        payload = protobuf.encode(name, from_json(name, one["message"]))
        protected = protected_of(kind, key_id)
        signed = signed_bytes(protected, payload)
        signature = keys.sign(seed, signed)
        statement = spell(protected, payload, signature)
        for found, field in (
            (payload, "payload"),
            (protected, "protected"),
            (signed, "signed"),
            (signature, "signature"),
            (statement, "statement"),
        ):
            same(found.hex(), one[field], f"{field} of {kind}")
        read = Statement(statement)
        same(read.digest.hex(), one["digest"], f"digest of {kind}")
        same((read.kind, read.known), (kind, True), "kind")
    return len(vectors["statements"])


def _salted():
    count = 0
    for one in load("salted.json")["trees"]:
        seed, contents = raw(one["seed"]), all_raw(one["leaves"])
        salts = [salted.salt(seed, index) for index in range(len(contents))]
        same([salt.hex() for salt in salts], one["salts"], "salts")
        hashes = salted.leaves(seed, contents)
        same([hash_.hex() for hash_ in hashes], one["hashes"], "leaf hashes")
        root = tree.root(hashes)
        same(root.hex(), one["root"], "root")
        for disclosure in one["disclosures"]:
            shown = disclosure["shown"]
            proof = tree.multi_proof(hashes, shown)
            same([hash_.hex() for hash_ in proof], disclosure["proof"], "multi-proof")
            disclosed = [(index, salts[index], contents[index]) for index in shown]
            same(salted.shown(disclosed, len(hashes), root, proof), True, "disclosure")
            count += 1
    return count


def _trees():
    vectors = load("trees.json")
    entries = [sha256(n.to_bytes(8, "big")).digest() for n in range(13)]
    leaves = [tree.leaf_hash(entry) for entry in entries]
    roots = [tree.root(leaves[:size]) for size in range(len(leaves) + 1)]
    same([root.hex() for root in roots], vectors["roots_by_size"], "roots")
    size, root = len(leaves), roots[-1]
    for one in vectors["inclusion"]:
        index = one["index"]
        proof = all_raw(one["proof"])
        same(tree.verify_inclusion(leaves[index], index, size, root, proof), True, "inclusion")
        walked = tree.multi_proof(leaves, [index])
        same(sorted(walked), sorted(proof), "inclusion against multi-proof")
    for one in vectors["consistency"]:
        old, proof = one["old"], all_raw(one["proof"])
        good = tree.verify_consistency(old, roots[old], size, root, proof)
        same(good, True, f"consistency from {old}")
    for one in vectors["multi"]:
        proof = tree.multi_proof(leaves, one["shown"])
        same([hash_.hex() for hash_ in proof], one["proof"], "multi-proof")
        pairs = [(index, leaves[index]) for index in one["shown"]]
        same(tree.verify_multi(pairs, size, root, proof), True, "multi-proof")
    return len(roots) + sum(len(vectors[kind]) for kind in ("inclusion", "consistency", "multi"))


def _notes():
    vectors = load("notes.json")
    log_seed, witness_seed = raw(vectors["log_seed"]), raw(vectors["witness_seed"])
    key = note.VerifierKey(vectors["log_vkey"], 1)
    same(key.key.public, keys.public_of(log_seed), "log key")
    same(note.VerifierKey.spell(key.name, 1, key.key.public), vectors["log_vkey"], "vkey")
    witness = note.VerifierKey(vectors["witness_vkey"], 4)
    same(witness.key.public, keys.public_of(witness_seed), "witness key")
    checkpoint, signed = note.opened(vectors["note"].encode(), key)
    same(signed.lines[0][2], keys.sign(log_seed, signed.text.encode()), "signature of the log")
    _, cosigned = note.opened(vectors["cosigned_note"].encode(), key)
    at = cosigned.cosigned_by(witness)
    text = f"cosignature/v1\ntime {at}\n{cosigned.text}".encode()
    line = at.to_bytes(8, "big") + keys.sign(witness_seed, text)
    same(cosigned.of(witness), [line], "cosignature")
    same(signed.of(witness), [], "no cosignature")
    old, proof, sent = note.add_checkpoint(vectors["add_checkpoint_from_3"].encode())
    same((old, sent.text), (3, signed.text), "request")
    leaves = [tree.leaf_hash(raw(entry)) for entry in load("host.json")["log_entries"]]
    before = tree.root(leaves[:old])
    good = tree.verify_consistency(old, before, checkpoint.size, checkpoint.root, proof)
    same(good, True, "proof of the request")
    return 6


def _chains():
    vectors, host = load("chains.json"), host_chain(3)
    change = vectors["key_change"]
    host.follow(Statement(raw(change["statement"])))
    same(host.key.public.hex(), change["new_key"], "new key")
    host.follow(Statement(raw(change["after"])))
    genesis = Statement(raw(load("host.json")["genesis"]))
    again = Host.opened(Statement(raw(vectors["reenrolment"]["statement"])), genesis.digest)
    predecessor_proved(again, host_chain(3), vectors["reenrolment"])
    approval = vectors["officer_approval"]
    signed = b"affiant officer\0" + raw(approval["genesis"]) + raw(approval["key"])
    signed += approval["name"].encode()
    same(signed.hex(), approval["bytes"], "what officers sign")
    for seed, name in ((3, "ann"), (4, "bo")):
        signature = keys.sign(bytes([seed]) * 32, signed).hex()
        same(signature, approval[f"signature_of_{name}"], "approval")
    log, index = authorities()
    succession = Statement(raw(vectors["authority"]["succession"]))
    log.admit(succession, index)
    same(log.origin(), succession.body["origin"], "generation")
    return 5


def predecessor_proved(again, old, vector):
    """The proof of the old key in an enrolment that names a chain before it."""
    named = again.opener.body["predecessor"]
    signed = (
        b"affiant re-enrolment\0"
        + again.opener.body["genesis"]
        + named["chain"]
        + named["sequence"].to_bytes(8, "big")
        + named["head"]
        + again.key.public
    )
    same(signed.hex(), vector["bytes"], "what the old key signs")
    same((named["chain"], named["head"]), (old.name, old.head), "the chain before")
    same(old.key.verify(signed, named["proof"]), True, "proof of the old key")


def _host():
    vectors, host = load("host.json"), host_chain(3)
    leaves = [tree.leaf_hash(raw(entry)) for entry in vectors["log_entries"]]
    same([leaf.hex() for leaf in leaves], vectors["log_leaves"], "log leaves")
    same(host.sequence, 3, "head")
    same(Key(ED25519, host.key.public).id.hex(), vectors["record_key_id"], "record key")
    return 6


def _dossier():
    vectors = load("dossier.json")
    events = [from_json("TenantEvent", event) for event in vectors["events"]]
    expected = from_json("Dossier", vectors["dossier"])
    made_ = dossier.of(expected["tenant"]["id"], events)
    same(protobuf.encode("Dossier", expected).hex(), vectors["bytes"], "spelling")
    same(made_.hex(), vectors["bytes"], "dossier")
    same(sha256(made_).hexdigest(), vectors["digest"], "digest of the dossier")
    return 1


# ---- what must be refused ----


def host_chain(after):
    """The host of the worked example after some of its three envelopes."""
    vectors = load("host.json")
    genesis = Statement(raw(vectors["genesis"]))
    operator = opened(genesis, None)
    operator.follow(Statement(raw(vectors["clock"])))
    host = Host.opened(Statement(raw(vectors["enrolment"])), genesis.digest)
    for sent in vectors["sent"][:after]:
        host.admit(Envelope(raw(sent["envelope"])), False)
    return host


def authorities():
    """Operator and officers of the example, and the index of what they say next."""
    vectors = load("chains.json")["authority"]
    first, *others = (Statement(raw(statement)) for statement in vectors["statements"])
    log = authority.Authorities(first)
    for index, statement in enumerate(others, 1):
        log.admit(statement, index)
    return log, vectors["index"]


def _sent(data, case):
    envelope = Envelope(data)
    host_chain(case["after"]).admit(envelope, False)


def _said(data, _case):
    log, index = authorities()
    log.admit(Statement(data), index)


def _opening(data, _case):
    opened(Statement(data), Statement(raw(load("host.json")["genesis"])).digest)


def _signature(algorithm):
    def verify(data, case):
        good = Key(algorithm, raw(case["key"])).verify(raw(case["message"]), data)
        if not good:
            raise Refused("signature")

    return verify


def _shown(data, case):
    disclosed = [(case["index"], raw(case["salt"]), data)]
    proof = all_raw(case["proof"])
    if not salted.shown(disclosed, case["count"], raw(case["root"]), proof):
        raise Refused("leaves")


READERS = {
    "statement": lambda data, case: Statement(data),
    "opening": _opening,
    "envelope": lambda data, case: Envelope(data),
    "sent": _sent,
    "said": _said,
    "ed25519-key": lambda data, case: Key(ED25519, data),
    "esp256-key": lambda data, case: Key(ESP256, data),
    "ed25519-signature": _signature(ED25519),
    "esp256-signature": _signature(ESP256),
    "shown-leaf": _shown,
    "note": lambda data, case: note.Note(data),
    "checkpoint": lambda data, case: note.Checkpoint(_text(data, "checkpoint")),
    "log-vkey": lambda data, case: note.VerifierKey(_text(data, "vkey"), 1),
    "witness-vkey": lambda data, case: note.VerifierKey(_text(data, "vkey"), 4),
    "add-checkpoint": lambda data, case: note.add_checkpoint(data),
}


def _text(data, code):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as why:
        raise Refused(code, "not UTF-8") from why


def cases():
    for path in sorted((VECTORS / "refused").glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield f"{path.name}:{number}", json.loads(line)


def refused():
    """Reads every case of the corpus; gives how many are refused as they must be, and faults."""
    count, wrong = 0, []
    for place, case in cases():
        data = raw(case["hex"]) + bytes(case.get("zeros_after", 0))
        try:
            READERS[case["read_as"]](data, case)
            found = "accepted"
        except Refused as why:
            found = why.code
        count += 1
        if found != case["refusal"]:
            wrong.append(f"{place}: {case['fault']}: {found} instead of {case['refusal']}")
    return count, wrong
