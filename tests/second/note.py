"""Names, verifier keys, notes, checkpoints, cosignatures, requests: FORMAT.md section 9."""

import base64
import binascii
import unicodedata
from hashlib import sha256

import tree
from keys import ED25519, Key
from refused import Refused, due

MOST = 1_048_576
DASH = "\u2014 "

# Unicode's White_Space property, which is not what `str.isspace` asks.
WHITE_SPACE = set(
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"
    + "".join(chr(code) for code in range(0x2000, 0x200B))
)


def is_name(text, most):
    if not 1 <= len(text.encode("utf-8")) <= most:
        return False
    return not any(
        char == "+" or char in WHITE_SPACE or unicodedata.category(char) == "Cc" for char in text
    )


def unbase64(text):
    """Standard base64, padded, spare bits zero; None where it is not."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None


def decimal(text, most):
    """A number without leading zero, at most `most`; None where it is not."""
    if not text.isascii() or not text.isdigit() or (len(text) > 1 and text[0] == "0"):
        return None
    return int(text) if len(text) < 21 and int(text) <= most else None


class VerifierKey:
    """`name+id+key`: t is 1 for the log's key and 4 for a witness's."""

    def __init__(self, text, t):
        parts = text.split("+", 2)
        due(len(parts) == 3 and is_name(parts[0], 255), "vkey", "not name+id+key")
        data = unbase64(parts[2])
        due(data and data[0] == t, "vkey", "another type of key")
        try:
            self.key = Key(ED25519, data[1:])
        except Refused as why:
            raise Refused("vkey", str(why)) from why
        self.name, self.t = parts[0], t
        self.id = sha256(self.name.encode() + b"\n" + data).digest()[:4]
        due(parts[1] == self.id.hex(), "vkey", "the id is not that of name and key")

    @staticmethod
    def spell(name, t, public):
        data = bytes([t]) + public
        id_ = sha256(name.encode() + b"\n" + data).hexdigest()[:8]
        return f"{name}+{id_}+{base64.b64encode(data).decode()}"


class Note:
    """A text with its signature lines, which prove nothing before they are verified."""

    def __init__(self, data, code="note"):
        due(len(data) <= MOST, code, "too long")
        try:
            whole = data.decode("utf-8")
        except UnicodeDecodeError as why:
            raise Refused(code, "not UTF-8") from why
        due(not any(byte < 0x20 and byte != 0x0A for byte in data), code, "control characters")
        text, blank, lines = whole.rpartition("\n\n")
        due(blank and lines.endswith("\n"), code, "no signature lines after an empty line")
        self.text = text + "\n"
        self.lines = [self._line(line, code) for line in lines[:-1].split("\n")]
        due(len(self.lines) <= 100, code, "more than a hundred signatures")

    @staticmethod
    def _line(line, code):
        due(line.startswith(DASH), code, "not a signature line")
        name, space, encoded = line[len(DASH) :].partition(" ")
        data = unbase64(encoded)
        due(space and is_name(name, 255) and data and len(data) > 4, code, "not a signature line")
        return name, data[:4], data[4:]

    def of(self, key):
        """The signatures of lines that name this key."""
        return [data for name, id_, data in self.lines if (name, id_) == (key.name, key.id)]

    def is_signed_by(self, key):
        lines = self.of(key)
        return bool(lines) and all(key.key.verify(self.text.encode(), line) for line in lines)

    def cosigned_by(self, key):
        """When a witness cosigned, the earliest time; None where it did not; refused if badly."""
        times = []
        for line in self.of(key):
            due(len(line) == 72, "note", "a cosignature has 8 and 64 bytes")
            seconds = int.from_bytes(line[:8], "big")
            due(seconds < 1 << 63, "note", "a time beyond the format")
            signed = f"cosignature/v1\ntime {seconds}\n{self.text}".encode()
            due(key.key.verify(signed, line[8:]), "note", "a cosignature that does not verify")
            times.append(seconds)
        return min(times) if times else None


class Checkpoint:
    """What a log says that its tree is."""

    def __init__(self, text):
        due(text.endswith("\n"), "checkpoint", "no newline at its end")
        lines = text[:-1].split("\n")
        due(len(lines) >= 3 and all(lines), "checkpoint", "three lines are due, none empty")
        due(is_name(lines[0], 100), "checkpoint", "origin")
        size = decimal(lines[1], tree.MAX_SIZE)
        due(size is not None, "checkpoint", "size")
        root = unbase64(lines[2])
        due(root and len(root) == 32, "checkpoint", "root")
        due(size > 0 or root == tree.EMPTY, "checkpoint", "an empty tree with another root")
        self.origin, self.size, self.root = lines[0], size, root


def opened(data, key):
    """The checkpoint of a note that the log's key signed, with the note."""
    signed = Note(data)
    due(signed.is_signed_by(key), "checkpoint", "not signed by the log's key")
    checkpoint = Checkpoint(signed.text)
    due(checkpoint.origin == key.name, "checkpoint", "of a log that the key does not speak for")
    return checkpoint, signed


def add_checkpoint(data):
    """Reads a request: old size, proof, note."""
    code = "add-checkpoint"
    head, found, rest = data.partition(b"\n")
    try:
        old = decimal(head.decode("utf-8").removeprefix("old "), tree.MAX_SIZE)
    except UnicodeDecodeError as why:
        raise Refused(code, "not UTF-8") from why
    due(found and head.startswith(b"old ") and old is not None, code, "old size")
    proof = []
    while True:
        line, found, rest = rest.partition(b"\n")
        due(found, code, "cut off")
        if not line:
            break
        hash_ = unbase64(line.decode("latin-1"))
        due(len(proof) < 63 and hash_ and len(hash_) == 32, code, "proof line")
        proof.append(hash_)
    return old, proof, Note(rest, code)
