"""Tables longer than a page, cut between their rows: each piece is a tabular of its own under the same head."""

from collections.abc import Sequence

LINES = 54  # of \scriptsize, with room for a head and rules, on a page of any size a paper is printed on


def pages(groups: Sequence[dict], each: int = 1, limit: int = LINES) -> list[list[dict]]:
    """`groups` ({"title", "rows"}, see `compared.groups`) as a list of tables, each at most `limit` printed lines long.

    each: lines a row takes. A group that fits on a page is not cut; the pieces of a longer one all bear its title.
    """
    found: list[list[dict]] = []
    room = 0
    for group in groups:
        head = 1 if group["title"] else 0
        most = max(1, (limit - head) // each)
        for start in range(0, max(1, len(group["rows"])), most):
            piece = group | {"rows": group["rows"][start : start + most]}
            length = head + each * len(piece["rows"])
            if not found or length > room:
                found.append([])
                room = limit
            found[-1].append(piece)
            room -= length
    return found
