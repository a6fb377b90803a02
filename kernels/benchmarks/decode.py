"""Compressed and sparse decoding beside dense decoding, and the scores of a window beside reading the keys once.

One row a step, as when a model generates. Page metadata and packed codes are made before the clock starts. A step takes
microseconds, so that each is replayed as a CUDA graph, its comparators too: without one, launching is what is timed.
"""

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from kernels import gather_decode as gather
from kernels import paged_decode as paged
from kernels import quantized_decode as quantized
from kernels import window_scores as window
from kernels.benchmark import HEAD_DIM, KV_HEADS, QUERY_HEADS, Benchmark, Gate, Problem, Run
from kernels.reference import TOLERANCE, drawn

SCALING = HEAD_DIM**-0.5
GATE_TOKENS, GATE_ROWS = 1111, 3
BUDGET, PAGE = 1024, 16
"""Tokens that a row attends to in Quest, and keys of a page, as published."""

GROUP, RECENT = 32, 32
"""Tokens and channels that share a scale in KIVI, and tokens that stay exact."""

WINDOW, KERNEL = 32, 5
"""Rows whose attention SnapKV sums, and positions that it averages."""

DRAWN_KEYS = 1024
"""Keys that a query head draws of each row in the benchmark of listed keys: what RetrievalAttention retrieves."""


