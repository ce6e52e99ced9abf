"""Keys and signatures: FORMAT.md section 4.

OpenSSL does the arithmetic. What the format asks beyond it is checked here, in words of its own:
which public keys are refused, S below L, and low s of P-256.
"""

from hashlib import sha256

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from refused import Refused, due

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
HALF_P256 = 0x7FFFFFFF800000007FFFFFFFFFFFFFFFDE737D56D38BCF4279DCE5617E3192A8

SMALL_ORDER = {
    int.from_bytes(bytes.fromhex(y), "little")
    for y in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
}

ED25519, ESP256 = -19, -9


class Key:
    """A public key that passed the checks of section 4."""

    def __init__(self, algorithm, public):
        if algorithm == ED25519:
            due(len(public) == 32, "key", "an Ed25519 key has 32 bytes")
            y = int.from_bytes(public, "little") & (1 << 255) - 1
            due(y < FIELD, "key", "y is not below the field")
            due(y not in SMALL_ORDER, "key", "a point of small order")
        elif algorithm == ESP256:
            due(len(public) == 65 and public[0] == 4, "key", "a P-256 key is 04, x and y")
        else:
            raise Refused("key", "an algorithm that is not known")
        self.algorithm = algorithm
        self.public = bytes(public)
        self.id = sha256(bytes([algorithm & 0xFF]) + self.public).digest()[:16]

    def verify(self, message, signature):
        """Tells whether `signature` is this key's of `message`."""
        if len(signature) != 64:
            return False
        try:
            if self.algorithm == ED25519:
                return self._ed25519(message, signature)
            return self._esp256(message, signature)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False

    def _ed25519(self, message, signature):
        if int.from_bytes(signature[32:], "little") >= ORDER:
            return False
        # OpenSSL encodes S·B − k·A and compares with R as bytes: no cofactor, as it is due.
        ed25519.Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        return True

    def _esp256(self, message, signature):
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        if s > HALF_P256:
            return False
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.public)
        point.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
        return True


def sign(seed, message):
    """Signs with the Ed25519 key of a 32-byte seed: for what the vectors let make."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def public_of(seed):
    """Gives the public bytes of the Ed25519 key of a seed."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
