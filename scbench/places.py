"""Where files are: the repository, and the paths under the working directory that commands and rules agree on."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

STORE = Path("results/store")  # shared by all studies
# Methods of the user's own (`scbench.methods`), in the directory where the command was started.
OWN_METHODS = Path("my_methods").absolute()


def model_directory(model: str) -> str:
    """Where the workflow puts a model that it trains itself."""
    return f"results/models/{model}"


def classifier_directory(classifier: str) -> str:
    """Where the workflow puts a token classifier that it trains itself."""
    return f"results/classifiers/{classifier}"


def patterns_file(model: str, tokens: int | str) -> str:
    """The head patterns of `model`, searched at a context of `tokens` tokens."""
    return f"results/patterns/{model}-{tokens}.json"


def raw_file(source: str, file: str) -> str:
    """A file from outside, once it is fetched; `source` and `file` as in resources/raw.lock.yaml."""
    return f"results/raw/{source}/{file}"


def study_file(study: str) -> str:
    """The study as it was resolved: every default filled in."""
    return f"results/{study}/study.json"


def baseline_file(study: str, model: str) -> str:
    """How full attention did when `model` was checked, before the study's own inference."""
    return f"results/{study}/baseline/{model}.json"


def sessions_file(study: str, task: str) -> str:
    return f"results/{study}/sessions/{task}.parquet"


def part_file(study: str, model: str, label: str, task: str, mode: str, first: int, stop: int) -> str:
    """Results of one cell for the sessions [first, stop)."""
    return f"results/{study}/cells/{model}/{label}/{task}/{mode}/{first}-{stop}.jsonl"


def scores_file(study: str, model: str, label: str) -> str:
    return f"results/{study}/scores/{model}/{label}.parquet"


def artifact_file(study: str, name: str) -> str:
    return f"results/{study}/artifacts/{name}"


def view_file(study: str, name: str) -> str:
    """A page of an artifact that a browser could not show as it is."""
    return f"results/{study}/views/{name}.html"


def attention_file(study: str) -> str:
    """What the study's first model attends to in one session of look-ups."""
    return f"results/{study}/attention.json"


def progress_file(study: str, job: str) -> str:
    """{done, total, from_store, seconds} of a running job, for a display outside of it."""
    return f"results/{study}/progress/{job}.json"


def latency_file(study: str) -> str:
    """What each method of a study's first model costs, measured alone."""
    return f"results/{study}/latency.yaml"


def observations_directory(study: str) -> str:
    return f"results/{study}/observations"
