"""The documents a model is trained on: sessions of the training half of the world, encoded as evaluation encodes them.

A document is a pure function of (recipe, stage, number), so that a resumed run sees what an uninterrupted one would.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from scbench.errors import UserError
from scbench.minilm.drills import DRILLS, KNOWN_DRILLS
from scbench.minilm.model import IGNORE
from scbench.minilm.recipe import Recipe, Stage
from scbench.minilm.texts import Texts
from scbench.minilm.thinned import TEXT_DRILLS
from scbench.prompts import encode
from scbench.sessions import Session
from scbench.tasks import TASKS, Scale

TURNS = 5


@dataclass(frozen=True)
class Document:
    """Token ids, and the positions that are asked for: of a session played to its end, answers and stop tokens."""

    task: str
    ids: tuple[int, ...]
    answers: tuple[range, ...]


def token_counter(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], int]:
    """Tokens in a text, for builders that fill a context; pieces recur, so counts are remembered."""
    backend = tokenizer.backend_tokenizer

    @lru_cache(maxsize=100_000)
    def count(text: str) -> int:
        return len(backend.encode(text, add_special_tokens=False).ids)

    return count


def play(session: Session, tokenizer: PreTrainedTokenizerBase, length: int) -> Document:
    """The session as one document: first prompt, golden answer, next question, ..., as many turns as fit in `length`.

    The stop token after an answer is the end-of-turn token that opens the next question, so it is a target too. The
    first turn is kept even where it does not fit: a document without an answer teaches nothing.
    """
    encoded = encode(session, "multi_turn", tokenizer, profile="clean", max_prompt_tokens=None, scale_name="mini")
    ids: list[int] = list(encoded.first)
    answers: list[range] = []
    for query, answer in zip(encoded.queries, encoded.answers, strict=True):
        if answers and len(ids) + len(query) + len(answer) + 1 > length:
            break
        ids += query
        answers.append(range(len(ids), len(ids) + len(answer) + 1))
        ids += answer
    return Document(session.task, (*ids, tokenizer.eos_token_id), tuple(answers))


class DocumentStream:
    """All documents of a recipe.

    Training sessions come from seeds 0, 1, ... of the split `train` (one a stage), the sessions that are looked at
    during training from a negative seed of the same split. The split `eval` is never built here.
    """

    def __init__(self, recipe: Recipe, tokenizer: PreTrainedTokenizerBase):
        self.recipe = recipe
        self.tokenizer = tokenizer
        self.count = token_counter(tokenizer)
        # Held-out sessions are looked at many times; how many turns fit is asked for every document.
        self.held_out = cache(self._held_out)
        self._fit = cache(self._count_turns)
        # Drills draw from all tokens, or from the codes alone: the strings of most tasks are made of these.
        special = set(tokenizer.all_special_ids)
        everything = [token for token in range(len(tokenizer)) if token not in special]
        codes = [token for token in everything if re.fullmatch("[a-z][0-9]", tokenizer.decode([token]))]
        self._pools = (everything, codes) if codes else (everything,)

    def tasks(self, stage: Stage) -> list[str]:
        """The tasks of a stage that can be built at its length, in the recipe's order."""
        return [name for name in stage.weights if name not in KNOWN_DRILLS and TASKS[name].min_tokens <= stage.tokens]

    def drawn(self, stage: Stage) -> list[str]:
        """What documents of a stage are of: its tasks and its drills."""
        return self.tasks(stage) + [name for name in stage.weights if name in KNOWN_DRILLS]

    def seed(self, stage: Stage) -> int:
        return self.recipe.seed * 1000 + [other.name for other in self.recipe.stages].index(stage.name)

    def training(self, stage: Stage, number: int) -> Document:
        """Document `number` of a stage: mostly one that asks as many questions as fit, else one with five turns."""
        rng = random.Random(f"documents/{self.seed(stage)}/{number}")
        names = self.drawn(stage)
        name = rng.choices(names, [stage.weights[name] for name in names])[0]
        if name in TEXT_DRILLS:
            ids, asked = TEXT_DRILLS[name](rng, Texts(self._encode, self.count, stage.tokens, stage.length))
            return Document(name, tuple(ids), tuple(asked))
        if name in DRILLS:
            ids, asked = DRILLS[name](rng, rng.choice(self._pools), stage.tokens)
            return Document(name, tuple(ids), tuple(asked))
        tokens, turns = stage.tokens, TURNS
        if rng.random() < self.recipe.many_questions:
            tokens = max(TASKS[name].min_tokens, min(stage.tokens, stage.length // 2))
            turns = self._fit(name, tokens, stage.length)
        return play(self._build(name, tokens, turns, self.seed(stage), number), self.tokenizer, stage.length)

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids

    def _held_out(self, stage_number: int, name: str) -> list[Document]:
        """Sessions of one task that are never trained on, five turns each at the full context of the stage."""
        stage = self.recipe.stages[stage_number]
        seed = -1 - self.recipe.seed
        sessions = (
            self._build(name, stage.tokens, TURNS, seed, number) for number in range(self.recipe.evaluation_sessions)
        )
        return [play(session, self.tokenizer, stage.length) for session in sessions]

    def _build(self, name: str, tokens: int, turns: int, seed: int, number: int) -> Session:
        """A session with at most `turns` turns: fewer where the builder finds no room for them."""
        while True:
            scale = Scale(name="mini", tokens=tokens, turns=turns, count=self.count, order="balanced", split="train")
            try:
                return TASKS[name].build(scale, seed, number)
            except (UserError, ValueError):
                if turns == 1:
                    raise
                turns = turns * 3 // 4

    def _count_turns(self, name: str, tokens: int, length: int) -> int:
        """How many turns of a task fit behind `tokens` of context, judged by one probe session."""
        probe = self._build(name, tokens, TURNS, -1 - self.recipe.seed, -1)
        document = play(probe, self.tokenizer, 10**9)
        start = document.answers[0].stop
        a_turn = (len(document.ids) - start) / max(1, len(document.answers) - 1)
        wanted = max(TURNS, 1 + int((length - start) / max(1.0, a_turn)))
        return len(self._build(name, tokens, wanted, -1 - self.recipe.seed, -1).turns)

    def batch(self, stage: Stage, step: int) -> list[Document]:
        """The documents of one training step; `step` counts from the start of the stage."""
        size = self.recipe.documents_per_step(stage)
        return [self.training(stage, step * size + offset) for offset in range(size)]


def collate(documents: list[Document], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and next-token labels [documents, longest], padded on the right; `IGNORE` where nothing is asked."""
    longest = max(len(document.ids) for document in documents)
    ids = torch.zeros(len(documents), longest, dtype=torch.long)
    labels = torch.full_like(ids, IGNORE)
    for row, document in enumerate(documents):
        tokens = torch.tensor(document.ids)
        ids[row, : len(tokens)] = tokens
        for answer in document.answers:
            labels[row, answer.start - 1 : answer.stop - 1] = tokens[answer.start : answer.stop]
    return ids.to(device), labels.to(device)
