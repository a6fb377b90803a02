"""Sparse prefill beside dense prefill, and beside FlexAttention with the same mask.

Budgets are 4,096 keys a row, the paper's at 128K tokens (Table 9), at every length.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from kernels import block_sparse_prefill as blocks
from kernels import vertical_slash_prefill as lines
from kernels.benchmark import HEAD_DIM, KV_HEADS, QUERY_HEADS, Benchmark, Gate, Problem, Run, dense_prefill
from kernels.line_scores import MAX_ROWS, line_scores
from kernels.reference import TOLERANCE, drawn

SCALING = HEAD_DIM**-0.5
BUDGET, GATE_BUDGET = 4096, 256
GATE_TOKENS = 1111
"""Odd, so that blocks are cut."""

LAST = 128
"""Dense rows of Tri-shape."""

BLOCK = 128
"""Tokens in a block of XAttention."""

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Work:
    """Sparse attention over given tensors: the kernel, its float64 reference, the mask that FlexAttention takes,
    whether heads differ in it, and the pairs of row and key that all heads see together."""

    run: Callable[[], Tensor]
    reference: Callable[[], Tensor]
    mask: MaskMod
    per_head: bool
    pairs: int


def _band(last: int, q: Tensor, k: Tensor, v: Tensor, budget: int) -> Work:
    tokens, sink, local = q.shape[2], budget // 32, budget - budget // 32
    dense_from = tokens - last
    lists = blocks.band(0, tokens, sink, local, dense_from, q.device)

    def mask(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (j <= i) & ((j < sink) | (i - j < local) | (i >= dense_from))

    row = torch.arange(1, tokens + 1)
    pairs = int(row[:dense_from].clamp(max=budget).sum() + row[dense_from:].sum()) * q.shape[1]
    return _of_lists(q, k, v, lists, mask, False, pairs)


def _chosen_blocks(q: Tensor, k: Tensor, v: Tensor, budget: int) -> Work:
    heads, tokens = q.shape[1:3]
    count = -(-tokens // BLOCK)
    share = torch.rand(heads, count, count, generator=torch.Generator(q.device).manual_seed(0), device=q.device)
    own = torch.eye(count, dtype=torch.bool, device=q.device)
    # The best of random shares up to a block's own, which is always one of them.
    falling = share.masked_fill(own, 2.0).tril().argsort(dim=2, descending=True)[..., : max(1, budget // BLOCK)]
    chosen = torch.zeros_like(share, dtype=torch.bool).scatter_(2, falling, True).tril()

    def mask(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (j <= i) & chosen[h, i // BLOCK, j // BLOCK]

    pairs = int(chosen.tril(-1).sum()) * BLOCK**2 + heads * count * BLOCK * (BLOCK + 1) // 2
    return _of_lists(q, k, v, blocks.chosen_blocks(chosen, BLOCK, tokens), mask, True, pairs)


def _of_lists(
    q: Tensor, k: Tensor, v: Tensor, lists: blocks.BlockLists, mask: MaskMod, per_head: bool, pairs: int
) -> Work:
    run = partial(blocks.block_sparse_prefill, q, k, v, lists, SCALING)
    heads = torch.arange(q.shape[1], device=q.device)
    return Work(run, partial(blocks.reference, q, k, v, lists, SCALING, heads), mask, per_head, pairs)


def _vertical_slash(q: Tensor, k: Tensor, v: Tensor, budget: int) -> Work:
    """Estimation and attention. Random tensors have no lines: those attended to are drawn, diagonals in runs of 64 as
    heads have them, while what the estimate finds is dropped."""
    heads, tokens = q.shape[1:3]
    vertical = budget // 5
    generator = torch.Generator(q.device).manual_seed(0)
    where = torch.rand(heads, tokens, generator=generator, device=q.device)
    columns = torch.zeros(heads, tokens, dtype=torch.bool, device=q.device)
    columns.scatter_(1, where.topk(min(vertical, tokens)).indices, True)
    run_of = torch.rand(heads, -(-tokens // 64), generator=generator, device=q.device)
    run_of[:, 0] = 2.0  # the nearest diagonals
    runs = torch.zeros_like(run_of, dtype=torch.bool)
    runs.scatter_(1, run_of.topk(min((budget - vertical) // 64, run_of.shape[1])).indices, True)
    diagonals = runs.repeat_interleave(64, 1)[:, :tokens].contiguous()
    everyone = torch.arange(heads, device=q.device)

    def estimate_and_attend() -> Tensor:
        for scores, count in zip(
            line_scores(q[:, :, -MAX_ROWS:], k, SCALING), (vertical, budget - vertical), strict=True
        ):
            scores.topk(min(count, tokens))
        return lines.vertical_slash_prefill(q, k, v, columns, diagonals, SCALING)

    def mask(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (j <= i) & (columns[h, j] | diagonals[h, (i - j).clamp(min=0)])

    reach = torch.arange(tokens, 0, -1, device=q.device)
    crossings = diagonals.long().cumsum(1).flip(1)
    pairs = int((columns * (reach - crossings) + diagonals * reach).sum())
    reference = partial(lines.reference, q, k, v, columns, diagonals, SCALING, everyone)
    return Work(estimate_and_attend, reference, mask, True, pairs)


WorkOf = Callable[[Tensor, Tensor, Tensor, int], Work]


def _tensors(tokens: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    return drawn(QUERY_HEADS, KV_HEADS, tokens, tokens, HEAD_DIM, torch.bfloat16, device)


def _problem(work_of: WorkOf, tokens: int, device: torch.device) -> Problem:
    q, k, v = _tensors(tokens, device)
    work = work_of(q, k, v, BUDGET)
    comparators = dense_prefill(q, k, v, SCALING) | {"same mask FlexAttention": _flex(q, k, v, work)}
    moved = sum(x.nbytes for x in (q, k, v, q))
    return Problem(work.run, comparators, flops=4.0 * HEAD_DIM * work.pairs, bytes=moved)


def _gate(work_of: WorkOf, device: torch.device) -> Gate:
    work = work_of(*_tensors(GATE_TOKENS, device), GATE_BUDGET)
    return Gate(float((work.run().double() - work.reference()).abs().max()), TOLERANCE[torch.bfloat16])


def _flex(q: Tensor, k: Tensor, v: Tensor, work: Work) -> Run:
    """FlexAttention, compiled for this shape alone, with the block mask made at the first call."""
    # After some shapes and masks PyTorch compiles no more and computes every score; a whole graph is refused instead.
    torch.compiler.reset()
    compiled = torch.compile(flex_attention, fullgraph=True)

    @cache
    def block_mask() -> object:
        heads = q.shape[1] if work.per_head else None
        return create_block_mask(work.mask, None, heads, q.shape[2], k.shape[2], device=str(q.device), _compile=True)

    return lambda: compiled(q, k, v, block_mask=block_mask(), scale=SCALING, enable_gqa=True)


def _benchmark(name: str, kernel: str, work_of: WorkOf) -> Benchmark:
    return Benchmark(name, kernel, partial(_problem, work_of), partial(_gate, work_of))


BENCHMARKS: tuple[Benchmark, ...] = (
    _benchmark("A-shape prefill", "kernels.block_sparse_prefill", partial(_band, 0)),
    _benchmark("Tri-shape prefill", "kernels.block_sparse_prefill", partial(_band, LAST)),
    _benchmark("chosen blocks prefill", "kernels.block_sparse_prefill", _chosen_blocks),
    _benchmark("vertical-slash prefill with its estimate", "kernels.vertical_slash_prefill", _vertical_slash),
)
