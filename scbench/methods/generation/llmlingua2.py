"""LLMLingua-2: a token classifier drops the words of the context that questions hardly need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Self

from scbench.classifiers import Classifier, find_classifier
from scbench.errors import UserError
from scbench.methods.base import Complexity, Method, Stage

if TYPE_CHECKING:
    from scbench.models import Model

SETTING = "llmlingua2.classifier"
MIN_RATE = 0.02
"""Thresholds are whole percents, and what lies above the last of them is one."""


@dataclass(frozen=True, kw_only=True)
class LLMLingua2(Method):
    """The context's text is shortened before a prompt is made of it; what is left is encoded by exact attention.

    A token classifier reads chunks of up to 512 tokens, each by itself, and says of each token how probable it is to be
    kept. Tokens merge into words, whose probability is their mean; of each chunk the words above the percentile that
    leaves the share `budget` of its tokens are kept. Questions, instructions and chat template are never touched. A
    multi-turn session's context is shortened once, without a look at any question.

    budget: the share of each context that is kept, whatever its length (the published `rate`). classifier: a name from
    resources/classifiers.lock.yaml, or the path of a directory. force: strings that are always kept (published: these
    two). classifier_sha256: digest of the classifier's files, found when the settings are resolved; None while the lock
    does not pin them.

    Published otherwise: words are weighed by the tokens of another model's tokenizer, letters after a mark belong to
    its word, ideographs of a clause are one word, and forced strings that follow each other all stay unless one asks.
    """

    name: ClassVar[str] = "llmlingua2"
    title: ClassVar[str] = "LLMLingua-2"
    stage: ClassVar[Stage] = "generation"
    paper: ClassVar[str] = (
        "Pan et al., LLMLingua-2: Data Distillation for Efficient and Faithful Task-Agnostic Prompt Compression, 2024"
    )
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=True, decode_efficient=False, kv_size="O(an)", prefill="O(a^2 n^2)", decode="O(anm)"
    )
    starts_dense: ClassVar[bool] = False
    shortens: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = (
        "scbench.methods.generation.llmlingua2",
        "scbench.methods.generation.kept_words",
        "scbench.methods.generation.token_classifier",
        "scbench.shortening",
    )
    default_budget: ClassVar[float] = 1 / 2

    classifier: str
    classifier_sha256: str | None
    force: tuple[str, ...]

    @classmethod
    def resolve(cls, settings: Mapping[str, Any], context_tokens: int) -> Self:
        name = settings.get("classifier", "minilm_classifier")
        if not isinstance(name, str):
            raise UserError(f"llmlingua2.classifier: {name!r} is not a name; give one of the lock, or a directory")
        force = settings.get("force", ("\n", "?"))
        if not isinstance(force, list | tuple) or not all(isinstance(text, str) and text for text in force):
            raise UserError(f'llmlingua2.force: {force!r} is not a list of strings; give for example ["\\n", "?"]')
        found = find_classifier(SETTING, name).digest
        if settings.get("classifier_sha256", found) != found:
            raise UserError(
                f"llmlingua2.classifier_sha256: {settings['classifier_sha256']!r}, but the files of {name} have "
                f"{found}; leave it out to take them as they are"
            )
        resolved = {"classifier": name, "classifier_sha256": found, "force": tuple(force)}
        return super().resolve({**settings, **resolved}, context_tokens)

    def check(self) -> None:
        if self.budget < MIN_RATE:
            raise UserError(
                f"llmlingua2.budget: {self.budget:.4g} is below {MIN_RATE}, where no whole percentile is left to cut "
                "at; give 1/50 or more"
            )

    def check_model(self, model: Model) -> None:
        trained_for = self._found().models
        if trained_for and model.name not in trained_for:
            raise UserError(
                f"llmlingua2.classifier: {self.classifier} was trained on what {', '.join(trained_for)} read, not for "
                f"{model.name}; name another, for example xlm_roberta_meetingbank"
            )

    @property
    def pending(self) -> tuple[str, ...]:
        return () if self._found().files else (f"pinned files of the classifier {self.classifier}",)

    def shorten(self, context: str, device: str) -> list[tuple[int, int]]:
        if self.budget == 1:
            return [(0, len(context))]
        from scbench.methods.generation.kept_words import chosen, kept_spans
        from scbench.methods.generation.token_classifier import words

        chunks = words(SETTING, self.classifier, self.classifier_sha256, context, self.force, device)
        stays = chain.from_iterable(chosen(chunk, self.budget) for chunk in chunks)
        return kept_spans(context, list(chain.from_iterable(chunks)), list(stays))

    def _found(self) -> Classifier:
        return find_classifier(SETTING, self.classifier)
