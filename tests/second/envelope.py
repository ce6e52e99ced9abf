"""A statement with its leaves, as it travels: FORMAT.md section 8."""

import protobuf
import salted
import tree
from refused import Refused, due
from statement import Statement

MOST = 2_097_152
MOST_LEAVES, MOST_LEAF = 4097, 4096

# Root and number that a kind signs.
ROOTS = {
    "inventory": ("root", "count"),
    "workloads": ("root", "count"),
    "usage": ("usage_root", "usage_count"),
}


def signed_root(statement):
    """Root and number of leaves that a statement signs; None for a kind that signs none."""
    if not statement.known or statement.kind not in ROOTS:
        return None
    root, count = ROOTS[statement.kind]
    return statement.body.get(root, b""), statement.body.get(count, 0)


class Envelope:
    """Reads an envelope and holds seed, leaves and root together; no signature is looked at."""

    def __init__(self, data):
        due(len(data) <= MOST, "too-long")
        try:
            message, same = protobuf.one_spelling("Envelope", data)
        except protobuf.NotAMessage as why:
            raise Refused("spelling", str(why)) from why
        due(same, "spelling")
        try:
            self.statement = Statement(message.get("statement", b""))
        except Refused as why:
            raise Refused("spelling", str(why)) from why
        self.leaves = message.get("leaves", [])
        self.seed = message.get("seed", b"")
        self.totals = message.get("totals")
        self.bytes = data
        due(len(self.leaves) <= MOST_LEAVES, "leaves", "too many")
        due(all(len(leaf) <= MOST_LEAF for leaf in self.leaves), "leaves", "too long")
        due(self.totals is None or len(self.totals.get("content", b"")) <= MOST_LEAF, "leaves")
        self._under_root()

    def _under_root(self):
        signs = signed_root(self.statement)
        if signs is None:
            empty = not self.leaves and not self.seed and self.totals is None
            due(empty, "leaves", "a kind without leaves")
            return
        root, count = signs
        if self.totals is not None:
            due(self.statement.kind == "usage", "leaves", "totals alone")
            due(not self.leaves and not self.seed, "leaves", "lines and totals")
            self._totals_under(root, count)
            return
        due(len(self.seed) == 16, "leaves", "the seed has 16 bytes")
        due(len(self.leaves) == count, "leaves", "another number")
        due(tree.root(salted.leaves(self.seed, self.leaves)) == root, "leaves", "another root")

    def _totals_under(self, root, count):
        salt, content = self.totals.get("salt", b""), self.totals.get("content", b"")
        path = self.totals.get("path", [])
        due(len(salt) == 16 and 1 <= count <= MOST_LEAVES, "leaves", "totals")
        due(all(len(hash_) == 32 for hash_ in path), "leaves", "path")
        leaf = salted.leaf(salt, content)
        due(tree.verify_inclusion(leaf, 0, count, root, path), "leaves", "path")

    def shown(self):
        """What is shown, as (index, content)."""
        if self.totals is not None:
            return [(0, self.totals.get("content", b""))]
        return list(enumerate(self.leaves))


def spell(statement, leaves=(), seed=b""):
    return protobuf.encode("Envelope", {"statement": statement, "leaves": list(leaves), "seed": seed})
