"""Quest, RetrievalAttention, the oracle and MagicPIG against their definitions, row by row in float64."""

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.errors import UserError
from scbench.kv import LayerKV
from scbench.methods import make
from scbench.methods.loading import retrieval_attention
from scbench.methods.loading.collisions import CHANNELS, chance, tables_for, unrelated_share
from scbench.methods.loading.hash_tables import HashTables
from scbench.methods.loading.pages import Pages
from tests.conformance.drive import Drive

ROWS = 5
LENGTHS = [63, 64, 111, 257]
RETRIEVAL = {"sink": 4, "recent": 9, "top_k": 17}
SAMPLING = {"sink": 3, "local": 7, "bits": 3, "tables": 6, "seed": 5}


def sealed(name, given, total, **how):
    run = Drive(make(name, given, 1024), total, **{"kv_heads": 2, "group": 3} | how)
    run.prefill([total])
    run.store.seal()
    return run


def check_rows(run, weigh, rows=ROWS):
    """Rows after the first prompt attend to its keys with weights `weigh(head, row)` [n], and to all rows up to theirs.

    weigh: log of the weight of exp(logit), by query head and token number; -inf where a key is not attended to.
    """
    total, last = run.store.total, run.layers - 1
    q, k, v = (x[last][0].double() for x in (run.q, run.k, run.v))
    out = run.feed(rows)
    for head in range(len(q)):
        source = head * len(k) // len(q)
        for row in range(total, total + rows):
            logits = k[source, : row + 1] @ q[head, row] * run.scaling
            logits[:total] += weigh(head, row)
            expected = logits.softmax(0) @ v[source, : row + 1]
            assert torch.allclose(out[0, head, row - total].double(), expected, atol=1e-5), (head, row)


def only(positions, total):
    """Weights 1 at `positions`, 0 elsewhere, in logs."""
    weights = torch.full((total,), -math.inf, dtype=torch.float64)
    weights[list(positions)] = 0
    return weights


