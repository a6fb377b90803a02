import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from scbench.errors import UserError
from scbench.minilm.evaluation import exact_match
from scbench.minilm.model import MiniLlama
from scbench.minilm.stream import Document
from scbench.minilm.trainer import Trainer


def make(recipe, tokenizer, folder, said=None):
    folder.mkdir(exist_ok=True)
    return Trainer(recipe, tokenizer, folder, say=(lambda line: None) if said is None else said.append)


def with_gates(recipe, gate, required):
    first = dataclasses.replace(recipe.stages[0], evaluate_every=2, gates={"retr_kv": gate}, required=required)
    return dataclasses.replace(recipe, stages=(first, recipe.stages[1]))


@pytest.mark.parametrize("stop", [1, 3, 4, 5])
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(recipe, tokenizer, tmp_path, stop):
    whole = make(recipe, tokenizer, tmp_path / "whole")
    assert not whole.run(steps_limit=6)
    interrupted = make(recipe, tokenizer, tmp_path / "parts")
    interrupted.run(steps_limit=stop)
    resumed = make(recipe, tokenizer, tmp_path / "parts")
    resumed.resume()
    resumed.run(steps_limit=6)
    assert resumed.progress["steps"] == 6 and resumed.progress["stage"] == "second"
    stored = [load_file(trainer.checkpoint) for trainer in (whole, resumed)]
    assert stored[0].keys() == stored[1].keys()
    assert all(torch.equal(stored[0][name], stored[1][name]) for name in stored[0])


@pytest.mark.parametrize("stop", [3, 4, 5])
def test_a_run_that_gets_deeper_resumes_on_either_side(recipe, tokenizer, tmp_path, stop):
    second = dataclasses.replace(recipe.stages[1], insert_layers=(1,))
    recipe = dataclasses.replace(recipe, stages=(recipe.stages[0], second), weight_decay=0.1)
    assert recipe.trained_size.num_hidden_layers == 3
    whole = make(recipe, tokenizer, tmp_path / "whole")
    whole.run(steps_limit=6)
    make(recipe, tokenizer, tmp_path / "parts").run(steps_limit=stop)
    resumed = make(recipe, tokenizer, tmp_path / "parts")
    resumed.resume()
    resumed.run(steps_limit=6)
    assert resumed.progress["deepened"] == ["second"] and len(resumed.model.model.layers) == 3
    # Optimizers are made anew: at the start, and when a model gets deeper.
    for trainer in (whole, resumed, make(recipe, tokenizer, tmp_path / "new")):
        assert trainer.optimizers["muon"].param_groups[0]["weight_decay"] == 0.1
    stored = [load_file(trainer.checkpoint) for trainer in (whole, resumed)]
    assert stored[0].keys() == stored[1].keys()
    assert all(torch.equal(stored[0][name], stored[1][name]) for name in stored[0])
    renamed = dataclasses.replace(recipe, stages=(recipe.stages[0], dataclasses.replace(second, name="other")))
    with pytest.raises(UserError, match="second"):
        make(renamed, tokenizer, tmp_path / "parts").resume()


def test_a_run_that_met_its_gate_moves_on_when_resumed(recipe, tokenizer, tmp_path):
    trainer = make(with_gates(recipe, 0.0, False), tokenizer, tmp_path)
    trainer._save = lambda save=trainer._save: save() or (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    again = make(with_gates(recipe, 0.0, False), tokenizer, tmp_path)
    again.resume()
    again.run(steps_limit=3)
    assert (again.progress["stage"], again.progress["stage_step"]) == ("second", 1)


def test_thirty_steps_reduce_the_loss(recipe, tokenizer, tmp_path):
    said = []
    trainer = make(recipe, tokenizer, tmp_path, said)
    assert trainer.run()
    losses = [json.loads(line)["loss"] for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.8 * losses[0]
    lines = [line for line in said if "tok/s" in line]
    assert len(lines) == len(losses) == 4
    assert all(part in lines[-1] for part in ("second 26/26", "step 30", "retr_kv", "at most 0 min left"))


def test_the_report_states_what_was_run(recipe, tokenizer, tmp_path):
    trainer = make(recipe, tokenizer, tmp_path)
    trainer.run(steps_limit=4)
    trainer.write_report(tmp_path / "report.json", {"config.json": "0" * 64})
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["files"] == {"config.json": "0" * 64}
    assert report["steps"] == 4 and report["seed"] == 0 and not report["finished"]
    assert report["recipe_digests"] == [recipe.digest] and report["max_length"] == 160
    assert report["parameters"] == sum(parameter.numel() for parameter in trainer.model.parameters())
    assert set(report["accuracy"]["retr_kv"]["turns"]) <= {"1", "2", "3", "4", "5"}
    assert 0 <= report["builder_seconds"] <= report["seconds"]


def test_a_stage_ends_at_its_gate_and_an_unmet_gate_that_is_required_stops_the_run(recipe, tokenizer, tmp_path):
    easy = make(with_gates(recipe, 0.0, True), tokenizer, tmp_path / "easy")
    easy.run(steps_limit=3)
    assert (easy.progress["stage"], easy.progress["stage_step"]) == ("second", 1)
    optional = make(with_gates(recipe, 1.0, False), tokenizer, tmp_path / "optional")
    optional.run(steps_limit=5)
    assert (optional.progress["stage"], optional.progress["stage_step"]) == ("second", 1)
    with pytest.raises(UserError, match=r"first .* retr_kv.*--resume"):
        make(with_gates(recipe, 1.0, True), tokenizer, tmp_path / "required").run()


def test_a_changed_recipe_is_listed_and_other_sizes_are_refused(recipe, tokenizer, size, tmp_path):
    make(recipe, tokenizer, tmp_path).run(steps_limit=1)
    changed = dataclasses.replace(recipe, many_questions=0.5)
    trainer = make(changed, tokenizer, tmp_path)
    trainer.resume()
    assert trainer.report()["recipe_digests"] == [recipe.digest, changed.digest]
    larger = dataclasses.replace(recipe, size=dataclasses.replace(size, intermediate_size=97))
    with pytest.raises(UserError, match="other sizes"):
        make(larger, tokenizer, tmp_path).resume()
    with pytest.raises(UserError, match=r"stage 'first'.*third"):
        renamed = tuple(dataclasses.replace(stage, name=f"third {stage.name}") for stage in recipe.stages)
        make(dataclasses.replace(recipe, stages=renamed), tokenizer, tmp_path).resume()


def test_a_checkpoint_cut_short_is_refused(recipe, tokenizer, tmp_path):
    trainer = make(recipe, tokenizer, tmp_path)
    trainer.run(steps_limit=1)
    trainer.checkpoint.write_bytes(trainer.checkpoint.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"checkpoint\.safetensors.*delete it"):
        make(recipe, tokenizer, tmp_path).resume()


def test_an_answer_is_right_only_as_a_whole(size):
    model = MiniLlama(size, 50)
    ids = torch.randint(50, (1, 12))
    with torch.no_grad():
        for position in range(5, 11):
            ids[0, position + 1] = (model.hidden(ids)[0, position] @ model.model.embed_tokens.weight.T).argmax()
    spans = (range(6, 9), range(9, 12))
    right = Document("t", tuple(ids[0].tolist()), spans)
    last = (right.ids[-1] + 1) % 50
    wrong = Document("t", (*right.ids[:-1], last), spans)
    assert exact_match(model, [right], 64, torch.device("cpu")) == {"1": 1.0, "2": 1.0}
    assert exact_match(model, [right, wrong, wrong], 24, torch.device("cpu")) == {"1": 1.0, "2": pytest.approx(1 / 3)}
