"""What the workflow takes from outside: named in resources/raw.lock.yaml, fetched by one command, checked at each use.

lock: the entries; trust: which bytes are meant; download and fetch: how they come here; needs: who waits for what.
"""

from scbench.raw.lock import Source, read_sources, source
from scbench.raw.needs import needs
from scbench.raw.trust import checked_file

__all__ = ["Source", "checked_file", "needs", "read_sources", "source"]
