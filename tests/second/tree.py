"""RFC 6962 trees, their proofs, and the multi-proof of FORMAT.md section 6."""

from bisect import bisect_left
from hashlib import sha256

EMPTY = sha256(b"").digest()
MAX_SIZE = 1 << 63


def leaf_hash(data):
    return sha256(b"\0" + data).digest()


def node_hash(left, right):
    return sha256(b"\1" + left + right).digest()


def split(count):
    """The largest power of two below `count`, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1


def root(leaves):
    """The root over leaf hashes."""
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return node_hash(root(leaves[:k]), root(leaves[k:]))


def multi_proof(leaves, shown):
    """The hashes of the largest subtrees without a shown leaf, from left to right."""
    if not leaves:
        return []
    out = []

    def walk(start, end):
        if not any(start <= index < end for index in shown):
            out.append(root(leaves[start:end]))
        elif end - start > 1:
            middle = start + split(end - start)
            walk(start, middle)
            walk(middle, end)

    walk(0, len(leaves))
    return out


class Known:
    """The subtrees whose hashes a multi-proof and its leaves give."""

    def __init__(self, size):
        self.size = size
        self.hashes = {}
        self.entered = set()

    def root_at(self, size):
        """The root of the first `size` leaves; None where what is hidden lies across its edge."""
        return EMPTY if size == 0 else self._of(0, size)

    def _of(self, start, end):
        found = self.hashes.get((start, end))
        if found:
            return found
        length = end - start
        complete = length & (length - 1) == 0 and start % length == 0
        if complete and (start, end) not in self.entered:
            return None
        middle = start + split(length)
        left = self._of(start, middle)
        right = left and self._of(middle, end)
        return node_hash(left, right) if right else None


def walk_multi(leaves, size, proof):
    """Walks a multi-proof: `leaves` are rising (index, hash). Gives all subtrees that it names.

    None where hashes run out or are left over; the caller compares `root_at(size)`.
    """
    known, rest = Known(size), iter(proof)
    indices = [index for index, _ in leaves]

    def walk(start, end, first, last):
        if first == last:
            found = next(rest, None)
            if found is None:
                return False
            known.hashes[start, end] = found
            return True
        if end - start == 1:
            known.hashes[start, end] = leaves[first][1]
            return True
        known.entered.add((start, end))
        middle = start + split(end - start)
        cut = bisect_left(indices, middle, first, last)
        return walk(start, middle, first, cut) and walk(middle, end, cut, last)

    if size == 0:
        return known if not proof and not leaves else None
    if not walk(0, size, 0, len(leaves)) or next(rest, None) is not None:
        return None
    return known


def verify_multi(leaves, size, expected, proof):
    """Tells whether rising (index, leaf hash) are in the tree of `size` under `expected`."""
    last = -1
    for index, _ in leaves:
        if not last < index < size:
            return False
        last = index
    known = walk_multi(leaves, size, proof)
    return known is not None and known.root_at(size) == expected


def verify_inclusion(leaf, index, size, expected, proof):
    """RFC 9162 section 2.1.3.2."""
    if not index < size <= MAX_SIZE:
        return False
    node, last, value = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            value = node_hash(sibling, value)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            value = node_hash(value, sibling)
        node >>= 1
        last >>= 1
    return last == 0 and value == expected


def verify_consistency(old, old_root, new, new_root, proof):
    """RFC 9162 section 2.1.4.2; nothing is due from the empty tree and between equal sizes."""
    if not old <= new <= MAX_SIZE:
        return False
    if old == new:
        return old_root == new_root and not proof
    if old == 0:
        return old_root == EMPTY and not proof
    if old & (old - 1) == 0:
        proof = [old_root] + list(proof)
    if not proof:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node >>= 1
        last >>= 1
    first = second = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            second = node_hash(second, sibling)
        node >>= 1
        last >>= 1
    return last == 0 and first == old_root and second == new_root
