"""Small random models whose attention matters: weights wide enough that a dropped key changes the answer."""

import torch
import transformers
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel

from scbench.prompts import EncodedSession

FAMILIES = ("Llama", "Qwen2", "Glm", "Glm4")
VOCABULARY = 97
END, BEGIN = 1, 2
SIZES = dict(
    hidden_size=48,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=6,
    num_key_value_heads=2,
    vocab_size=VOCABULARY,
    max_position_embeddings=512,
    initializer_range=0.25,
    bos_token_id=BEGIN,
    eos_token_id=END,
    pad_token_id=0,
    tie_word_embeddings=False,
)


def save_model(directory, family="Llama", seed=0, **more):
    """A random model of `family` with a word-level tokenizer, as a checkpoint in `directory`; its engine spec."""
    torch.manual_seed(seed)
    own = {} if family == "Qwen2" else {"head_dim": 8}
    config = getattr(transformers, f"{family}Config")(**SIZES | own | more)
    getattr(transformers, f"{family}ForCausalLM")(config).save_pretrained(directory)
    save_tokenizer(directory)
    return {"name": family.lower(), "path": str(directory)}


def save_tokenizer(directory):
    """The word-level tokenizer of all models here."""
    words = Tokenizer(WordLevel({f"w{number}": number for number in range(VOCABULARY)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    # All named: where one is not, the class of a family adds a token of its own, which the model has no row for.
    special = {"bos_token": f"w{BEGIN}", "eos_token": f"w{END}", "pad_token": "w0", "unk_token": "w0"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special)
    tokenizer.save_pretrained(directory)


def tokens(count, seed=0):
    """`count` random token ids, none of them special."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(3, VOCABULARY, (count,), generator=generator).tolist())


def encoded(context=150, questions=(11, 7, 13), answers=(3, 5, 2), limits=(6, 6, 6), seed=0, stop=frozenset({END})):
    """A session of random tokens in both modes: the same context, questions and answers."""
    text, asked = tokens(context, seed), [tokens(count, seed + 10 + n) for n, count in enumerate(questions)]
    golden = tuple(tokens(count, seed + 20 + n) for n, count in enumerate(answers))
    rest = (golden, tuple(limits), stop, 0, (None,) * len(asked))
    between = [(4, 5, *question) for question in asked]
    return {
        "multi_turn": EncodedSession("multi_turn", text + asked[0], ((), *between[1:]), *rest, question=len(asked[0])),
        "multi_request": EncodedSession("multi_request", text, tuple(asked), *rest),
    }
