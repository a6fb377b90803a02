"""What a study file says, without its comments: so that an audit can tell whether it says something else today."""

import re
from collections.abc import Iterable
from pathlib import Path

from scbench.canonical import digest_file, digest_text
from scbench.provenance.sidecar import BadSidecar, named, read_sidecar, record, sidecar_path


def settings_digest(path: str | Path) -> str:
    """sha256 of the lines of a YAML file that are not blank, without comments and the space at their ends.

    A comment begins at a `#` that starts a line or follows a space, unless a quote stands before it in its line.
    """
    lines = []
    for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
        if kept := re.sub(r"(^|\s)#.*$" if not re.search(r"""["'].*#""", line) else r"^\s*#.*$", "", line).rstrip():
            lines.append(kept)
    return digest_text("\n".join(lines))


def record_study(study: str | Path, origins: Iterable[str | Path]) -> None:
    """Write the sidecar of the resolved `study`, which names the files it was read from, unless it says so already."""
    identity = {"command": "study", "config": {named(origin): settings_digest(origin) for origin in origins}}
    try:
        known = read_sidecar(sidecar_path(study))
        if known["identity"] == identity and known["output"]["sha256"] == digest_file(study):
            return
    except (FileNotFoundError, BadSidecar):
        pass
    record([study], [], identity)
