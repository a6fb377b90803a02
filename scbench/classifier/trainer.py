"""Trains a small bidirectional encoder to tell needed tokens from others, and says how well it does."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, BertConfig, BertForTokenClassification, PreTrainedTokenizerBase

from scbench.classifier.examples import Example, examples, session
from scbench.classifiers import TRAINING_LIBRARIES
from scbench.errors import UserError
from scbench.methods.generation.token_classifier import CHUNK, KEEP, padded
from scbench.minilm.stream import token_counter
from scbench.places import ROOT
from scbench.schema import unknown, validate
from scbench.tasks import NAMES
from scbench.versions import version

IGNORE = -100
WARM_UP = 0.1


def check_recipe(values: Any, origin: str) -> dict[str, Any]:
    """The recipe in `values`. Raises UserError, which names `origin`, for what is wrong with it."""
    recipe = validate(values, "classifier_recipe.schema.yaml", origin)
    for task in recipe["tasks"]:
        if task not in NAMES:
            raise unknown(origin, "tasks", task, NAMES)
    if not (ROOT / recipe["tokenizer"] / "tokenizer.json").is_file():
        raise UserError(
            f"{origin}: tokenizer: {recipe['tokenizer']} has no tokenizer.json; name the directory of a saved tokenizer"
        )
    size = recipe["size"]
    if size["hidden_size"] % size["num_attention_heads"]:
        raise UserError(
            f"{origin}: size.hidden_size: {size['hidden_size']} is not a multiple of the {size['num_attention_heads']} "
            "attention heads; make it one"
        )
    return recipe


class Trainer:
    """One training from a checked `recipe`; the same recipe gives the same weights on the same kind of machine."""

    def __init__(self, recipe: dict[str, Any], say: Callable[[str], None]) -> None:
        self.recipe = recipe
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(ROOT / recipe["tokenizer"])
        self._say = say
        torch.manual_seed(recipe["seed"])
        torch.use_deterministic_algorithms(True)
        config = BertConfig(
            vocab_size=len(self.tokenizer),
            max_position_embeddings=CHUNK,
            pad_token_id=self.tokenizer.pad_token_id,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            id2label={0: "drop", KEEP: "keep"},
            **recipe["size"],
        )
        self.model = BertForTokenClassification(config)

    def run(self) -> dict[str, Any]:
        """Train; return the report: what was made of what, in how long, and how well it does on held-out sessions."""
        recipe, began = self.recipe, (time.perf_counter(), time.process_time())
        # The stream of the held-out sessions is another one, of a negative seed.
        trained = self._examples(recipe["seed"], recipe["sessions"])
        held_out = self._examples(-1 - recipe["seed"], recipe["held_out"])
        self._fit(trained)
        seconds = time.perf_counter() - began[0], time.process_time() - began[1]
        return {
            "recipe": recipe,
            "parameters": sum(weights.numel() for weights in self.model.parameters()),
            "chunks": len(trained),
            "tokens": sum(len(example.ids) for example in trained),
            "seconds": {"wall": round(seconds[0], 1), "processor": round(seconds[1], 1)},
            "threads": torch.get_num_threads(),
            "versions": {name: version(name) for name in TRAINING_LIBRARIES},
            "held_out": judge(self.model, held_out, self.tokenizer),
        }

    def export(self, directory: Path) -> None:
        """Write configuration, weights and tokenizer into `directory`."""
        self.model.save_pretrained(directory)
        self.tokenizer.chat_template = None
        self.tokenizer.save_pretrained(directory)

    def _examples(self, seed: int, sessions: int) -> list[Example]:
        recipe, count = self.recipe, token_counter(self.tokenizer)
        return [
            example
            for task in recipe["tasks"]
            for number in range(sessions)
            for example in examples(
                session(task, seed, number, recipe["tokens"], recipe["turns"], count), self.tokenizer
            )
        ]

    def _fit(self, trained: Sequence[Example]) -> None:
        recipe = self.recipe
        rng, waiting = random.Random(recipe["seed"]), []
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=recipe["learning_rate"])
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step / recipe["steps"]))
        self.model.train()
        for step in range(1, recipe["steps"] + 1):
            if len(waiting) < recipe["chunks_per_step"]:
                waiting = rng.sample(trained, len(trained))
            batch, waiting = waiting[: recipe["chunks_per_step"]], waiting[recipe["chunks_per_step"] :]
            loss = self._loss(batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if step % 100 == 0:
                self._say(f"step {step}: loss {loss.item():.3f}")
        self.model.eval()

    def _loss(self, batch: Sequence[Example]) -> torch.Tensor:
        ids, mask = padded([example.ids for example in batch], self.tokenizer, self.model.device)
        labels = torch.full_like(ids, IGNORE)
        for row, example in enumerate(batch):
            known = [IGNORE if label is None else label for label in example.labels]
            labels[row, : len(known)] = torch.tensor(known)
        logits = self.model(ids, mask).logits
        return cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)


def _share(done: float) -> float:
    """The learning rate after a share of the steps, relative to its highest."""
    return done / WARM_UP if done < WARM_UP else 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))


@torch.no_grad()
def judge(
    model: BertForTokenClassification, held_out: Sequence[Example], tokenizer: PreTrainedTokenizerBase
) -> dict[str, dict[str, float]]:
    """By task: the share of needed tokens, and of the half of each chunk that is kept how much is needed and found.

    precision: needed tokens among the kept half; recall: kept ones among the needed, 1 where none is; random dropping
    has the precision `needed` and the recall .5.
    """
    counts: dict[str, list[int]] = {}
    for example in held_out:
        probabilities = model(*padded([example.ids], tokenizer, model.device)).logits.softmax(-1)[0, :, KEEP]
        known = [number for number, label in enumerate(example.labels) if label is not None]
        kept = sorted(known, key=lambda number: (-probabilities[number].item(), number))[: len(known) // 2]
        found = counts.setdefault(example.task, [0, 0, 0, 0])
        hits = sum(example.labels[number] for number in kept)
        needed = sum(example.labels[number] for number in known)
        counts[example.task] = [a + b for a, b in zip(found, (len(known), len(kept), needed, hits), strict=True)]
    return {
        task: {"needed": needed / tokens, "precision": hits / kept, "recall": hits / needed if needed else 1.0}
        for task, (tokens, kept, needed, hits) in counts.items()
    }
