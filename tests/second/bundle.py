"""Verifying a report without the code that made it: FORMAT.md section 15, "Verifying, in short".

What is checked is all but the rules of the judge: who owns a workload, and what breaks a rule.
"""

import json
import tomllib
from hashlib import sha256
from pathlib import Path

import evidence
import figures
import note
import tree
from authority import OFFICER, persons
from keys import ED25519, Key
from reading import Reading
from refused import Refused, due


class Trust:
    """What a reader trusts, got by another channel."""

    def __init__(self, text):
        file = tomllib.loads(text)
        log = file["log"]
        due("witness_policy" not in file, "trust", "a policy of groups, which is not read here")
        self.log = note.VerifierKey(log["key"], 1)
        due(self.log.name == log["origin"], "trust", "the key is of another origin")
        self.genesis, self.ca = bytes.fromhex(log["genesis"]), bytes.fromhex(file["ca"])
        self.officers = set(file["officers"])
        self.witnesses = [note.VerifierKey(one["key"], 4) for one in file.get("witness", [])]
        names = {key.name for key in self.witnesses} , {key.key.public for key in self.witnesses}
        due(all(len(set_) == len(self.witnesses) for set_ in names), "trust", "a witness twice")
        self.quorum = file.get("quorum", len(self.witnesses))

    def knows(self, public):
        return public.hex() in self.officers or Key(ED25519, public).id.hex() in self.officers


class Verdict:
    """Every check in its order; broken where one of them is."""

    def __init__(self):
        self.checks = []
        self.anchor = "none"

    def broken(self):
        return any(state == "broken" for _, state, _ in self.checks)

    def as_json(self):
        integrity = "broken" if self.broken() else "intact"
        checks = [{"check": c, "state": s, "text": t} for c, s, t in self.checks]
        return {"integrity": integrity, "anchor": self.anchor, "checks": checks}


def verify(folder, trust, since=None):
    """Verifies the bundle in a folder against a trust file and a checkpoint that was kept."""
    verdict = Verdict()
    try:
        _verify(Path(folder), trust, since, verdict)
    except Refused as why:
        verdict.checks.append((why.code, "broken", str(why)))
    except FileNotFoundError as why:
        verdict.checks.append(("files", "broken", f"{Path(why.filename).name} is missing"))
    return verdict


def _verify(folder, trust, since, verdict):
    fine = lambda check, text: verdict.checks.append((check, "fine", text))
    read = lambda name: (folder / name).read_bytes()
    report = read("report.json")
    claim = _claim(report)
    found = evidence.Evidence(read("evidence.bin"))
    reading = Reading(found.entries, claim["size"], claim["period"])
    fine("statements", "every signature, chain and shown line holds")
    strange = _trusted(reading, trust)
    fine("trust", "genesis, log key, authority and officers are those that are trusted")
    if strange:
        verdict.checks.append(("generations", "unknown", f"opened by strangers: {strange}"))

    now, signed = note.opened(read("checkpoint"), _log_key(reading))
    due(now.origin == claim["origin"], "checkpoint", "of another log than the report's")
    fine("checkpoint", f"signed by {now.origin}, size {now.size}")
    due((found.size, found.root) == (now.size, now.root), "inclusion", "of another checkpoint")
    leaves = [
        (entry.get("index", 0), tree.leaf_hash(sha256(entry.get("statement", b"")).digest()))
        for entry in found.entries
    ]
    known = tree.walk_multi(leaves, now.size, found.proof)
    due(known is not None and known.root_at(now.size) == now.root, "inclusion", "not in the log")
    fine("inclusion", f"{len(leaves)} statements are in the log of size {now.size}")

    earlier = evidence.earlier(read("consistency"), now.size, now.root)
    due(earlier.get(claim["size"]) == claim["root"], "consistency", "the basis is not proved")
    fine("consistency", f"{len(earlier)} earlier states, and it only grew since")
    missing = list(reading.missing())
    due(not missing, "whole", "; ".join(missing[:3]))
    fine("whole", f"every entry from {reading.span[0]} on is shown, and no chain has a hole")
    _issued(reading, read("report.cose"), report, claim)
    fine("issued", "the operator signed this very report")

    roots = lambda size: earlier.get(size) or (known.root_at(size) if size <= now.size else None)
    fine("views", _views(reading, roots))
    verdict.anchor = _anchor(reading, trust, signed, since, roots, now, fine)
    fine("figures", figures.held(reading, claim["period"], json.loads(report)))


