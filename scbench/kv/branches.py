"""Continuations of one session that share forward passes: what each of their rows sees, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch

from scbench.kv.hooks import Counters, Sight


class Branches:
    """Several continuations of one session, whose rows lie behind each other in the store that they share.

    A row sees everything from before the branching and, of the rows since, those of its own branch up to itself; where
    branches are chained, the prompts of the branches before its own as well, which its own prompt continues.

    lengths: tokens of the session up to the end of each branch; rows: of all branches; counters: what the tokens
    generated in each branch cost, as if it were alone.
    """

    def __init__(self, start: int, counts: Sequence[int], chained: bool, room: int, device: torch.device) -> None:
        """Branches with prompts of `counts` tokens, from position `start` on.

        chained: each continues the prompt of the one before, not the session as it stands. room: tokens that may be
        generated in all branches together.
        """
        self.rows = sum(counts)
        self.counters = [Counters() for _ in counts]
        self.lengths = [start + prompt for prompt in (accumulate(counts) if chained else counts)]
        self._counts = tuple(counts)
        self._device = device
        branch = torch.arange(len(counts))
        self._owner = branch.repeat_interleave(torch.tensor(counts, dtype=torch.long))
        before = branch[:, None]
        # On the host: it is small and changes row by row; a pass takes the part of it that it needs.
        self._visible = torch.zeros(len(counts), self.rows + room, dtype=torch.bool)
        self._visible[:, : self.rows] = self._owner <= before if chained else self._owner == before

    def visible_rows(self, branch: int) -> int:
        """Rows since the branching that are part of `branch`."""
        return int(self._visible[branch].sum())

    def prompts(self) -> tuple[list[int], Sight]:
        """The positions of the tokens of all prompts, branch after branch, and what their rows see."""
        ends = zip(self.lengths, self._counts, strict=True)
        positions = [position for length, count in ends for position in range(length - count, length)]
        return positions, self._sight(self._visible[self._owner, : self.rows].tril())

    def grow(self, branches: Sequence[int]) -> tuple[list[int], Sight]:
        """One more token in each of `branches`: their positions, and what their rows see."""
        own = torch.arange(len(branches))
        self._visible[list(branches), self.rows + own] = True
        self.rows += len(branches)
        positions = []
        for branch in branches:
            positions.append(self.lengths[branch])
            self.lengths[branch] += 1
        return positions, self._sight(self._visible[list(branches), : self.rows])

    def _sight(self, visible: torch.Tensor) -> Sight:
        return Sight(visible.to(self._device), visible.sum(dim=1).tolist())
