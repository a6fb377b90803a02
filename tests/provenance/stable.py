"""What two runs of the same thing must have in common."""

import json
from pathlib import Path

from scbench.canonical import canonical_json


def stable_bytes(path: Path) -> bytes:
    """The bytes of a file; of a sidecar without what was observed and the seal over it."""
    data = path.read_bytes()
    if not path.name.endswith(".prov.json"):
        return data
    found = json.loads(data)
    assert found.pop("observation")["command"] and found.pop("seal")
    return canonical_json(found).encode()
