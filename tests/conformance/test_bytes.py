"""What the loading methods attend to and read for one more token of a 4K context, by the store's own counters."""

import pytest

from scbench.methods import make
from tests.conformance.drive import Drive

TOKENS, KV_HEADS, GROUP, DIM = 4096, 2, 3, 32
ROW = 4 * DIM  # bytes of one key or value of one KV head
KEYS = KV_HEADS * TOKENS * ROW
DENSE = 2 * KEYS


def decode(name, rows=1, dim=DIM, **settings):
    """Keys attended to and bytes read by `rows` more rows at budget 1/8, and the store."""
    run = Drive(make(name, {"budget": 1 / 8} | settings, TOKENS), TOKENS, kv_heads=KV_HEADS, group=GROUP, dim=dim)
    run.prefill([TOKENS])
    run.store.seal()
    before = run.store.counters.keys_attended, run.store.counters.bytes_read
    run.feed(rows)
    counters = run.store.counters
    return counters.keys_attended - before[0], counters.bytes_read - before[1], run.store


LOADING = [
    ("quest", {}),
    ("quest", {"selection": "kv_head"}),
    ("retrieval_attention", {}),
    ("retrieval_attention", {"search": "ann"}),
    ("oracle_topk", {}),
]


@pytest.mark.parametrize(("name", "settings"), LOADING)
def test_a_query_attends_to_a_seventh_at_most(name, settings):
    attended, _, _ = decode(name, **settings)
    assert attended == TOKENS // 8 + 1, "the budget, and the token itself"
    assert attended <= TOKENS / 7


def test_magicpig_attends_to_about_its_budget_of_unrelated_keys():
    attended, _, _ = decode("magicpig", rows=8, dim=128)
    assert attended / 8 == pytest.approx(TOKENS / 8, rel=0.05)


@pytest.mark.parametrize(("name", "settings"), [("quest", {}), ("quest", {"selection": "kv_head"})])
def test_quest_reads_its_metadata_and_the_pages_chosen_by_any_head(name, settings):
    _, read, store = decode(name, **settings)
    metadata = 2 * KV_HEADS * (TOKENS // 16) * ROW
    assert store.resident_bytes == DENSE + metadata + 2 * KV_HEADS * ROW
    choices = 1 if settings else GROUP
    least = metadata + DENSE // 8
    assert least <= read - 2 * KV_HEADS * ROW <= metadata + choices * DENSE // 8
    if choices == 1:
        assert read == least + 2 * KV_HEADS * ROW
        assert read < DENSE / 5


def test_the_exact_index_is_scanned_whole():
    _, read, store = decode("retrieval_attention")
    static, top_k = 16 + 64, 432
    indexed = KV_HEADS * (TOKENS - static) * ROW
    own = 2 * KV_HEADS * (static + 1) * ROW
    assert store.resident_bytes == DENSE + 2 * KV_HEADS * ROW
    assert indexed + own + 2 * KV_HEADS * top_k * ROW <= read <= indexed + own + 2 * KV_HEADS * GROUP * top_k * ROW


def test_the_approximate_index_is_scanned_in_part():
    _, exact, _ = decode("retrieval_attention")
    _, one_list, store = decode("retrieval_attention", search="ann", lists=64, probes=1)
    _, all_lists, _ = decode("retrieval_attention", search="ann", lists=64, probes=64)
    assert one_list < exact < all_lists
    assert store.resident_bytes > DENSE + KV_HEADS * (TOKENS - 80) * ROW, "the lists hold the keys once more"


def test_the_oracle_reads_every_key_to_choose():
    _, read, store = decode("oracle_topk")
    assert store.resident_bytes == DENSE + 2 * KV_HEADS * ROW
    assert read >= KEYS + DENSE // 8
    assert read <= KEYS + GROUP * DENSE // 8 + 2 * KV_HEADS * ROW


def test_magicpig_reads_hyperplanes_buckets_and_its_sample():
    attended, read, store = decode("magicpig")
    method, tables = store.method, store._indices[0]
    planes = DIM * method.bits * method.tables * 4
    assert tables.planes.nbytes == planes
    assert tables.members.nbytes == KV_HEADS * method.tables * (TOKENS - method.sink - method.local) * 4
    assert store.resident_bytes == DENSE + tables.bytes + 2 * KV_HEADS * ROW
    assert read > planes + 2 * KV_HEADS * attended * ROW
    assert read < DENSE


@pytest.mark.parametrize(("name", "settings"), [*LOADING, ("magicpig", {})])
def test_rows_of_one_pass_share_what_they_read(name, settings):
    _, one, _ = decode(name, **settings)
    _, many, _ = decode(name, rows=8, **settings)
    assert many < 8 * one
