"""Ways to compute a problem, each a side of comparisons, and the reasons where a peer has none."""


class Side:
    """One way of one library to compute the problems of some sections of the table.

    - work: `same` as ours (the same types in and out, whatever converts or quantises included), or in what it differs: such
      sides are sampled with --unlike only, and never count as best peer.
    """

    def __init__(self, peer, variant, sections, work="same"):
        self.peer, self.variant, self.sections, self.work = peer, variant, sections, work

    @property
    def name(self):
        return f"{self.peer}:{self.variant}" if self.variant else self.peer


def sides_of(all_sides, section, peers, unlike):
    return [s for s in all_sides if s.peer in peers and section in s.sections and (unlike or s.work == "same")]


def lacking_of(all_sides, reasons, peer, section):
    """The reason of the first (peer, prefix of section) of `reasons` that fits; None where the peer has a side."""
    if any(s.peer == peer and section in s.sections and s.work == "same" for s in all_sides):
        return None
    found = [reason for (name, prefix), reason in reasons.items() if name == peer and section.startswith(prefix)]
    return found[0] if found else "not compared"
