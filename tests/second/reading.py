"""Reading the evidence of a bundle: signatures, chains, contents, and what is missing."""

import note
import salted
import usage
from authority import RECORD, Authorities
from chain import Host, opened
from envelope import signed_root
from evidence import joined
from refused import Refused, due
from statement import Statement


class Record:
    """A usage record, with what of its lines is shown."""

    def __init__(self, statement, totals, lines, workloads):
        self.statement = statement
        self.body = statement.body
        self.totals, self.lines = totals, lines
        # The workloads in force of which the entry is shown.
        self.workloads = workloads


class Reading:
    """Statements in the order of the log, of which not all are shown."""

    def __init__(self, entries, basis, period):
        self.basis, self.period = basis, period
        self.hosts, self.records, self.views = {}, [], []
        self.alone = set()
        self.log = None
        self.holes = []
        self.clock = None
        self.span = (0, None)
        self.not_shown = []
        self.lines_lost = False
        self.issued = None
        self.entries = 0
        last = -1
        for entry in entries:
            index = entry.get("index", 0)
            statement = Statement(entry.get("statement", b""))
            shown = self._shown(statement, entry)
            if index >= basis:
                self._issued(index, statement)
                continue
            self._place(index, last, statement)
            last = index
            self.entries += 1
            self._admit(index, statement, shown)
        due(self.log is not None, "evidence", "no genesis")
        if self.span[1] is None and last + 1 < basis:
            self.not_shown.append((last + 1, basis - 1))

    @staticmethod
    def _shown(statement, entry):
        """Holds the shown leaves against the root that the statement signs."""
        proof = joined(entry.get("proof", b""))
        leaves = [
            (leaf.get("index", 0), leaf.get("salt", b""), leaf.get("content", b""))
            for leaf in entry.get("shown", [])
        ]
        signs = signed_root(statement)
        if signs is None:
            due(not leaves and not proof, "leaves", "a kind without leaves")
            return []
        root, count = signs
        due(count <= 4097, "leaves", "too many")
        due(salted.shown(leaves, count, root, proof), "leaves", "not under the signed root")
        return [(index, content) for index, _, content in leaves]

    def _issued(self, index, statement):
        """Nothing but the report's own statement comes from the basis on."""
        due(self.issued is None, "evidence", "more than the report's statement after the basis")
        self.log.admit(statement, index, hole=True)
        due(statement.known and statement.kind == "report-issued", "evidence", "not report-issued")
        self.issued = statement

    def _place(self, index, last, statement):
        """Keeps the log's clock, and the span of which every entry is due."""
        if self.span[1] is None and last + 1 < index:
            self.not_shown.append((last + 1, index - 1))
        if not (statement.known and statement.kind == "clock"):
            return
        time = statement.unix_ms
        due(self.clock is None or time > self.clock, "evidence", "the log's clock does not rise")
        self.clock = time
        if time <= self.period[0]:
            self.span = (index, None)
            self.not_shown = []
        elif time > self.period[1] and self.span[1] is None:
            self.span = (self.span[0], index)

    def _admit(self, index, statement, shown):
        if self.log is None:
            due(index == 0 and statement.known and statement.kind == "genesis", "evidence", "genesis")
            self.log = Authorities(statement)
            return
        self._seen(statement)
        if statement.known and statement.kind == "enrolment":
            due(not self.log.refused_at(RECORD, statement.key_id, index), "revoked")
            host = Host.opened(statement, self.log.genesis)
            due(host.name not in self.hosts, "past")
            self.hosts[host.name] = host
            host.shown_workloads = {}
        elif statement.known and statement.kind == "relay-enrolment":
            due(not self.log.refused_at(RECORD, statement.key_id, index), "revoked")
            relay = opened(statement, self.log.genesis)
            due(relay.name not in self.alone, "past")
            self.alone.add(relay.name)
        elif statement.known and statement.kind == "objection":
            objection = opened(statement, self.log.genesis)
            due(objection.name not in self.alone, "past")
            self.alone.add(objection.name)
        elif statement.chain in self.alone:
            raise Refused("kind", "nothing follows in the chain of a relay or an objection")
        elif statement.chain in self.hosts:
            due(not self.log.refused_at(RECORD, statement.key_id, index), "revoked")
            self._host(index, self.hosts[statement.chain], statement, shown)
        else:
            self._other(index, statement)

    def _other(self, index, statement):
        before = self.log.officers.get(statement.chain)
        due_next = before.sequence + 1 if before else None
        self.log.admit(statement, index, hole=True)
        # Of officers everything is shown, whatever the period.
        if due_next is not None and statement.sequence > due_next:
            self.holes.append((statement.chain, due_next, statement.sequence - 1))
        if statement.known and statement.kind == "fork":
            host = self.hosts.get(statement.body.get("chain", b""))
            if host is not None:
                host.frozen = True

    def _host(self, index, host, statement, shown):
        due_next = host.sequence + 1
        over = host.follow(statement, hole=True)
        if over:
            self.holes.append((statement.chain, due_next, statement.sequence - 1, index))
        if not statement.known:
            return
        body = statement.body
        if statement.kind == "inventory":
            usage.inventory(body, recorded=True)
            for _, content in shown:
                usage.entry("Device", content, "leaves")
            host.in_force.inventory = (statement.sequence, body.get("count", 0))
            host.in_force.source = body["source"]
        elif statement.kind == "workloads":
            usage.workloads(body)
            for _, content in shown:
                usage.entry("Workload", content, "leaves")
            host.in_force.workloads = (statement.sequence, body.get("count", 0))
            host.shown_workloads = {place for place, _ in shown}
        elif statement.kind == "usage":
            usage.record(body, host.in_force, recorded=True)
            devices, workloads = host.in_force.inventory[1], host.in_force.workloads[1]
            totals, lines = usage.lines(body, shown, devices, workloads)
            host.in_force.last = (body.get("boot", 0), body.get("end_ms", 0))
            self.records.append(Record(statement, totals, lines, host.shown_workloads))
        elif statement.kind == "gap" and body.get("lines"):
            self.lines_lost = True

    def _seen(self, statement):
        """Notes what a statement saw of the log, as (origin, size, root)."""
        if statement.checkpoint is not None:
            seen = statement.checkpoint
            self.views.append((seen["origin"], seen["size"], seen["root"]))
        if statement.known and statement.kind == "cosigned":
            try:
                text = note.Note(statement.body.get("note", b"")).text
                seen = note.Checkpoint(text)
            except Refused:
                return
            self.views.append((seen.origin, seen.size, seen.root))

    def missing(self):
        """What should be shown and is not, in words."""
        for first, last in self.not_shown:
            yield f"log entries {first} to {last} are not shown"
        for chain, first, last, *index in self.holes:
            if not index or index[0] >= self.span[0]:
                yield f"chain {chain.hex()}: statements {first} to {last} are missing"
