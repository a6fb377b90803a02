"""MInference against its estimate and its mask, head by head in float64, and the density that its budget stands for."""

import json
from fractions import Fraction
from math import floor

import pytest
import torch

from scbench.errors import UserError
from scbench.kv.banded import banded_keys
from scbench.methods import make
from scbench.methods.generation.head_masks import head_masks
from scbench.methods.generation.head_patterns import HeadPattern
from tests.conformance.drive import Drive, naive_attention

LENGTHS = [1, 2, 63, 111, 200]
GROUP = 3


def estimate(q, k, rows, scaling):
    """Attention of the last `rows` rows of one head, summed over each column and over each diagonal; q, k [n, D]."""
    tokens = len(k)
    columns, diagonals = torch.zeros(2, tokens, dtype=torch.float64)
    for i in range(max(0, tokens - rows), tokens):
        weights = (k[: i + 1].double() @ q[i].double() * scaling).softmax(0)
        columns[: i + 1] += weights
        diagonals[: i + 1] += weights.flip(0)
    return columns, diagonals


def by_rank(scores, forced):
    return sorted(range(len(scores)), key=lambda place: (place >= forced, 0 if place < forced else -scores[place]))


def mask_of_lines(tokens, columns, diagonals):
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    mask[:, columns] = True
    for distance in diagonals:
        mask.diagonal(-distance).fill_(True)
    return mask.tril()


def lines_mask(columns, diagonals, vertical, slash, method):
    """The first lines of both rankings in the proportion vertical : slash, as many as the method takes."""
    tokens, kept = len(columns), method.vertical + method.slash

    def taken(lines):
        upright = floor(Fraction(lines * vertical, vertical + slash) + Fraction(1, 2))
        return mask_of_lines(
            tokens, columns[: max(upright, method.first)], diagonals[: max(lines - upright, method.recent)]
        )

    if not method.fitted:
        return taken(kept)
    allowed = sum(min(i + 1, kept) for i in range(tokens))
    lines, mask = 1, taken(1)
    while not mask.equal(torch.ones_like(mask).tril()) and int((more := taken(lines + 1)).sum()) <= allowed:
        lines, mask = lines + 1, more
    return mask


