"""The files of a bundle: FORMAT.md section 15."""

import protobuf
import tree
from note import decimal
from refused import Refused, due

MAGIC = b"affiant-evidence/1\n"
MOST_FRAME = 4_194_304
MOST_ENTRIES = 16_777_216
PER_FRAME = 1024
MOST_EARLIER = 256


def frames(data):
    """The parts of an evidence file in their order."""
    due(data.startswith(MAGIC), "evidence", "another file")
    at = len(MAGIC)
    while at < len(data):
        try:
            length, start = protobuf.read_varint(data, at)
            due(length < MOST_FRAME and start - at <= 4, "evidence", "a frame too long")
            due(protobuf.varint(length) == data[at:start], "evidence", "length of a frame")
            due(length <= len(data) - start, "evidence", "cut off")
            frame, same = protobuf.one_spelling("Frame", data[start : start + length])
        except protobuf.NotAMessage as why:
            raise Refused("evidence", str(why)) from why
        due(same and len(frame) == 1, "evidence", "a frame in another spelling")
        yield next(iter(frame.items()))
        at = start + length


def joined(data):
    """Hashes that are written one after the other."""
    due(len(data) % 32 == 0, "evidence", "not whole hashes")
    return [data[at : at + 32] for at in range(0, len(data), 32)]


class Evidence:
    """Head, entries and multi-proof of `evidence.bin`; nothing is believed yet."""

    def __init__(self, data):
        parts = list(frames(data))
        due(parts and parts[0][0] == "head", "evidence", "no head")
        head = parts[0][1]
        self.size, self.root = head.get("size", 0), head.get("root", b"")
        count, hashes = head.get("entries", 0), head.get("hashes", 0)
        due(len(self.root) == 32, "evidence", "root")
        due(count <= MOST_ENTRIES, "evidence", "too many entries")
        entries, proofs = parts[1 : 1 + count], parts[1 + count :]
        due(len(entries) == count, "evidence", "fewer entries than the head says")
        due(all(kind == "entry" for kind, _ in entries), "evidence", "not an entry")
        due(all(kind == "proof" for kind, _ in proofs), "evidence", "not a proof")
        self.entries = [entry for _, entry in entries]
        self._ordered()
        self.proof = []
        for number, (_, part) in enumerate(proofs):
            hashes_ = joined(part.get("hashes", b""))
            last = number == len(proofs) - 1
            due(0 < len(hashes_) <= PER_FRAME, "evidence", "proof frame")
            due(last or len(hashes_) == PER_FRAME, "evidence", "proof frame")
            self.proof += hashes_
        due(len(self.proof) == hashes, "evidence", "another number of hashes")

    def _ordered(self):
        last = -1
        for entry in self.entries:
            index = entry.get("index", 0)
            due(last < index < self.size, "evidence", "entries out of order")
            last = index
            places = [leaf.get("index", 0) for leaf in entry.get("shown", [])]
            due(all(a < b for a, b in zip(places, places[1:])), "evidence", "leaves out of order")
            due(all(len(leaf.get("salt", b"")) == 16 for leaf in entry.get("shown", [])), "evidence")


def earlier(data, size, root):
    """The earlier states of `consistency`, each proved against size and root of the checkpoint."""
    code = "consistency"
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as why:
        raise Refused(code, "not text") from why
    head, *blocks = text.split("\n\n")
    lines = head.split("\n")
    due(lines[0] == "affiant consistency 1", code, "first line")
    if lines == ["affiant consistency 1", ""]:
        return {}
    due(blocks and blocks[-1] == "", code, "no empty line at its end")
    blocks = ["\n".join(lines[1:]), *blocks[:-1]]
    due(len(blocks) <= MOST_EARLIER, code, "too many")
    found, last = {}, 0
    for block in blocks:
        first, *proof = block.split("\n")
        words = first.split(" ")
        due(len(words) == 3 and words[0] == "old", code, "a line of 'old'")
        old = decimal(words[1], size)
        due(old is not None and last < old, code, "sizes rise")
        old_root = digits(words[2])
        good = tree.verify_consistency(old, old_root, size, root, [digits(hash_) for hash_ in proof])
        due(good, code, f"the log did not grow from size {old}")
        found[old] = old_root
        last = old
    return found


def digits(text):
    """A hash in 64 hexadecimal digits in lower case."""
    due(len(text) == 64 and set(text) <= set("0123456789abcdef"), "consistency", "a hash")
    return bytes.fromhex(text)
