"""Chains: FORMAT.md section 5, for one chain at a time."""

import re

import note
import usage
from keys import ED25519, Key
from refused import Refused, due

OPENERS = {
    "genesis": "operator_key",
    "enrolment": "record_key",
    "officer": "key",
    "relay-enrolment": "relay_key",
    "objection": "key",
}

MAY_HOLD = {
    "enrolment": "inventory workloads usage gap observation key hardware-evidence chain-restart",
    "genesis": (
        "clock cosigned roll-call fork host-event hold erasure succession revocation report-issued"
        " observation key"
    ),
    "officer": (
        "tenant-event binding-event decision inventory-declaration lease policy-pack list-import"
        " revocation hold key"
    ),
    "relay-enrolment": "",
    "objection": "",
}
MAY_HOLD = {opener: set(kinds.split()) for opener, kinds in MAY_HOLD.items()}


def opened(statement, genesis):
    """Opens a chain: the statement, read; `genesis` is its digest, None for the genesis itself."""
    due(statement.known and statement.kind in OPENERS, "misplaced")
    due(not statement.chain, "misplaced")
    key = Key(ED25519, statement.body.get(OPENERS[statement.kind], b""))
    due(statement.is_signed_by(key), "signature")
    if statement.kind == "genesis":
        _genesis(statement)
    else:
        due(statement.body.get("genesis", b"") == genesis, "deployment")
    if statement.kind == "objection":
        _objection(statement.body)
    return Chain(statement, key)


def _genesis(statement):
    body = statement.body
    due(note.is_name(body.get("origin", ""), 100), "deployment", "origin")
    try:
        Key(ED25519, body.get("log_key", b""))
    except Refused as why:
        raise Refused("deployment", "log key") from why
    due(len(body.get("ca", b"")) == 32, "deployment", "authority")


def _objection(body):
    finding, text = body.get("finding", ""), body.get("text", "")
    due(body.get("tenant", ""), "objection", "tenant")
    due(body.get("from_unix_ms", 0) < body.get("to_unix_ms", 0), "objection", "period")
    due(not finding or re.fullmatch("[0-9a-f]{32}", finding), "objection", "finding")
    due(not (finding and body.get("device_class", "")), "objection", "finding and class")
    due(len(body.get("device_class", "")) <= 64, "objection", "class")
    due(1 <= len(text) <= 2000, "objection", "text")