def _claim(report):
    """What a report says of itself."""
    try:
        said = json.loads(report)
        due(said["schema"] == "affiant-report/1", "report", "of another schema")
        basis, period = said["basis"], said["period"]
        return {
            "origin": basis["origin"],
            "size": basis["size"],
            "root": bytes.fromhex(basis["root"]),
            "period": (period["from_unix_ms"], period["to_unix_ms"]),
            "tenant": said["scope"]["tenant"] or "",
        }
    except (ValueError, KeyError, TypeError, RecursionError) as why:
        raise Refused("report", f"report.json: {why!r}") from why


def _log_key(reading):
    """The key of the log's newest generation."""
    newest = reading.log.generations[-1]
    return note.VerifierKey(note.VerifierKey.spell(newest.origin, 1, newest.key), 1)


def _trusted(reading, trust):
    """Holds who signs against the trust; gives the generations that no two known officers opened."""
    log = reading.log
    due(log.genesis == trust.genesis, "trust", "another genesis")
    due(log.authorities[0] == trust.ca, "trust", "another authority")
    due(all(trust.knows(officer) for officer in log.listed), "officers", "an officer of the genesis")
    keys = [(one.origin, one.key) for one in log.generations]
    own = (trust.log.name, trust.log.key.public)
    due(own in keys, "trust", "another log key")
    strange = []
    for later in log.generations[keys.index(own) + 1 :]:
        known = [
            names
            for key, first, names in later.approvers
            if (trust.knows(key.public) or trust.knows(first))
            and not log.suspect_at(OFFICER, key.id, later.index)
        ]
        if persons(known) < 2:
            strange.append(later.origin)
    return strange


def _issued(reading, cose, report, claim):
    due(reading.issued is not None, "issued", "the log has no statement of it")
    body = reading.issued.body
    due(body.get("report", b"") == sha256(report).digest(), "issued", "another report")
    period = (body.get("from_unix_ms", 0), body.get("to_unix_ms", 0))
    fits = (period, body.get("tenant", "")) == (claim["period"], claim["tenant"])
    due(fits and body.get("size", 0) == claim["size"], "issued", "period, scope or basis")
    due(reading.issued.chain == reading.log.genesis, "issued", "not the operator's")
    due(cose == reading.issued.bytes, "issued", "report.cose is another statement")


def _views(reading, roots):
    """What hosts and witnesses saw, and what successions kept, must be states of this log."""
    log, held, seen = reading.log, 0, {}
    for later in log.generations[1:]:
        here = roots(later.kept["size"])
        due(here in (None, later.kept["root"]), "views", "a succession keeps another tree")
    for origin, size, root in reading.views:
        if origin not in [one.origin for one in log.generations]:
            continue
        due(seen.setdefault((origin, size), root) == root, "views", f"two roots at size {size}")
        fate = log.fate(origin, size, root)
        due(fate in ("standing", "lost"), "views", f"{origin} of size {size} is {fate}")
        here = roots(size) if fate == "standing" else None
        if here is not None:
            due(here == root, "views", f"size {size} was seen under another root")
            held += 1
    return f"{held} states that hosts or witnesses saw are states of this log"


def _anchor(reading, trust, signed, since, roots, now, fine):
    """What outside of the operator vouches for this log."""
    anchor = "none"
    if since is not None:
        anchor = _kept(reading, since, roots, now)
        fine("kept", f"the checkpoint that was kept is {anchor}")
    if trust.witnesses:
        times = [signed.cosigned_by(key) for key in trust.witnesses]
        if sum(time is not None for time in times) >= trust.quorum:
            anchor = "witnessed"
            fine("witnesses", f"{trust.quorum} of the trusted witnesses cosigned")
    return anchor


def _kept(reading, since, roots, now):
    try:
        kept = note.Checkpoint(note.Note(since).text)
    except Refused:
        return "unrelated"
    generation = [one for one in reading.log.generations if one.origin == kept.origin]
    if not generation or kept.size == 0:
        return "unrelated"
    text = note.VerifierKey.spell(kept.origin, 1, generation[0].key)
    if not note.Note(since).is_signed_by(note.VerifierKey(text, 1)):
        return "unrelated"
    fate = reading.log.fate(kept.origin, kept.size, kept.root)
    due(fate in ("standing", "lost"), "kept", f"the kept checkpoint is {fate}")
    if fate == "lost":
        return "lost"
    here = roots(kept.size)
    if kept.size > now.size or here is None:
        return "unrelated"
    due(here == kept.root, "kept", f"at size {kept.size} another root was kept")
    return "kept"
