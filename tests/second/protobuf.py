"""Protobuf, read as any reader does and written in the one spelling of FORMAT.md section 2.

A message is a dict; what is absent is not in it. `get` gives the default of a field.
"""

from messages import ENUMS, MESSAGES, SCALARS

U64 = (1 << 64) - 1


class NotAMessage(Exception):
    """The bytes are no protobuf message of the type."""


def varint(value):
    """Spells an unsigned number of up to 64 bits in its shortest form."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data, at):
    """Reads a varint of up to ten bytes, shortest or not; gives value and what comes after."""
    value = 0
    for count in range(10):
        if at >= len(data):
            raise NotAMessage("cut off in a varint")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            if value > U64:
                raise NotAMessage("a varint above 64 bits")
            return value, at
    raise NotAMessage("a varint of more than ten bytes")


def _block(data, at):
    length, at = read_varint(data, at)
    if length > len(data) - at:
        raise NotAMessage("cut off in a field")
    return data[at : at + length], at + length


def _skip(data, at, number, wire, depth=0):
    if wire == 0:
        return read_varint(data, at)[1]
    if wire == 2:
        return _block(data, at)[1]
    if wire in (1, 5):
        at += 8 if wire == 1 else 4
        if at > len(data):
            raise NotAMessage("cut off in a number")
        return at
    if wire == 3 and depth < 100:
        while True:
            inner, kind, at = _tag(data, at)
            if kind == 4:
                if inner != number:
                    raise NotAMessage("a group that another one ends")
                return at
            at = _skip(data, at, inner, kind, depth + 1)
    raise NotAMessage("a wire type that no field has")


def _tag(data, at):
    tag, at = read_varint(data, at)
    number, wire = tag >> 3, tag & 7
    if not 1 <= number < 1 << 29 or wire > 5:
        raise NotAMessage("a tag that no field has")
    return number, wire, at


def _scalar(field, data, at):
    """Reads one value of a field, with what its type can hold."""
    if field.type in ("uint32", "uint64", "bool") or field.type in ENUMS:
        value, at = read_varint(data, at)
        if field.type == "uint32":
            value &= 0xFFFFFFFF
        elif field.type == "bool":
            value = value != 0
        elif field.type in ENUMS:
            value &= 0xFFFFFFFF
            value -= (value & 0x80000000) << 1
        return value, at
    value, at = _block(data, at)
    if field.type == "string":
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as why:
            raise NotAMessage(f"{field.name} is not UTF-8") from why
    elif field.type not in SCALARS:
        value = decode(field.type, value)
    return value, at


def decode(name, data):
    """Reads a message of type `name`; what is spelled in another way is read, too."""
    fields = {field.number: field for field in MESSAGES[name]}
    out, at = {}, 0
    while at < len(data):
        number, wire, at = _tag(data, at)
        field = fields.get(number)
        if field is None:
            at = _skip(data, at, number, wire)
            continue
        length_delimited = not (field.type in ("uint32", "uint64", "bool") or field.type in ENUMS)
        if wire != (2 if length_delimited else 0):
            raise NotAMessage(f"{field.name} has another wire type")
        value, at = _scalar(field, data, at)
        if field.label == "repeated":
            out.setdefault(field.name, []).append(value)
            continue
        if field.label == "one of":
            for other in MESSAGES[name]:
                if other.label == "one of":
                    out.pop(other.name, None)
        out[field.name] = value
    return out


def encode(name, message):
    """Spells a message; fields of `message` at their default are left out where they must be."""
    out = bytearray()
    for field in MESSAGES[name]:
        if field.name not in message or message[field.name] is None:
            continue
        value = message[field.name]
        for one in value if field.label == "repeated" else [value]:
            out += _field(field, one)
    return bytes(out)


def _field(field, value):
    if field.type in ("uint32", "uint64", "bool") or field.type in ENUMS:
        if not value and field.label == "":
            return b""
        return varint(field.number << 3) + varint(int(value) & U64)
    if field.type == "string":
        value = value.encode("utf-8")
    elif field.type not in SCALARS:
        value = encode(field.type, value)
    if not value and field.label == "" and field.type in SCALARS:
        return b""
    return varint(field.number << 3 | 2) + varint(len(value)) + value


def one_spelling(name, data):
    """Reads a message and tells whether `data` is its one spelling."""
    message = decode(name, data)
    return message, encode(name, message) == data



def get(message, field, default=0):
    """Gives a field that is written without presence: its default where it is absent."""
    return message.get(field, default)
