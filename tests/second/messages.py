"""The messages of FORMAT.md section 18, read from its tables: the text is the schema."""

import re
from collections import namedtuple
from pathlib import Path

Field = namedtuple("Field", "number name type label")

FORMAT = Path(__file__).resolve().parents[2] / "proto" / "FORMAT.md"

SCALARS = {"bytes", "string", "bool", "uint32", "uint64"}

# Section 15 spells these in a block of their own.
BUNDLE = {
    "Frame": [
        Field(1, "head", "EvidenceHead", "one of"),
        Field(2, "entry", "EvidenceEntry", "one of"),
        Field(3, "proof", "EvidenceProof", "one of"),
    ],
    "EvidenceHead": [
        Field(1, "size", "uint64", ""),
        Field(2, "root", "bytes", ""),
        Field(3, "entries", "uint64", ""),
        Field(4, "hashes", "uint64", ""),
    ],
    "EvidenceEntry": [
        Field(1, "index", "uint64", ""),
        Field(2, "statement", "bytes", ""),
        Field(3, "shown", "EvidenceLeaf", "repeated"),
        Field(4, "proof", "bytes", ""),
    ],
    "EvidenceLeaf": [
        Field(1, "index", "uint32", ""),
        Field(2, "salt", "bytes", ""),
        Field(3, "content", "bytes", ""),
    ],
    "EvidenceProof": [Field(1, "hashes", "bytes", "")],
}


def _read():
    text = FORMAT.read_text(encoding="utf-8")
    text = text.split("<!-- messages -->", 1)[1].split("<!-- end messages -->", 1)[0]
    messages, enums = dict(BUNDLE), {}
    for part in text.split("\n### ")[1:]:
        name, body = part.split("\n", 1)
        values = re.findall(r"(-?\d+) `([A-Z0-9_]+)`", body)
        if values:
            enums[name] = {int(number): label for number, label in values}
            continue
        fields = []
        for row in re.findall(r"^\| (\d+) \| `(\w+)` \| ([\w ]+?) \|", body, re.M):
            number, field, kind = row
            label, _, kind = kind.rpartition(" ")
            fields.append(Field(int(number), field, kind, label))
        messages[name] = fields
    return messages, enums


MESSAGES, ENUMS = _read()


def kinds():
    """The kinds of version 1, as section 1 lists them."""
    text = FORMAT.read_text(encoding="utf-8")
    block = text.split("Version 1 of these kinds is\nknown:\n\n", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"`([a-z-]+)`", block)


def message_of(kind):
    """`host-event` is `HostEvent`."""
    return "".join(word.capitalize() for word in kind.split("-"))