def blocks_mask(q, k, method):
    """The key blocks whose mean key agrees most with the mean query of each block of rows."""
    tokens, size = len(k), method.block
    starts = range(0, tokens, size)
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    for low in starts:
        mean = q[low : low + size].double().mean(0)
        agreement = {start: float(mean @ k[start : start + size].double().mean(0)) for start in starts if start <= low}
        best = sorted(agreement, key=agreement.get, reverse=True)
        for start in best[: -(-(method.vertical + method.slash) // size)]:
            mask[low : low + size, start : start + size] = True
    return mask.tril()


def reference_mask(run, method, head, pattern):
    total = run.store.total
    q, k = run.q[0][0, head, :total], run.k[0][0, head // GROUP, :total]
    if pattern["kind"] == "block_sparse":
        return blocks_mask(q, k, method)
    if pattern["kind"] == "stream":
        columns = diagonals = list(range(total))
    else:
        columns, diagonals = estimate(q, k, method.rows, run.scaling)
        columns, diagonals = by_rank(columns, method.first), by_rank(diagonals, method.recent)
    return lines_mask(columns, diagonals, pattern["vertical"], pattern["slash"], method)


def assert_equals(run, method, patterns):
    total = run.store.total
    out = run.prefill([total])
    pairs = 0
    for head, pattern in enumerate(patterns):
        mask = reference_mask(run, method, head, pattern)
        q, group = run.q[0][:, head : head + 1, :total], slice(head // GROUP, head // GROUP + 1)
        k, v = run.k[0][:, group, :total], run.v[0][:, group, :total]
        expected = naive_attention(q, k, v, mask, run.scaling)
        assert torch.allclose(out[:, head : head + 1].double(), expected, atol=1e-5)
        pairs += int(mask.sum())
    assert run.store.counters.keys_attended == round(pairs / len(patterns))


SETTINGS = [
    {"budget": 32},
    {"budget": 200},
    {"vertical": 10, "slash": 30, "rows": 7},
    {"vertical": 3, "slash": 9, "first": 0, "recent": 1, "rows": 1},
    {"vertical": 20, "slash": 5, "fitted": False},
]


@pytest.mark.parametrize("total", LENGTHS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_vertical_slash_equals_its_mask(settings, total):
    method = make("minference", settings, 200)
    run = Drive(method, total, kv_heads=2, group=GROUP)
    pattern = {"kind": "vertical_slash", "vertical": method.vertical, "slash": method.slash}
    assert_equals(run, method, [pattern] * 6)


MIXED = [
    {"kind": "stream", "vertical": 100, "slash": 800},
    {"kind": "block_sparse"},
    {"kind": "vertical_slash", "vertical": 3500, "slash": 100},
    {"kind": "block_sparse"},
    {"kind": "vertical_slash", "vertical": 0, "slash": 1},
    {"kind": "vertical_slash", "vertical": 30, "slash": 800},
]


@pytest.fixture
def pattern_file(tmp_path):
    def write(layers, model="minilm", files=None):
        path = tmp_path / "patterns.json"
        path.write_text(json.dumps({"model": model, "files": files or {}, "patterns": layers}))
        return str(path)

    return write


@pytest.mark.parametrize("total", LENGTHS)
@pytest.mark.parametrize("settings", [{"budget": 32}, {"budget": 50, "block": 16, "fitted": False}], ids=str)
def test_each_head_has_the_pattern_of_the_file(settings, total, pattern_file):
    method = make("minference", settings | {"patterns": pattern_file([MIXED])}, 200)
    assert_equals(Drive(method, total, kv_heads=2, group=GROUP), method, MIXED)


def test_each_layer_has_its_own_patterns(pattern_file):
    stream, other = [MIXED[0]] * 6, [MIXED[5]] * 6
    outputs = {}
    for name, layers in {"both": [stream, other], "first": [stream, stream], "second": [other, other]}.items():
        run = Drive(make("minference", {"patterns": pattern_file(layers)}, 200), 200, kv_heads=2, group=GROUP, layers=2)
        outputs[name] = run.prefill([200])
    assert torch.equal(outputs["both"], outputs["second"])
    assert not torch.allclose(outputs["both"], outputs["first"], atol=1e-2)


def test_stream_heads_are_a_shape(pattern_file):
    run = Drive(
        make("minference", {"budget": 36, "patterns": pattern_file([[MIXED[0]] * 4])}, 200), 200, kv_heads=2, group=2
    )
    other = Drive(make("a_shape", {"sink": 4, "local": 32}, 200), 200, kv_heads=2, group=2)
    assert torch.allclose(run.prefill([200]), other.prefill([200]), atol=1e-5)
    assert run.store.counters == other.store.counters


def heads_of(shape, tokens):
    """Queries and keys of two heads of one group: random, or turned by their positions, with a sink and a few columns,
    so that attention is near, at the beginning and here and there."""
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, heads, tokens, 16, generator=generator) for heads in (2, 1))
    if shape == "structured":
        angles = torch.arange(tokens)[:, None] * torch.exp(-0.8 * torch.arange(8))
        turned = 2.5 * torch.cat([angles.cos(), angles.sin()], dim=1)
        q, k = turned + 0.3 * q, turned + 0.3 * k
        k[:, :, [0, 1, tokens // 3, tokens // 2]] *= 2
    return q, k


@pytest.mark.parametrize("shape", ["random", "structured"])
@pytest.mark.parametrize("budget", [1 / 32, 1 / 8, 1 / 2])
@pytest.mark.parametrize("tokens", [1024, 4096])
@pytest.mark.parametrize("kind", ["vertical_slash", "stream", "block_sparse"])
def test_the_measured_density_is_that_of_rows_that_keep_the_budget(kind, tokens, budget, shape):
    """Its budget is what A-shape's is: row i sees min(i + 1, budget x context) keys, here on average."""
    q, k = heads_of(shape, tokens)
    taken = make("minference", {"budget": budget}, tokens).taken()
    (mask,) = head_masks(q, k, 0.25, [HeadPattern(kind, 1, 4)] * 2, taken)
    nominal = banded_keys(0, tokens, 0, round(budget * tokens))
    # Lines are taken one by one, blocks whole, and of its own block a row sees half.
    tolerance = 0.25 if kind == "block_sparse" else 0.05
    assert mask.pairs.tolist() == pytest.approx([nominal, nominal], rel=tolerance)


def test_as_published_lines_are_taken_by_their_number():
    method = make("minference", {"vertical": 512, "slash": 2048, "fitted": False}, 131_072)
    assert (method.first, method.recent, method.rows, method.block) == (30, 100, 64, 64)
    assert method.budget == 2560 / 131_072


def test_the_file_is_part_of_the_identity(pattern_file):
    path = pattern_file([MIXED])
    before = make("minference", {"patterns": path}, 1024).describe()
    pattern_file([MIXED[::-1]])
    after = make("minference", {"patterns": path}, 1024).describe()
    assert before["patterns_sha256"] != after["patterns_sha256"]
    with pytest.raises(UserError, match=r"minference\.patterns_sha256: .* leave it out"):
        make("minference", {"patterns": path, "patterns_sha256": before["patterns_sha256"]}, 1024)


def test_a_file_that_changes_under_a_job_is_refused(pattern_file):
    path = pattern_file([MIXED])
    run = Drive(make("minference", {"patterns": path}, 200), 63, kv_heads=2, group=GROUP)
    pattern_file([MIXED[::-1]])
    with pytest.raises(UserError, match=r"minference\.patterns: .* changed while the job ran"):
        run.prefill([63])


@pytest.mark.parametrize(("layers", "group"), [(2, 3), (1, 2)], ids=["layers", "heads"])
def test_a_file_for_other_heads_is_refused(layers, group, pattern_file):
    method = make("minference", {"patterns": pattern_file([MIXED])}, 200)
    run = Drive(method, 63, kv_heads=2, group=group, layers=layers)
    with pytest.raises(UserError, match=r"holds the patterns of 1 layers of 6 heads, the model has "):
        run.prefill([63])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, r"cannot be read \(No such file or directory\); .*snakemake --profile local results/patterns/<model>"),
        ("{", r"is not JSON"),
        ("[]", r"patterns\.json: the file holds \[\]"),
        ('{"model": "minilm", "files": {}}', r"the key 'patterns' is missing"),
        ('{"model": "minilm", "files": {}, "patterns": [[{"kind": "dense"}]]}', r"patterns\.0\.0\.kind: 'dense'"),
        ('{"model": "m", "files": {}, "patterns": [[{"kind": "stream", "slash": 0}]]}', r"slash: 0 .* give 1 or more"),
    ],
    ids=["missing", "cut short", "a list", "no patterns", "unknown kind", "no diagonal"],
)
def test_what_is_no_pattern_file_is_refused(text, words, tmp_path):
    path = tmp_path / "patterns.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=words):
        make("minference", {"patterns": str(path)}, 1024)
