"""The statement: FORMAT.md sections 1 to 3."""

import re
from hashlib import sha256

import messages
import note
import protobuf
from keys import ED25519, ESP256
from refused import Refused, due

MOST = 65536
KINDS = set(messages.kinds())
CONTENT_TYPE = re.compile(
    r"application/vnd\.affiant\.([a-z-]{1,40})\.v([1-9][0-9]{0,3})\+protobuf", re.ASCII
)
ALGORITHMS = {0x32: ED25519, 0x28: ESP256}


def byte_string(data, major=0x40):
    """Spells a CBOR string of up to 65,535 bytes."""
    if len(data) <= 23:
        return bytes([major + len(data)]) + data
    if len(data) <= 0xFF:
        return bytes([major + 24, len(data)]) + data
    return bytes([major + 25]) + len(data).to_bytes(2, "big") + data


class Cursor:
    """Reads the one accepted layout and refuses any other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        due(self.at + count <= len(self.data), "wrapper", "cut off")
        self.at += count
        return self.data[self.at - count : self.at]

    def literal(self, expected):
        due(self.take(len(expected)) == expected, "wrapper", f"{expected.hex()} is due")

    def string(self, major=0x40):
        head = self.take(1)[0] - major
        if head == 24:
            length = self.take(1)[0]
            due(length > 23, "wrapper", "a longer length than is needed")
        elif head == 25:
            length = int.from_bytes(self.take(2), "big")
            due(length > 0xFF, "wrapper", "a longer length than is needed")
        else:
            due(0 <= head <= 23, "wrapper", "a string of definite length is due")
            length = head
        return self.take(length)

    def end(self):
        due(self.at == len(self.data), "wrapper", "something follows")


class Statement:
    """A statement that reads; its signature is not looked at."""

    def __init__(self, data):
        due(len(data) <= MOST, "too-long")
        outer = Cursor(data)
        outer.literal(b"\x84")
        self.protected = outer.string()
        outer.literal(b"\xa0")
        self.payload = outer.string()
        outer.literal(b"\x58\x40")
        self.signature = outer.take(64)
        outer.end()

        inner = Cursor(self.protected)
        inner.literal(b"\xa3\x01")
        algorithm = inner.take(1)[0]
        due(algorithm in ALGORITHMS, "wrapper", "an algorithm that is not known")
        self.algorithm = ALGORITHMS[algorithm]
        inner.literal(b"\x03")
        content_type = inner.string(0x60)
        inner.literal(b"\x04\x50")
        self.key_id = inner.take(16)
        inner.end()

        found = CONTENT_TYPE.fullmatch(content_type.decode("latin-1"))
        due(found, "content-type")
        self.kind, self.version = found[1], int(found[2])
        self.known = self.version == 1 and self.kind in KINDS
        self.digest = sha256(data).digest()
        self.bytes = data
        self.body = self._known() if self.known else self._unknown()
        self._header()

    def _known(self):
        try:
            body, same = protobuf.one_spelling(messages.message_of(self.kind), self.payload)
        except protobuf.NotAMessage as why:
            raise Refused("payload", str(why)) from why
        due(same, "respelled")
        due("header" in body, "header", "there is none")
        return body

    def _unknown(self):
        """Only the header is read of a kind that is not known."""
        try:
            due(self.payload[:1] == b"\x0a", "header", "does not begin with one")
            length, at = protobuf.read_varint(self.payload, 1)
            due(protobuf.varint(length) == self.payload[1:at], "respelled")
            due(length <= len(self.payload) - at, "payload", "cut off")
            header, same = protobuf.one_spelling("Header", self.payload[at : at + length])
        except protobuf.NotAMessage as why:
            raise Refused("payload", str(why)) from why
        due(same, "respelled")
        return {"header": header}

    def _header(self):
        header = self.body["header"]
        self.chain = header.get("chain", b"")
        self.sequence = header.get("sequence", 0)
        self.previous = header.get("previous", b"")
        due(len(self.chain) in (0, 32), "header", "chain")
        opens = not self.chain
        due(opens == (self.sequence == 0), "header", "sequence")
        due(len(self.previous) == (0 if opens else 32), "header", "previous")
        due("time" in header, "header", "time")
        due(header["time"].get("clock", 0) in (1, 2, 3), "header", "clock")
        self.unix_ms = header["time"].get("unix_ms", 0)
        self.checkpoint = header.get("checkpoint")
        if self.checkpoint is not None:
            checkpoint_ref(self.checkpoint, "header")

    def signed(self):
        """The bytes under the signature: Sig_structure of RFC 9052."""
        return signed_bytes(self.protected, self.payload)

    def is_signed_by(self, key):
        return (
            self.key_id == key.id
            and self.algorithm == key.algorithm
            and key.verify(self.signed(), self.signature)
        )


def checkpoint_ref(reference, code):
    """A `CheckpointRef` that names a log, a size and a root."""
    due(note.is_name(reference.get("origin", ""), 100), code, "origin")
    due(reference.get("size", 0) >= 1, code, "size")
    due(len(reference.get("root", b"")) == 32, code, "root")


def protected_of(kind, key_id):
    """Spells the protected header of a statement that an Ed25519 key signs."""
    content_type = f"application/vnd.affiant.{kind}.v1+protobuf".encode()
    return b"\xa3\x01\x32\x03" + byte_string(content_type, 0x60) + b"\x04\x50" + key_id


def signed_bytes(protected, payload):
    return b"\x84\x6aSignature1" + byte_string(protected) + b"\x40" + byte_string(payload)


def spell(protected, payload, signature):
    return b"\x84" + byte_string(protected) + b"\xa0" + byte_string(payload) + b"\x58\x40" + signature
