"""Where a file came from, written beside it: inputs and outputs by sha256, key fields, versions, lineage.

`record` writes it and `audit` proves it; a ledger remembers what was recorded when. Nothing here needs more than the
standard library but what recomputes (`replay`), explains scores (`explain`) or exports (`crate`).
"""

from scbench.provenance.observation import observe
from scbench.provenance.sidecar import lineage, named, record, short, short_digest, sidecar_path

__all__ = ["lineage", "named", "observe", "record", "short", "short_digest", "sidecar_path"]
