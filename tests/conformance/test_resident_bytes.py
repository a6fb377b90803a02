"""What a context of 4,096 tokens takes at a budget of 1/8, summed over the layers of a bfloat16 model.

The bounds leave room for what comes on top of the share: KIVI's scales and zero points make its two bits three, 3/16 of
16, and some rows stay exact.
"""

import pytest

from scbench import engines
from scbench.methods import make
from tests.conformance.drive import held_bytes
from tests.conformance.models import save_model, tokens

CONTEXT = 4096
BOUNDS = {
    "streaming_llm": (dict(budget="1/8"), 1 / 7),
    "snapkv": (dict(budget="1/8"), 1 / 7),
    "pyramidkv": (dict(budget="1/8"), 1 / 7),
    "kivi": (dict(bits=2), 1 / 5),
    "kivi, growing": (dict(bits=2, grow=True), 1 / 5),
}


@pytest.fixture(scope="module")
def stem(tmp_path_factory):
    """A conversation that has encoded the context exactly."""
    sizes = dict(num_hidden_layers=6, num_attention_heads=2, num_key_value_heads=1, head_dim=32)
    spec = save_model(tmp_path_factory.mktemp("wide"), max_position_embeddings=CONTEXT, **sizes)
    engine = engines.load(spec, threads=1, device="cpu", dtype="bfloat16")
    talk = engine.start(make("full", {}, CONTEXT), CONTEXT, capacity=CONTEXT, query_rows=32)
    talk.prefill(tokens(CONTEXT))
    yield talk
    talk.close()


@pytest.mark.parametrize("row", BOUNDS)
def test_the_context_takes_no_more_than_its_bound(stem, row):
    settings, bound = BOUNDS[row]
    talk = stem.fork(make(row.split(",")[0], settings, CONTEXT))
    talk.seal()
    store = talk.store
    assert store.dense_bytes == CONTEXT * 2 * 6 * 32 * 2
    assert 1 / 8 <= store.resident_bytes / store.dense_bytes <= bound
    assert held_bytes(store._arena, store._packed, store._indices, store._queries) == store.resident_bytes
