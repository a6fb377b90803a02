"""Reads what was recorded of a model's attention."""

import json
from pathlib import Path
from typing import Any

from scbench.errors import UserError

KEYS = {"title", "session", "top", "pairs", "evidence", "heads", "drawn"}


def read_attention(path: Path) -> dict[str, Any]:
    """What `scbench.attention` recorded, or {"lacks": why there is nothing}. Raises UserError for any other file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable recording of attention ({error}); record it again") from error
    if not isinstance(found, dict) or ("lacks" not in found and not found.keys() >= KEYS):
        raise UserError(f"{path}: JSON, but no recording of attention; name what scripts.record_attention wrote")
    return found
