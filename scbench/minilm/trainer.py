"""The training run: stages with accuracy gates, progress lines, checkpoints, and a report at the end.

Stages end by steps and by accuracy, never by the clock, so that a slow machine trains the same model as a fast one.
"""

import json
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from scbench.canonical import write_atomically
from scbench.errors import UserError
from scbench.minilm.checkpoint import read_checkpoint, read_progress, write_checkpoint
from scbench.minilm.crew import Crew
from scbench.minilm.evaluation import mean
from scbench.minilm.model import MiniLlama, insert_layers
from scbench.minilm.optimizer import learning_rate, make_optimizers, set_learning_rate
from scbench.minilm.recipe import Recipe, Stage
from scbench.minilm.stream import DocumentStream

MAX_GRADIENT_NORM = 1.0


class Trainer:
    """A run of one recipe in one directory. `run` goes on from wherever `resume` left it.

    The recipe and the number of processes decide the weights on one kind of machine, wherever a run was interrupted;
    another number of processes changes rounding alone. More than one needs a CPU as device.
    """

    def __init__(
        self,
        recipe: Recipe,
        tokenizer: PreTrainedTokenizerBase,
        directory: Path,
        device: str = "cpu",
        say: Callable[[str], None] = print,
        processes: int = 1,
    ):
        self.recipe = recipe
        self.stream = DocumentStream(recipe, tokenizer)
        self.directory = directory
        self.device = torch.device(device)
        self.say = say
        self.processes = processes
        self.model = MiniLlama(recipe.size, len(tokenizer), recipe.seed).to(self.device)
        self.optimizers = make_optimizers(self.model, recipe.weight_decay)
        self._crew: Crew | None = None
        self.progress = {
            "recipes": [recipe.digest],
            "processes": [processes],
            "stage": recipe.stages[0].name,
            "stage_step": 0,
            "stage_ended": False,
            "deepened": [],
            "steps": 0,
            "tokens": 0,
            "seconds": 0.0,
            "builder_seconds": 0.0,
            "accuracy": {},
            "finished": False,
        }

    @property
    def checkpoint(self) -> Path:
        return self.directory / "checkpoint.safetensors"

    def resume(self) -> None:
        """Load the directory's checkpoint.

        A recipe or a number of processes that changed since is allowed, and listed in the report.
        """
        for name in read_progress(self.checkpoint).get("deepened", ()):
            self._deepen(self.recipe.stages[self._number(name)])
        older = {"deepened": [], "processes": [1]}
        self.progress = older | read_checkpoint(self.checkpoint, self.model, self.optimizers)
        if self.progress["recipes"][-1] != self.recipe.digest:
            self.progress["recipes"].append(self.recipe.digest)
        if self.progress["processes"][-1] != self.processes:
            self.progress["processes"].append(self.processes)
        self._stage_number()

    def _stage_number(self) -> int:
        return self._number(self.progress["stage"])

    def _number(self, stage: str) -> int:
        names = [known.name for known in self.recipe.stages]
        if stage not in names:
            raise UserError(
                f"{self.checkpoint}: went through stage {stage!r}, which the recipe lacks; "
                f"its stages are {', '.join(names)}: rename one or delete the checkpoint"
            )
        return names.index(stage)

    def _deepen(self, stage: Stage) -> None:
        """Insert the layers of `stage`; the optimizers start afresh, as half of what they would remember is missing."""
        self._dismiss()
        self.model = insert_layers(self.model, stage.insert_layers, self.recipe.seed)
        self.optimizers = make_optimizers(self.model, self.recipe.weight_decay)
        self.say(f"stage {stage.name}: {len(stage.insert_layers)} layers inserted")

    def run(self, steps_limit: int | None = None) -> bool:
        """Train until the last stage ends (True) or until `steps_limit` steps in all have been made (False)."""
        torch.manual_seed(self.recipe.seed)
        try:
            return self._run(steps_limit)
        finally:
            self._dismiss()

    def _run(self, steps_limit: int | None) -> bool:
        while not self.progress["finished"]:
            number = self._stage_number()
            stage = self.recipe.stages[number]
            if stage.insert_layers and stage.name not in self.progress["deepened"]:
                self._deepen(stage)
                self.progress["deepened"].append(stage.name)
            if not self._run_stage(stage, steps_limit):
                self._save()
                return False
            if number + 1 < len(self.recipe.stages):
                self.progress |= {"stage": self.recipe.stages[number + 1].name, "stage_step": 0, "stage_ended": False}
            else:
                self.progress["finished"] = True
            self._save()
        return True

    @property
    def crew(self) -> Crew:
        """The processes that work on the model; started when first needed."""
        if self._crew is None:
            self._crew = Crew(self.model, self.stream, self.processes)
        return self._crew

    def _dismiss(self) -> None:
        if self._crew is not None:
            self._crew.close()
            self._crew = None

    def _run_stage(self, stage: Stage, steps_limit: int | None) -> bool:
        """True once the stage has ended, False where `steps_limit` stopped it."""
        progress = self.progress
        drawn = ", ".join(self.stream.drawn(stage))
        self.say(f"stage {stage.name}: {stage.tokens} tokens, at most {stage.steps} steps, {drawn}")
        window = Window()
        while not progress["stage_ended"]:
            if steps_limit is not None and progress["steps"] >= steps_limit:
                return False
            self._step(stage, window)
            if progress["stage_step"] % stage.evaluate_every and progress["stage_step"] < stage.steps:
                continue
            met = self._look(stage, window)
            window = Window()
            progress["stage_ended"] = met or progress["stage_step"] >= stage.steps
            # Saved with its end, so that a run that is resumed here does not train the stage further.
            self._save()
            if met:
                self.say(f"stage {stage.name}: every gate met after {progress['stage_step']} steps")
        missed = [task for task, gate in stage.gates.items() if mean(progress["accuracy"].get(task, {})) < gate]
        if missed and stage.required:
            raise UserError(
                f"stage {stage.name} of recipe {self.recipe.name} ended below its gate on {', '.join(missed)}, "
                f"and later stages do not recover from that; give it more `steps` and --resume, or change `seed`"
            )
        return True

    def _step(self, stage: Stage, window: "Window") -> None:
        progress = self.progress
        started = time.perf_counter()
        documents = self.crew.batch(self._stage_number(), progress["stage_step"])
        built = time.perf_counter()
        rate = learning_rate(*stage.learning_rate, progress["stage_step"], stage.steps)
        set_learning_rate(self.optimizers, rate * min(1.0, (progress["steps"] + 1) / self.recipe.warmup_steps))
        loss = self.crew.gradients(documents)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
        for optimizer in self.optimizers.values():
            optimizer.step()
        tokens = sum(len(document.ids) for document in documents)
        progress["stage_step"] += 1
        progress["steps"] += 1
        progress["tokens"] += tokens
        window.losses.append(loss)
        window.tokens += tokens
        seconds = time.perf_counter() - started
        window.seconds += seconds
        progress["seconds"] += seconds
        progress["builder_seconds"] += built - started

    def _look(self, stage: Stage, window: "Window") -> bool:
        """Evaluate and print a line; True when the stage has gates and all of them are met."""
        progress = self.progress
        started = time.perf_counter()
        number = self._stage_number()
        held_out = {task: self.stream.held_out(number, task) for task in self.stream.tasks(stage)}
        progress["accuracy"] = self.crew.accuracy(held_out, self.recipe.tokens_per_step)
        progress["seconds"] += time.perf_counter() - started
        self.say(self._line(stage, window))
        line = {key: progress[key] for key in ("stage", "stage_step", "steps", "tokens", "seconds", "accuracy")}
        with open(self.directory / "progress.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line | {"loss": window.loss}) + "\n")
        gates = {task: gate for task, gate in stage.gates.items() if task in progress["accuracy"]}
        return bool(gates) and all(mean(progress["accuracy"][task]) >= gate for task, gate in gates.items())

    def _line(self, stage: Stage, window: "Window") -> str:
        progress = self.progress
        left = stage.steps - progress["stage_step"]
        left += sum(later.steps for later in self.recipe.stages[self._stage_number() + 1 :])
        minutes = left * progress["seconds"] / progress["steps"] / 60
        accuracy = " ".join(f"{task} {mean(turns):.2f}" for task, turns in progress["accuracy"].items())
        return (
            f"{stage.name} {progress['stage_step']}/{stage.steps} | step {progress['steps']} | "
            f"{progress['tokens'] / 1e6:.2f} M tokens | {window.tokens / window.seconds:.0f} tok/s | "
            f"loss {window.loss:.3f} | {accuracy} | at most {minutes:.0f} min left"
        )

    def _save(self) -> None:
        write_checkpoint(self.checkpoint, self.model, self.optimizers, self.progress)

    def report(self) -> dict:
        """What the model card states: how the weights came to be and what they reached on held-out sessions."""
        return {
            "recipe": self.recipe.name,
            "recipe_digests": self.progress["recipes"],
            "seed": self.recipe.seed,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "max_length": self.recipe.max_length,
            "steps": self.progress["steps"],
            "tokens": self.progress["tokens"],
            "seconds": round(self.progress["seconds"], 1),
            "builder_seconds": round(self.progress["builder_seconds"], 1),
            "finished": self.progress["finished"],
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else platform.machine(),
            "processes": self.progress["processes"],
            "threads": torch.get_num_threads(),
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in ("torch", "transformers", "tokenizers", "safetensors")},
            "accuracy": {
                task: {"mean": round(mean(turns), 4), "turns": turns}
                for task, turns in self.progress["accuracy"].items()
            },
        }

    def write_report(self, path: Path, files: Mapping[str, str]) -> None:
        """Write the report, and in it the sha256 of the files that were exported."""
        write_atomically(path, json.dumps(self.report() | {"files": dict(files)}, indent=2) + "\n")


class Window:
    """What happened since the last progress line."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.tokens = 0
        self.seconds = 1e-9

    @property
    def loss(self) -> float:
        return sum(self.losses) / max(1, len(self.losses))
