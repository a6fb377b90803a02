"""Fetches what comes from outside: `python -m scripts.fetch_raw --source bbh [--file <name>] [--mirror <place>]`.

`--list` fetches nothing and shows what is known of every file, and what says so.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence

from scbench.errors import UserError
from scbench.raw import Source, read_sources, source
from scbench.raw.fetch import fetch
from scbench.raw.trust import arrivals, expected
from scbench.study import read_study
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="name in resources/raw.lock.yaml")
    parser.add_argument("--file", help="one file of the source; without it, all of them")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--mirror", help="directory or http(s) address with <source>/<file> in it")
    place.add_argument("--config", help="study file that names the mirror, as resolved by the workflow or as written")
    parser.add_argument("--list", action="store_true", help="show what is known of every file")
    options = parser.parse_args(arguments)

    if options.list:
        print(*listing([source(options.source)] if options.source else read_sources().values()), sep="\n")
        return
    if options.source is None:
        raise UserError(f"--source: missing; name one of {', '.join(read_sources())}, or give --list")
    of = source(options.source)
    mirror = read_study(options.config).data.mirror if options.config else options.mirror
    for name in [options.file] if options.file else of.files:
        print(fetch(of, name, mirror))


def listing(sources: Iterable[Source]) -> Iterator[str]:
    """Every file with its size, its sha256, what says that these are right, and whether it is here."""
    for of in sources:
        yield f"{of.name}: {of.title} ({of.url} at {of.revision}; licence: {of.licence})"
        width = max(map(len, of.files))
        arrived = arrivals(of)
        for name in of.files:
            wanted = expected(of, name)
            size = "size unknown" if wanted.bytes is None else f"{wanted.bytes:,} bytes"
            known = f"sha256 {wanted.sha256} by {wanted.basis}" if wanted.sha256 else "its first arrival is trusted"
            fetched = f"fetched {arrived[name].day} from {arrived[name].origin}" if name in arrived else "not fetched"
            yield f"  {name:{width}}  {size:>17}  {known}; {fetched}"


if __name__ == "__main__":
    run(main)
