"""What two processes that share a model's weights compute, where its vocabulary cannot be shared out evenly."""

import torch
import torch.distributed as dist
import torch.multiprocessing as processes

from scbench import engines
from scbench.methods import make
from tests.conformance.models import SIZES, VOCABULARY, save_model, tokens

CPU = {"threads": 1, "device": "cpu", "dtype": "float32"}
PROMPT, FOLLOW_UP = tokens(40), tokens(9, seed=1)


def logits_of(engine):
    talk = engine.start(make("full", {}, 64), len(PROMPT))
    talk.prefill(PROMPT)
    first = talk.logits.clone()
    talk.seal()
    talk.append(FOLLOW_UP)
    return torch.stack([first, talk.logits])


def rank_of_two(rank, directory, specs):
    dist.init_process_group("gloo", init_method=f"file://{directory}/meeting", rank=rank, world_size=2)
    found = {}
    for name, spec in specs.items():
        engine = engines.load(spec, **CPU, ranks=2)
        head = engine.model.lm_head.weight
        rows = (head.to_local() if hasattr(head, "to_local") else head).shape[0]
        found[name] = logits_of(engine), rows
    torch.save(found, f"{directory}/{rank}.pt")


def test_logits_are_those_of_one_process_and_the_same_bits_on_both(tmp_path):
    assert VOCABULARY % 2
    specs = {
        "own": save_model(tmp_path / "own"),
        "tied": save_model(tmp_path / "tied", tie_word_embeddings=True, seed=1),
        "gathered": save_model(tmp_path / "gathered", "Glm4"),
    }
    processes.spawn(rank_of_two, (str(tmp_path), specs), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for name, spec in specs.items():
        expected = logits_of(engines.load(spec, **CPU))
        assert expected.shape == (2, SIZES["vocab_size"])
        torch.testing.assert_close(first[name][0], expected, atol=2e-5, rtol=1e-5)
        assert torch.equal(first[name][0], second[name][0])
    assert {name: (first[name][1], second[name][1]) for name in specs} == {
        "own": (49, 48),
        "tied": (97, 97),
        "gathered": (49, 48),
    }
