"""What an audit can find, and the exit status that says so; the gravest of all findings is that of the whole."""

from enum import Enum
from operator import attrgetter


class Verdict(Enum):
    """Name, exit status, and what it means; in order of gravity, the gravest last."""

    OK = ("OK", 0, "every byte and every record is as it was")
    UNPINNED = (
        "UNPINNED",
        16,
        "made from something without a fixed version: a branch, files that no lock lists, edited code",
    )
    MIXED = ("MIXED", 15, "made from parts of different environments, machines, code or seeds")
    OUTDATED = ("OUTDATED", 13, "authentic, but code, settings or locks say something else today")
    PARTIAL = ("PARTIAL", 14, "cells that the study plans are absent")
    STALE = ("STALE", 12, "made from an input that is another one today")
    MISSING = ("MISSING", 11, "a file or its record is not there")
    NOT_REPRODUCED = ("NOT-REPRODUCED", 18, "a replay gave other answers")
    LEDGER_BROKEN = ("LEDGER-BROKEN", 17, "the ledger's chain is broken, or it knows another record of the file")
    TAMPERED = ("TAMPERED", 10, "bytes or a record differ from what was recorded")

    def __init__(self, title: str, status: int, meaning: str) -> None:
        self.title = title
        self.status = status
        self.meaning = meaning
        self.gravity = len(type(self).__members__)


def gravest(verdicts: "list[Verdict]") -> Verdict:
    """The one that stands for all of them; OK for none."""
    return max(verdicts, key=attrgetter("gravity"), default=Verdict.OK)
