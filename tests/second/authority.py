"""Operator and officers: revocations, successions, officers admitted. FORMAT.md section 5.

Statements come in the order of the log; each is judged by its index, never by a claimed time.
"""

from hashlib import sha256

import protobuf
from chain import MAY_HOLD, opened
from keys import ED25519, Key
from refused import Refused, due
from statement import checkpoint_ref

RECORD, OFFICER, TLS, CA = 1, 2, 3, 4
LOOKED_AT = 16


class Generation:
    """One origin and key of the log; all but the first were opened by a succession."""

    def __init__(self, origin, key, kept=None, last=None, approvers=(), index=0):
        self.origin, self.key = origin, key
        self.kept, self.last = kept, last
        self.approvers, self.index = approvers, index

    def kept_size(self):
        return self.kept["size"] if self.kept else 0


class Authorities:
    """What the log has said, so far, of who speaks for it."""

    def __init__(self, genesis):
        self.operator = opened(genesis, None)
        self.genesis = genesis.digest
        body = genesis.body
        self.listed = {}
        for one in body.get("officers", []):
            self.listed.setdefault(one.get("key", b""), set()).add(folded(one.get("name", "")))
        self.officers = {}
        self.revoked = {}
        self.generations = [Generation(body["origin"], body["log_key"])]
        self.authorities = [body["ca"]]
        # Every key that the operator or an officer has or had; one that is listed counts from its
        # opening on.
        self.used = {self.operator.key.public}

    def origin(self):
        return self.generations[-1].origin

    # ---- revocations ----

    def refused_at(self, use, name, index):
        """Whether what a key says at an index is refused: it stands behind the revocation."""
        found = self.revoked.get((use, name))
        return found is not None and index > found[1]

    def suspect_at(self, use, name, index):
        found = self.revoked.get((use, name))
        return found is not None and found[0] <= index <= found[1]

    def _revocation(self, statement, index, by_officer):
        body = statement.body
        name, use, start = body.get("key_id", b""), body.get("use", 0), body.get("from_index", 0)
        due(len(name) == 16 and use in (RECORD, OFFICER, TLS, CA), "revocation")
        due(not by_officer or use == OFFICER, "revocation", "an officer revokes officers' keys")
        due(start <= index, "revocation", "from an index that is not there")
        before = self.revoked.get((use, name))
        due(before is None or start < before[0], "revocation", "revoked already")
        self.revoked[use, name] = (start, before[1] if before else index)

    # ---- statements ----

    def admit(self, statement, index, hole=False):
        """Admits a statement of the operator or an officer at its place in the log.

        With `hole`, statements before it in its chain may not be shown.
        """
        if statement.known and statement.kind == "officer":
            return self._officer(statement, index)
        if statement.chain == self.operator.name:
            chain = self.operator
        else:
            chain = self.officers.get(statement.chain)
            due(chain is not None, "other-chain")
        # Of operator and officers the kind is looked at before the place, of hosts after it.
        due(not statement.known or statement.kind in MAY_HOLD[chain.opener.kind], "kind")
        if chain is not self.operator:
            due(not self.refused_at(OFFICER, statement.key_id, index), "revoked")
        if statement.known and statement.kind == "succession" and chain is self.operator:
            return self._succession(statement, index, hole)
        state = (chain.sequence, chain.head, chain.key, list(chain.keys), chain.ca)
        try:
            chain.follow(statement, hole)
            if statement.known:
                self._means(statement, index, chain)
        except Refused:
            chain.sequence, chain.head, chain.key, chain.keys, chain.ca = state
            raise
        return chain

    def _means(self, statement, index, chain):
        if statement.kind == "revocation":
            self._revocation(statement, index, chain is not self.operator)
        if statement.kind == "key":
            new, ca = statement.body.get("new_key", b""), statement.body.get("ca", b"")
            if ca:
                due(not self.refused_at(CA, ca[:16], index), "revoked")
                self.authorities.append(ca)
                return
            due(new not in self.used, "key", "a key that has or had another use")
            due(not self.refused_at(OFFICER, chain.key.id, index), "revoked")
            self.used.add(new)

    def _officer(self, statement, index):
        chain = opened(statement, self.genesis)
        key = chain.key.public
        if key not in self.listed:
            name = statement.body.get("name", "").encode()
            signed = b"affiant officer\0" + self.genesis + key + name
            approvers = self.approvers(statement, signed, index)
            due(persons(names for _, _, names in approvers) >= 2, "officer")
        due(not self.refused_at(OFFICER, chain.key.id, index), "revoked")
        due(all(key != other.keys[0] for other in self.officers.values()), "past")
        due(key not in self.used, "key", "a key that has or had another use")
        self.used.add(key)
        self.officers[chain.name] = chain
        return chain

    # ---- succession ----

    def fate(self, origin, size, root):
        """What a checkpoint of a generation is worth now: standing, lost, hidden or foreign."""
        at = next((n for n, one in enumerate(self.generations) if one.origin == origin), None)
        if at is None:
            return "foreign"
        if at > 0 and size <= self.generations[at].kept_size():
            return "foreign"
        if at + 1 == len(self.generations):
            return "standing"
        after = self.generations[at + 1]
        if size <= after.kept_size():
            return "standing"
        last = after.last
        declared = size < last["size"] or (size, root) == (last["size"], last["root"])
        return "lost" if declared else "hidden"

    def _succession(self, statement, index, hole):
        """The next generation of the log; refused leaves all as it was."""
        chain, body = self.operator, statement.body
        if not (hole and statement.sequence > chain.sequence + 1):
            due(statement.sequence <= chain.sequence + 1, "missing")
            due(statement.sequence == chain.sequence + 1, "past")
            due(statement.previous == chain.head, "forked")
        key = Key(ED25519, body.get("operator_key", b""))
        due(statement.is_signed_by(key), "signature")
        same = key.public == chain.key.public
        due(same or key.public not in self.used, "key", "a key that has or had another use")

        self._kept(body, index)
        origin, log_key = body.get("origin", ""), body.get("log_key", b"")
        due(origin == successor(self.origin()), "succession", "origin")
        try:
            Key(ED25519, log_key)
        except Refused as why:
            raise Refused("succession", "log key") from why
        due(all(log_key != before.key for before in self.generations), "succession", "log key")
        bare = {k: v for k, v in body.items() if k not in ("header", "approvals")}
        content = sha256(protobuf.encode("Succession", bare)).digest()
        signed = b"affiant succession\0" + self.genesis + content
        approvers = self.approvers(statement, signed, index)
        due(persons(names for _, _, names in approvers) >= 2, "succession", "approvals")

        chain.advance(statement, key if not same else None, False)
        self.used.add(key.public)
        opening = Generation(origin, log_key, body["kept"], body["last"], approvers, index)
        self.generations.append(opening)
        return chain

    def _kept(self, body, index):
        kept, last = body.get("kept"), body.get("last")
        due(kept is not None and last is not None, "succession", "kept and last")
        for reference in (kept, last):
            checkpoint_ref(reference, "succession")
            due(reference["origin"] == self.origin(), "succession", "of another generation")
        due(last["size"] >= kept["size"] > self.generations[-1].kept_size(), "succession", "sizes")
        due(last["size"] > kept["size"] or last["root"] == kept["root"], "succession", "roots")
        due(kept["size"] <= index, "succession", "keeps what is not there")

    # ---- approvals ----

    def approvers(self, statement, signed, index):
        """The different officers whose approvals of `signed` hold: key, first key and names of each."""
        opened_by = {chain.keys[0] for chain in self.officers.values()}
        found = {}
        for approval in statement.body.get("approvals", [])[:LOOKED_AT]:
            who = approval.get("officer", b"")
            if who in self.officers:
                chain = self.officers[who]
                key, first = chain.key, chain.keys[0]
                names = {folded(chain.opener.body.get("name", ""))}
                names = names.union(*(self.listed.get(one, ()) for one in chain.keys))
            elif who in self.listed and who not in opened_by:
                key, first, names = Key(ED25519, who), who, self.listed[who]
            else:
                continue
            if self.refused_at(OFFICER, key.id, index):
                continue
            if key.verify(signed, approval.get("signature", b"")):
                found[who] = (key, first, names)
        return list(found.values())


WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


def folded(name):
    """A name as names of officers are compared."""
    return name.strip(WHITE).lower()


def persons(officers):
    """How many persons officers are, by the names of each: with one in common, two are one."""
    groups = []
    for names in officers:
        same = [group for group in groups if group & names]
        groups = [group for group in groups if not group & names]
        groups.append(set(names).union(*same))
    return len(groups)


def successor(origin):
    """The number after the last `/` plus one, or `/2` where there is none."""
    name, slash, number = origin.rpartition("/")
    canonical = number.isascii() and number.isdigit() and str(int(number)) == number
    if slash and canonical:
        return f"{name}/{int(number) + 1}"
    return f"{origin}/2"