class Chain:
    """The state of a chain after its head."""

    def __init__(self, opener, key):
        self.opener = opener
        self.name = opener.digest
        self.sequence, self.head = 0, opener.digest
        self.key = key
        self.keys = [key.public]
        self.ca = opener.body.get("ca", b"")
        self.frozen = False
        self.in_force = usage.InForce()

    def follow(self, statement, hole=False):
        """Puts the next statement into the chain; with `hole`, one that may stand behind a hole.

        Gives whether it does, and no gap explains it.
        """
        due(statement.chain, "misplaced")
        due(statement.chain == self.name, "other-chain")
        over = hole and statement.sequence > self.sequence + 1
        explained = self._bridges(statement)
        if not over and not explained:
            due(statement.sequence <= self.sequence + 1, "missing")
            due(statement.sequence == self.sequence + 1, "past")
            due(statement.previous == self.head, "forked")
        due(not (statement.known and statement.kind in OPENERS), "misplaced")
        signer = self.key
        if statement.known and statement.kind == "succession":
            signer = Key(ED25519, statement.body.get("operator_key", b""))
        due(statement.is_signed_by(signer), "signature")
        kind = statement.kind if statement.known else None
        new = self._new_key(statement) if kind == "key" else None
        due(not self.frozen, "frozen")
        if kind is not None:
            due(kind in MAY_HOLD[self.opener.kind], "kind")
        if kind == "gap":
            self._gap(statement, over)
        if kind == "chain-restart":
            self._restart(statement)
        self.advance(statement, new, over)
        return over and not explained

    def advance(self, statement, new, over):
        self.before = (self.sequence, self.head)
        self.sequence, self.head = statement.sequence, statement.digest
        if new is not None:
            self.key = new
            self.keys.append(new.public)
        lost = statement.known and (
            statement.kind == "chain-restart"
            or (statement.kind == "gap" and not statement.body.get("lines"))
        )
        if lost:
            self.in_force.forget()
        elif over:
            self.in_force.last = None

    def _bridges(self, statement):
        """Whether a gap continues the chain although something never came."""
        if not statement.known or statement.kind != "gap" or statement.body.get("lines"):
            return False
        body = statement.body
        first, last = body.get("first", 0), body.get("last", 0)
        return (
            1 <= first <= self.sequence + 1 <= last
            and statement.sequence == last + 1
            and statement.previous == body.get("last_digest", b"")
        )

    def _gap(self, statement, over):
        body = statement.body
        first, last = body.get("first", 0), body.get("last", 0)
        due(1 <= first <= last, "gap", "range")
        if body.get("lines"):
            due(last < statement.sequence, "gap", "range")
            due(not body.get("last_digest"), "gap", "a digest where nothing is lost")
        elif over:
            # Where not all is shown, what it bridges begins somewhere in the hole.
            due(statement.sequence == last + 1, "gap")
            due(statement.previous == body.get("last_digest", b""), "gap")
        else:
            due(self._bridges(statement), "gap")

    def _restart(self, statement):
        body = statement.body
        restored = (body.get("restored_sequence", 0), body.get("restored_head", b""))
        adopted = (body.get("adopted_sequence", 0), body.get("adopted_head", b""))
        due(statement.sequence == adopted[0] + 1, "restart")
        due(statement.previous == adopted[1], "restart")
        due(len(restored[1]) == 32 and restored != adopted, "restart")

    def _new_key(self, statement):
        """The key that a `key` statement hands over to; None where it names an authority."""
        body = statement.body
        public, proof, ca = (body.get(field, b"") for field in ("new_key", "proof", "ca"))
        if ca:
            due(len(ca) == 32 and not public and not proof, "key", "authority")
            due(self.opener.kind == "genesis", "kind", "an authority")
            due(ca != self.ca, "key", "the authority in force")
            self.ca = ca
            return None
        key = Key(ED25519, public)
        due(public != self.key.public, "key", "the key in force")
        signed = (
            b"affiant key change\0"
            + self.name
            + statement.sequence.to_bytes(8, "big")
            + statement.previous
            + public
        )
        due(key.verify(signed, proof), "key", "proof")
        return key


class Host(Chain):
    """A host's chain, with what its records must satisfy."""

    @classmethod
    def opened(cls, statement, genesis):
        chain = opened(statement, genesis)
        chain.__class__ = cls
        return chain

    def admit(self, envelope, recorded):
        """Admits an envelope whole: chain, then contents."""
        statement = envelope.statement
        state = (self.sequence, self.head, self.key, dict(vars(self.in_force)))
        try:
            self.follow(statement)
            if statement.known:
                self._contents(envelope, recorded)
        except Refused:
            self.sequence, self.head, self.key = state[:3]
            vars(self.in_force).update(state[3])
            raise

    def _contents(self, envelope, recorded):
        statement, body = envelope.statement, envelope.statement.body
        if statement.kind == "inventory":
            usage.inventory(body, recorded)
            for leaf in envelope.leaves:
                usage.entry("Device", leaf, "leaves")
            self.in_force.inventory = (statement.sequence, body.get("count", 0))
            self.in_force.source = body["source"]
        elif statement.kind == "workloads":
            usage.workloads(body)
            for leaf in envelope.leaves:
                usage.entry("Workload", leaf, "leaves")
            self.in_force.workloads = (statement.sequence, body.get("count", 0))
        elif statement.kind == "usage":
            usage.record(body, self.in_force, recorded)
            devices, workloads = self.in_force.inventory[1], self.in_force.workloads[1]
            usage.lines(body, envelope.shown(), devices, workloads)
            self.in_force.last = (body.get("boot", 0), body.get("end_ms", 0))
