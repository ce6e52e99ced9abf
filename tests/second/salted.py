"""Salted trees: FORMAT.md section 6."""

import hmac
from hashlib import sha256

import tree


def salt(seed, index):
    message = b"affiant salt" + index.to_bytes(4, "big")
    return hmac.new(seed, message, sha256).digest()[:16]


def leaf(salt_, content):
    return tree.leaf_hash(salt_ + content)


def leaves(seed, contents):
    """The leaf hashes of contents under a seed."""
    return [leaf(salt(seed, index), content) for index, content in enumerate(contents)]


def shown(disclosed, count, root, proof):
    """Tells whether disclosed (index, salt, content), rising, stand under `root`."""
    pairs = [(index, leaf(salt_, content)) for index, salt_, content in disclosed]
    return tree.verify_multi(pairs, count, root, proof)
