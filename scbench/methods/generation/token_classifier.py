"""A token classifier of LLMLingua-2's kind, run through transformers: how likely each token of a text is to be kept."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForTokenClassification, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging

from scbench.classifiers import find_classifier
from scbench.errors import UserError
from scbench.methods.generation.kept_words import END_OF_TEXT, Span, Word, forced_runs, words_of

CHUNK = 512
"""Tokens of one pass of the classifier, its special tokens included, as published."""
BATCH = 16
KEEP = 1
"""The label of a token that is kept; the other is 0."""


class TokenClassifier:
    """A classifier and its tokenizer on one device, in float32."""

    def __init__(self, setting: str, directory: Path, device: str) -> None:
        """Load the checkpoint in `directory`: safetensors only, no code from it, no network.

        Raises UserError, which names `setting`, where it cannot be read or is not such a classifier.
        """
        logging.disable_progress_bar()
        self._tokenizer = _read(setting, AutoTokenizer, directory)
        model, loading = _read(
            setting,
            AutoModelForTokenClassification,
            directory,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
        )
        if absent := sorted(loading["missing_keys"]) or sorted(map(str, loading["mismatched_keys"])):
            raise UserError(f"{setting}: {directory} lacks weights such as {absent[0]}; fetch the classifier again")
        self._model = model.eval().requires_grad_(False).to(device)
        self._before, self._after = affixes(self._tokenizer)
        self._check(setting, directory)

    def _check(self, setting: str, directory: Path) -> None:
        config, tokenizer = self._model.config, self._tokenizer
        if config.num_labels != 2:
            raise UserError(
                f"{setting}: {directory} tells {config.num_labels} labels apart, not kept from dropped; name a "
                "classifier of two labels"
            )
        if config.max_position_embeddings < CHUNK:
            raise UserError(
                f"{setting}: {directory} reads {config.max_position_embeddings} tokens at once, fewer than the {CHUNK} "
                "of a chunk; name another classifier"
            )
        token, largest = max(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
        if largest >= config.vocab_size:
            raise UserError(
                f"{setting}: the tokenizer in {directory} knows a token {token!r} of id {largest}, but config.json has "
                f"vocab_size {config.vocab_size}: it is another model's; fetch both of one revision"
            )
        if not tokenizer.is_fast:
            raise UserError(
                f"{setting}: the tokenizer in {directory} does not say where its tokens stand in a text; add its "
                "tokenizer.json"
            )

    def words(self, text: str, force: tuple[str, ...]) -> list[list[Word]]:
        """The words of each chunk of `text`; those that hold only a string of `force` have the probability 1."""
        text = text.replace(END_OF_TEXT, " " * len(END_OF_TEXT))
        ids, spans = tokens_of(self._tokenizer, text)
        if not ids:
            return []
        room = CHUNK - len(self._before) - len(self._after)
        stops = chunk_stops([ends_chunk(text[start:stop]) for start, stop in spans], room)
        chunks = list(pairwise([0, *stops]))
        probabilities = self._probabilities([ids[start:stop] for start, stop in chunks])
        # A run between two chunks belongs to the one before.
        runs = forced_runs(text, force)
        borders = [bisect_left(runs, spans[start][0], key=itemgetter(0)) for start, _ in chunks[1:]]
        parts = pairwise([0, *borders, len(runs)])
        return [
            words_of(text, spans[start:stop], found, runs[low:high])
            for (start, stop), found, (low, high) in zip(chunks, probabilities, parts, strict=True)
        ]

    def _probabilities(self, chunks: Sequence[Sequence[int]]) -> Iterator[list[float]]:
        """The probability of each token of each chunk to be kept."""
        for first in range(0, len(chunks), BATCH):
            batch = [[*self._before, *ids, *self._after] for ids in chunks[first : first + BATCH]]
            logits = self._model(*padded(batch, self._tokenizer, self._model.device)).logits
            kept = logits.float().softmax(-1)[..., KEEP].tolist()
            for row, ids in zip(kept, batch, strict=True):
                yield row[len(self._before) : len(ids) - len(self._after)]


def tokens_of(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[Span]]:
    """The tokens of `text`, none of them added, and the characters that each stands for."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return encoded["input_ids"], encoded["offset_mapping"]


def affixes(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text of its own accord."""
    bare, whole = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    start = whole.index(bare[0])
    return whole[:start], whole[start + len(bare) :]


def ends_chunk(token: str) -> bool:
    """Whether a chunk may end after `token`: it ends a sentence or a line."""
    return token.endswith("\n") or token.rstrip().endswith((".", "。"))


def chunk_stops(ends: Sequence[bool], room: int) -> list[int]:
    """Where chunks stop: each has at most `room` tokens and ends at the last one that may end it, if there is any."""
    stops: list[int] = []
    start = 0
    while start < len(ends):
        stop = min(start + room, len(ends))
        if stop < len(ends):
            stop = next((last + 1 for last in range(stop - 1, start - 1, -1) if ends[last]), stop)
        stops.append(stop)
        start = stop
    return stops


def padded(
    rows: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Token ids [rows, longest], filled up on the right, and which of them are not filling."""
    ids = torch.full((len(rows), max(map(len, rows))), tokenizer.pad_token_id or 0)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    return ids.to(device), mask.to(device)


# Both modes, and rows that keep more or less, ask for the words of one context.
@lru_cache(maxsize=4)
def words(
    setting: str, name: str, digest: str | None, text: str, force: tuple[str, ...], device: str
) -> list[list[Word]]:
    """`TokenClassifier.words` of the classifier `name`, whose files had the `digest` when the settings were resolved.

    Raises UserError, which names `setting`, for files that are not those or cannot be used.
    """
    return _load(setting, name, digest, device).words(text, force)


@lru_cache(maxsize=2)
def _load(setting: str, name: str, digest: str | None, device: str) -> TokenClassifier:
    found = find_classifier(setting, name).verify()
    if found.digest != digest:
        raise UserError(f"{setting}: the files of {name} changed while the job ran; run the workflow again")
    return TokenClassifier(setting, found.directory, device)


def _read(setting: str, kind: type, directory: Path, **options: object) -> object:
    """What transformers' class `kind` makes of the checkpoint."""
    try:
        return kind.from_pretrained(directory, local_files_only=True, trust_remote_code=False, **options)
    except (OSError, ValueError, SafetensorError) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{setting}: {directory} cannot be loaded ({problem}); fetch the classifier again") from error