def _tensors(rows: int, tokens: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    return drawn(QUERY_HEADS, KV_HEADS, rows, tokens, HEAD_DIM, torch.bfloat16, device)


def _row_bytes(tokens: int) -> int:
    """Bytes of `tokens` keys and values of every KV head."""
    return 2 * 2 * KV_HEADS * HEAD_DIM * tokens


def _replayed(run: Run, device: torch.device) -> Run:
    """`run` as a CUDA graph that is captured when it is first called; on a CPU `run` itself."""
    if device.type != "cuda":
        return run

    @cache
    def graph() -> torch.cuda.CUDAGraph:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            run()  # compiles what there is to compile
        torch.cuda.current_stream().wait_stream(aside)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            run()
        return captured

    return lambda: graph().replay()


def dense_decode(q: Tensor, k: Tensor, v: Tensor) -> dict[str, Run | str]:
    """The dense attention that people use for one row, [1, heads, n, head_dim] each."""

    def sdpa(backend: SDPBackend) -> Tensor:
        with sdpa_kernel(backend):
            return scaled_dot_product_attention(q, k, v, scale=SCALING, enable_gqa=True)

    def folded(backend: SDPBackend) -> Tensor:
        """A group's heads as rows of their KV head, which reads each key once."""
        with sdpa_kernel(backend):
            return scaled_dot_product_attention(q.view(1, KV_HEADS, -1, HEAD_DIM), k, v, scale=SCALING)

    runs: dict[str, Run | str] = {}
    replayed = partial(_replayed, device=q.device)
    for name, backend in (("flash", SDPBackend.FLASH_ATTENTION), ("cuDNN", SDPBackend.CUDNN_ATTENTION)):
        runs[f"dense SDPA {name}"] = replayed(partial(sdpa, backend))
        runs[f"dense SDPA {name}, folded"] = replayed(partial(folded, backend))
    try:
        from flash_attn import flash_attn_with_kvcache
    except ImportError:
        runs["dense flash-attn"] = "flash-attn is not installed"
    else:
        by_token = [x.transpose(1, 2) for x in (q, k, v)]
        runs["dense flash-attn"] = replayed(partial(flash_attn_with_kvcache, *by_token, softmax_scale=SCALING))
    return runs


def _problem(step: Callable[..., tuple[Run, float]], tokens: int, device: torch.device) -> Problem:
    q, k, v = _tensors(1, tokens, device)
    run, moved = step(q, k, v)
    # Arithmetic is far below what a chip does in the time of the reads.
    return Problem(_replayed(run, device), dense_decode(q, k, v), flops=0.0, bytes=moved + q.nbytes * 2)


def _packed(k: Tensor, v: Tensor, bits: int) -> tuple[quantized.PackedKV, Tensor, Tensor]:
    old = (k.shape[2] - RECENT) // GROUP * GROUP
    packed = quantized.quantized_pack(k[:, :, :old], v[:, :, :old], bits, GROUP, GROUP)
    return packed, k[:, :, old:], v[:, :, old:]


def _quantized(bits: int, q: Tensor, k: Tensor, v: Tensor) -> tuple[Run, float]:
    packed, *recent = _packed(k, v, bits)
    held = (packed.keys, packed.key_scale, packed.key_zero, packed.values, packed.value_scale, packed.value_zero)
    moved = sum(x.nbytes for x in held) + _row_bytes(recent[0].shape[2])
    return partial(quantized.quantized_decode, q, packed, *recent, SCALING), moved


def _quantized_gate(bits: int, device: torch.device) -> Gate:
    q, k, v = _tensors(GATE_ROWS, GATE_TOKENS, device)
    packed, *recent = _packed(k, v, bits)
    out = quantized.quantized_decode(q, packed, *recent, SCALING)[0]
    return _gate(out, quantized.reference(q, packed, *recent, SCALING)[0])


def _chosen_pages(q: Tensor, low: Tensor, high: Tensor, count: int) -> Tensor:
    """The `count` pages of each row and KV head with the highest mean score over the group."""
    scores = paged.page_scores(q, low, high)
    return scores.view(KV_HEADS, -1, *scores.shape[1:]).mean(dim=1).topk(count, dim=-1).indices


def _quest(q: Tensor, k: Tensor, v: Tensor) -> tuple[Run, float]:
    """Scores, choice and attention of one step."""
    low, high = paged.page_extremes(k, PAGE)
    count = min(BUDGET // PAGE, low.shape[1])

    def step() -> Tensor:
        index = _chosen_pages(q, low, high, count)
        return paged.paged_decode(q, k, v, index, PAGE, SCALING, in_range=True)[0]

    return step, low.nbytes + high.nbytes + _row_bytes(count * PAGE)


def _quest_gate(device: torch.device) -> Gate:
    q, k, v = _tensors(GATE_ROWS, GATE_TOKENS, device)
    index = _chosen_pages(q, *paged.page_extremes(k, PAGE), 10)
    return _gate(
        paged.paged_decode(q, k, v, index, PAGE, SCALING)[0], paged.reference(q, k, v, index, PAGE, SCALING)[0]
    )


def _drawn_index(rows: int, tokens: int, count: int, device: torch.device) -> Tensor:
    generator = torch.Generator(device).manual_seed(0)
    weights = torch.rand(QUERY_HEADS, rows, tokens, generator=generator, device=device)
    return weights.topk(min(count, tokens), dim=-1).indices


def _gather(q: Tensor, k: Tensor, v: Tensor) -> tuple[Run, float]:
    index = _drawn_index(1, k.shape[2], DRAWN_KEYS, q.device)
    # Each query head reads its own keys: at most as many as its group's.
    moved = _row_bytes(index.shape[2]) * QUERY_HEADS // KV_HEADS
    return partial(gather.gather_decode, q, k, v, index, SCALING, in_range=True), moved + index.nbytes


def _gather_gate(device: torch.device) -> Gate:
    q, k, v = _tensors(GATE_ROWS, GATE_TOKENS, device)
    index = _drawn_index(GATE_ROWS, GATE_TOKENS, 333, device)
    return _gate(gather.gather_decode(q, k, v, index, SCALING)[0], gather.reference(q, k, v, index, SCALING)[0])


def _window_problem(tokens: int, device: torch.device) -> Problem:
    q, k, _ = _tensors(WINDOW, tokens, device)
    run = _replayed(partial(window.window_scores, q, k, SCALING, KERNEL), device)
    reading = _replayed(lambda: k.amax(), device)
    # Keys are read once, at least; two products of q and k are computed.
    flops = 2 * 2.0 * HEAD_DIM * QUERY_HEADS * WINDOW * tokens
    return Problem(run, {"reading K once": reading}, flops=flops, bytes=k.nbytes + QUERY_HEADS * 4.0 * tokens)


def _window_gate(device: torch.device) -> Gate:
    q, k, _ = _tensors(WINDOW, GATE_TOKENS, device)
    got = window.window_scores(q, k, SCALING, KERNEL)
    return _gate(got, window.reference(q, k, SCALING, KERNEL))


def _gate(out: Tensor, reference: Tensor) -> Gate:
    return Gate(float((out.double() - reference).abs().max()), TOLERANCE[torch.bfloat16])


BENCHMARKS: tuple[Benchmark, ...] = (
    *(
        Benchmark(
            f"{bits}-bit decode",
            "kernels.quantized_decode",
            partial(_problem, partial(_quantized, bits)),
            partial(_quantized_gate, bits),
        )
        for bits in quantized.BITS
    ),
    Benchmark("Quest decode with its choice", "kernels.paged_decode", partial(_problem, _quest), _quest_gate),
    Benchmark("decode over listed keys", "kernels.gather_decode", partial(_problem, _gather), _gather_gate),
    Benchmark("window scores", "kernels.window_scores", _window_problem, _window_gate),
)