def products(run, head, row):
    """q k^T of one row and every key of the first prompt."""
    k, q = run.k[-1][0], run.q[-1][0]
    return (k[head * len(k) // len(q), : run.store.total].double() @ q[head, row].double()).tolist()


def best(scores, count):
    return sorted(range(len(scores)), key=lambda n: -scores[n])[:count]


class TestQuest:
    def bound(self, run, page, number, head, row):
        """The sum over channels of max(q min, q max) of one page."""
        q, k = run.q[-1][0].double(), run.k[-1][0].double()
        keys = k[head * len(k) // len(q), number * page : min((number + 1) * page, run.store.total)]
        return float(torch.maximum(q[head, row] * keys.min(0).values, q[head, row] * keys.max(0).values).sum())

    def chosen(self, run, page, count, heads, row):
        """Tokens of the `count` pages with the best mean bound over query heads `heads`."""
        total = run.store.total
        numbers = range(-(-total // page))
        mean = [sum(self.bound(run, page, number, head, row) for head in heads) / len(heads) for number in numbers]
        return [n for number in best(mean, count) for n in range(number * page, min((number + 1) * page, total))]

    @pytest.mark.parametrize("total", [63, 64, 111])
    @pytest.mark.parametrize("page", [1, 4, 8])
    @pytest.mark.parametrize("selection", ["query_head", "kv_head"])
    def test_rows_attend_to_the_pages_with_the_best_bounds(self, total, page, selection):
        run = sealed("quest", {"token_budget": 43, "page": page, "selection": selection}, total)
        groups = [[head] for head in range(6)] if selection == "query_head" else [[0, 1, 2], [3, 4, 5]]

        def weigh(head, row):
            heads = next(group for group in groups if head in group)
            return only(self.chosen(run, page, 43 // page, heads, row), total)

        check_rows(run, weigh)

    def test_three_pages_are_the_least(self):
        run = sealed("quest", {"token_budget": 5, "page": 4}, 50)
        check_rows(run, lambda head, row: only(self.chosen(run, 4, 3, [head], row), 50))

    @pytest.mark.parametrize("total", [0, 1, 11, 12, 43])
    def test_prompts_within_the_budget_are_attended_to_whole(self, total):
        run = sealed("quest", {"token_budget": 43, "page": 4}, total)
        check_rows(run, lambda head, row: only(range(total), total))

    def test_first_layers_may_be_dense(self):
        given = {"token_budget": 40, "page": 4, "dense_layers": 2}
        run = sealed("quest", given, 100, layers=2)
        check_rows(run, lambda head, row: only(range(100), 100))
        run = sealed("quest", given, 100, layers=3)
        check_rows(run, lambda head, row: only(self.chosen(run, 4, 10, [head], row), 100))

    def test_a_page_that_is_not_full_counts_what_it_holds(self):
        run = Drive(make("quest", {"token_budget": 40, "page": 4}, 1024), 41, kv_heads=1, group=1)
        run.k[0][:, :, 40] = 20 * run.q[0][0, 0, 41]  # the page of one key is chosen for certain
        run.prefill([41])
        run.store.seal()
        before = run.store.counters.keys_attended
        run.feed(1)
        assert run.store.counters.keys_attended - before == 9 * 4 + 1 + 1, "nine full pages, one key, the row itself"

    @given(
        seed=st.integers(0, 99),
        tokens=st.integers(1, 40),
        page=st.integers(1, 17),
        scale=st.sampled_from([1e-3, 1, 50]),
    )
    @settings(max_examples=40, deadline=None, derandomize=True)
    def test_a_bound_is_above_every_product_and_tight_for_one_key(self, seed, tokens, page, scale):
        generator = torch.Generator().manual_seed(seed)
        q, k = (scale * torch.randn(1, heads, tokens, 8, generator=generator) for heads in (6, 2))
        bounds = Pages.of(k, page).bounds(q)
        exact = q[0] @ k[0].repeat_interleave(3, dim=0).transpose(1, 2)
        for number in range(bounds.shape[2]):
            inside = exact[:, :, number * page : (number + 1) * page].amax(dim=2)
            assert (bounds[:, :, number] >= inside - 1e-4 * scale**2).all()
            if page == 1:
                assert torch.allclose(bounds[:, :, number], inside, atol=1e-4 * scale**2)


@pytest.mark.parametrize("total", [*LENGTHS, 20, 21, 1, 0])
def test_the_oracle_attends_to_the_keys_with_the_highest_logits(total):
    run = sealed("oracle_topk", {"top_k": 20}, total)
    check_rows(run, lambda head, row: only(best(products(run, head, row), 20), total))


class TestRetrievalAttention:
    def expected(self, run, head, row):
        total = run.store.total
        found = best(products(run, head, row)[4 : total - 9], 17)
        return only([*range(4), *(4 + n for n in found), *range(total - 9, total)], total)

    @pytest.mark.parametrize("total", LENGTHS)
    @pytest.mark.parametrize("search", [{"search": "exact"}, {"search": "ann", "lists": 5, "probes": 5}])
    def test_rows_attend_to_static_tokens_and_the_best_of_the_index(self, total, search):
        """With every list looked into, the approximate search is exact."""
        run = sealed("retrieval_attention", RETRIEVAL | search, total)
        check_rows(run, lambda head, row: self.expected(run, head, row))

    @pytest.mark.parametrize("total", [0, 1, 12, 30])
    def test_prompts_within_the_budget_stay_on_the_device(self, total):
        run = sealed("retrieval_attention", RETRIEVAL, total)
        assert run.store.rows(0)[0].shape[2] == total
        check_rows(run, lambda head, row: only(range(total), total))

    def test_only_static_rows_stay_on_the_device(self):
        run = sealed("retrieval_attention", RETRIEVAL, 100)
        static = [*range(4), *range(91, 100)]
        assert torch.equal(run.store.rows(0)[0], run.k[0][:, :, static])
        assert run.store.resident_bytes == 100 * 2 * 2 * 16 * 4, "the rest is still held, once"

    def test_an_empty_window_is_possible(self):
        run = sealed("retrieval_attention", {"sink": 0, "recent": 0, "top_k": 17}, 64)
        check_rows(run, lambda head, row: only(best(products(run, head, row), 17), 64))

    def test_few_lists_find_most_of_what_clustered_keys_hold(self):
        """Found: the share of the attention of all keys that the retrieved ones have."""
        found = {probes: self.recall(probes) for probes in (1, 4, 16)}
        assert found[1] < found[4] < found[16] == 1
        assert found[4] > 0.8

    def recall(self, probes):
        generator = torch.Generator().manual_seed(3)
        centres = 2 * torch.randn(16, 16, generator=generator)
        run = Drive(
            make("retrieval_attention", RETRIEVAL | {"search": "ann", "lists": 16, "probes": probes}, 1024), 800
        )
        run.k[0][0, :] = centres[torch.randint(16, (864,), generator=generator)] + 0.5 * run.k[0][0]
        run.prefill([800])
        run.store.seal()
        q = run.q[0][:, :, 800:820]
        index = run.store._indices[0]
        positions, bias, _ = index.approximate.search(q, 17, apart=False)
        exact = (q[0] @ index.k[0].repeat_interleave(2, dim=0).transpose(1, 2)).topk(17).indices
        hits = (positions.masked_fill(bias < 0, -1)[..., None] == exact[..., None, :]).any(dim=2)
        return float(hits.float().mean())

    def test_lists_that_hold_too_little_give_what_they_hold(self):
        run = sealed("retrieval_attention", RETRIEVAL | {"search": "ann", "lists": 40, "probes": 1}, 100)
        before = run.store.counters.keys_attended
        assert run.feed(3).isfinite().all()
        attended = run.store.counters.keys_attended - before
        assert 3 * 13 + 6 < attended < 3 * (13 + 17) + 6

    def test_two_indices_of_the_same_keys_find_the_same(self):
        out = [sealed("retrieval_attention", RETRIEVAL | {"search": "ann"}, 257).feed(ROWS) for _ in range(2)]
        assert torch.equal(*out)

    def test_a_missing_library_is_named(self, monkeypatch):
        monkeypatch.setattr(retrieval_attention, "find_spec", lambda name: None)
        make("retrieval_attention", {}, 1024)
        with pytest.raises(
            UserError, match=r"retrieval_attention\.search: 'ann' needs the library faiss.* pip install"
        ):
            make("retrieval_attention", {"search": "ann"}, 1024)

    def test_the_exact_search_does_without_the_library(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "faiss", None)
        assert sealed("retrieval_attention", RETRIEVAL, 64).feed(1).isfinite().all()


class TestMagicPIG:
    def weights(self, run, head, row, layer=0):
        """log of 1 / chance of what the row samples, 0 for static tokens, -inf for what it leaves out."""
        total, k, q = run.store.total, run.k[layer][0].double(), run.q[layer][0].double()
        keys, asked = k[head * len(k) // len(q), 3 : total - 7], q[head, row]
        centred = keys - keys.mean(0)
        planes = torch.randn(16, 6 * 3, generator=torch.Generator().manual_seed((5 << 16) + layer)).double()
        hashes, own = (centred @ planes > 0).tolist(), (asked @ planes > 0).tolist()
        weights = only([*range(3), *range(total - 7, total)], total)
        for n, key in enumerate(centred):
            same = [hashes[n][3 * table : 3 * table + 3] == own[3 * table : 3 * table + 3] for table in range(6)]
            if sum(same) >= 2:
                angle = math.acos(float(asked @ key / (asked.norm() * key.norm())))
                p = (1 - angle / math.pi) ** 3
                weights[3 + n] = -math.log(1 - (1 - p) ** 6 - 6 * p * (1 - p) ** 5)
        return weights

    @pytest.mark.parametrize("total", LENGTHS)
    def test_rows_attend_to_their_weighted_sample(self, total):
        run = sealed("magicpig", SAMPLING, total)
        check_rows(run, lambda head, row: self.weights(run, head, row))

    @pytest.mark.parametrize("elements", [1, 500])
    def test_hashing_and_looking_up_in_blocks_changes_nothing(self, elements, monkeypatch):
        whole = sealed("magicpig", SAMPLING, 111).feed(ROWS)
        monkeypatch.setattr("scbench.methods.loading.hash_tables.ELEMENTS", elements)
        assert torch.allclose(sealed("magicpig", SAMPLING, 111).feed(ROWS), whole, atol=1e-5)

    def test_each_layer_draws_its_own_planes(self):
        run = sealed("magicpig", SAMPLING, 100, layers=2)
        check_rows(run, lambda head, row: self.weights(run, head, row, layer=1))

    @pytest.mark.parametrize("total", [0, 1, 9, 10])
    def test_prompts_within_the_window_are_attended_to_whole(self, total):
        run = sealed("magicpig", SAMPLING, total)
        check_rows(run, lambda head, row: only(range(total), total))

    @pytest.mark.parametrize("total", [11, 12])
    def test_one_or_two_keys_may_lie_between(self, total):
        assert sealed("magicpig", SAMPLING, total).feed(ROWS).isfinite().all()

    def test_a_row_that_samples_nothing_attends_to_the_rest(self):
        run = sealed("magicpig", SAMPLING | {"bits": 16, "tables": 2}, 100)
        check_rows(run, lambda head, row: only([*range(3), *range(93, 100)], 100))

    def test_nothing_static_and_nothing_sampled_leaves_the_row_itself(self):
        run = sealed("magicpig", {"sink": 0, "local": 0, "bits": 16, "tables": 2}, 100)
        check_rows(run, lambda head, row: only([], 100), rows=1)

    def test_keys_are_sampled_as_often_as_their_chance_says(self):
        generator = torch.Generator().manual_seed(0)
        k, q = (torch.randn(1, heads, rows, 16, generator=generator) for heads, rows in ((1, 30), (1, 1)))
        k[0, 0, :5] += 0.5 * q[0, 0]
        layer, seeds = LayerKV(0, 1, k, k, None, 1.0), 400
        times, expected = torch.zeros(30), None
        for seed in range(seeds):
            tables = HashTables.of(layer, 0, 30, 2, 5, seed)
            positions, bias, _ = tables.sample(q, k, 30, apart=False)
            times[positions[0, 0][bias[0, 0] > -math.inf]] += 1
            expected = tables._log_chance(q, k, torch.arange(30)[None, None])[0, 0].exp()
        assert expected.max() > 0.8
        assert expected.min() < 0.2
        deviation = (expected * (1 - expected) / seeds).sqrt()
        assert ((times / seeds - expected).abs() < 4 * deviation).all()

    def test_the_chance_is_the_sum_over_two_tables_and_more(self):
        for same, bits, tables in ((0.3, 2, 5), (0.5, 4, 9), (0.95, 10, 150)):
            p = same**bits
            more = sum(math.comb(tables, n) * p**n * (1 - p) ** (tables - n) for n in range(2, tables + 1))
            assert chance(same, bits, tables) == pytest.approx(more, rel=1e-9)
        assert (chance(0.0, 3, 4), chance(1.0, 3, 4)) == (0, 1)

    @pytest.mark.parametrize("bits", [1, 4, 10])
    @pytest.mark.parametrize("tables", [2, 3, 50, 277])
    def test_a_share_gives_back_its_tables(self, bits, tables):
        share = unrelated_share(bits, tables)
        if share < 1 - 1e-9:  # beyond, tables more change nothing
            assert tables_for(share, bits) == tables

    def test_the_share_of_unrelated_keys_is_their_mean_chance(self):
        generator = torch.Generator().manual_seed(0)
        keys, query = (torch.randn(n, CHANNELS, generator=generator).double() for n in (20_000, 1))
        angles = (keys @ query[0] / (keys.norm(dim=1) * query.norm())).acos()
        for bits, tables in ((10, 150), (4, 9)):
            expected = chance(1 - angles / math.pi, bits, tables).mean()
            assert unrelated_share(bits, tables) == pytest.approx(float(expected), rel=0.02)
        assert unrelated_share(10, 150) == pytest.approx(0.0157, rel=0.01), "published with a cost of about 2 %"
