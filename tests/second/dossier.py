"""What an approval covers: FORMAT.md section 10."""

import protobuf

OWNS, CONTROLS, RESELLS_TO, ACTS_FOR, UNIT_OF = 1, 2, 3, 4, 5


def of(tenant_id, events):
    """The one spelling of a tenant's dossier, made from events in the order of the log."""
    tenant, parties, edges, stated = None, {}, {}, []
    for event in events:
        if event.get("tenant", {}).get("id", "") == tenant_id and "tenant" in event:
            tenant = event["tenant"]
        if "party" in event:
            parties[event["party"].get("id", "")] = event["party"]
        if "edge" in event:
            edge = event["edge"]
            ends = (edge.get("from", ""), edge.get("to", ""), edge.get("kind", 0))
            stated.append(ends)
            edges[ends] = edge
    members = _members(tenant, stated)
    by_bytes = sorted(parties, key=lambda id_: id_.encode())
    among = [ends for ends in edges if ends[0] in members and ends[1] in members]
    among.sort(key=lambda ends: (ends[0].encode(), ends[1].encode(), ends[2]))
    dossier = {
        "tenant": tenant,
        "parties": [parties[id_] for id_ in by_bytes if id_ in members],
        "edges": [edges[ends] for ends in among],
    }
    return protobuf.encode("Dossier", dossier)


def _members(tenant, stated):
    first = [tenant.get(field, "") for field in ("customer", "end_customer", "ultimate_parent")]
    members = {id_ for id_ in first + tenant.get("intermediaries", []) if id_}
    grown = True
    while grown:
        before = len(members)
        for from_, to, kind in stated:
            if kind in (OWNS, CONTROLS) and to in members:
                members.add(from_)
            if kind in (ACTS_FOR, UNIT_OF) and from_ in members:
                members.add(to)
        grown = len(members) > before
    return members
