"""Brings the files of a pinned model to its directory: from the hub at the commit of the lock, or from a mirror.

A mirror is a directory that holds <model>/<file>, where nodes or head reach no network. What came is compared with the
lock before it counts; what is there already with the right bytes is not fetched again.
"""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from scbench.canonical import digest_file, replacing
from scbench.errors import UserError
from scbench.models import LOCK, READABLE, REPORT, Model
from scbench.store import writing

OTHER_FORMAT = "consolidated"  # how the publisher's own format of the same weights begins


def fetch_model(model: Model, mirror: str | None = None) -> list[Path]:
    """The files of `model` in its directory, fetched unless they are there with the bytes that the lock pins.

    Raises UserError for a model that is not pinned, gated, missing on the hub or in the mirror, or has other bytes.
    """
    if not model.files or model.hub is None:
        raise UserError(
            f"{LOCK.name}: {model.name}: nothing says which files are meant; `python -m scripts.fetch_model --name "
            f"{model.name} --pin` fetches the newest commit of {model.hub or 'its repository'} and pins it"
        )
    paths = [model.directory / file for file in model.files]
    wanted = [file for file, digest in model.files.items() if not _is_there(model.directory / file, digest)]
    if wanted:
        _bring(model, wanted, model.revision, mirror)
    model.verify()
    return paths


def pin_model(model: Model, mirror: str | None = None, revision: str = "main") -> tuple[str | None, dict[str, str]]:
    """Fetch the checkpoint of `model` as it is now: its commit (None from a mirror), and the sha256 of each file."""
    if model.hub is None:
        raise UserError(f"{LOCK.name}: {model.name}: has no hub repository to pin; it is bundled or trained here")
    commit = None
    if mirror is None:
        commit, files = _listed(model, revision)
    else:
        place = _mirrored(model, mirror)
        files = readable(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
    if not files:
        raise UserError(f"{model.hub}: holds no file that transformers reads; name another repository in {LOCK.name}")
    _bring(model, files, commit, mirror)
    return commit, {file: digest_file(model.directory / file) for file in files}


def written(lock: str, name: str, commit: str | None, files: dict[str, str]) -> str:
    """The text of the lock with the pin of the model `name`; everything else, comments too, stays."""
    begin = re.search(rf"(?m)^{re.escape(name)}:\n", lock)
    end = re.compile(r"(?m)^(?=\S)").search(lock, begin.end())
    block = lock[begin.end() : end.start() if end else len(lock)]
    listed = "".join(f"\n    {file}: {digest}" for file, digest in sorted(files.items()))
    block = re.sub(r"(?m)^  files:.*(\n    .*)*", lambda _: f"  files:{listed}", block, count=1)
    if commit:
        block = re.sub(r"(?m)^  revision:.*", f'  revision: "{commit}"', block, count=1)
    return lock[: begin.end()] + block + (lock[end.start() :] if end else "")


def readable(files: Iterable[str]) -> list[str]:
    """Those of a repository's `files` that belong to the checkpoint, sorted."""
    found = (file for file in files if Path(file).suffix in READABLE and "/" not in file and file != REPORT)
    return sorted(file for file in found if not file.startswith(OTHER_FORMAT))


def _bring(model: Model, files: list[str], commit: str | None, mirror: str | None) -> None:
    with writing(model.directory):
        model.directory.mkdir(parents=True, exist_ok=True)
        if mirror is None:
            _download(model, files, commit)
            return
        for file in files:
            _copy(_mirrored(model, mirror) / file, model.directory / file)


def _copy(origin: Path, target: Path) -> None:
    if not origin.is_file():
        raise UserError(f"{origin}: missing in the mirror; put it there, or set data.mirror to another place")
    with replacing(target) as part:
        shutil.copyfile(origin, part)


def _mirrored(model: Model, mirror: str) -> Path:
    place = Path(mirror).expanduser() / model.name
    if not place.is_dir():
        raise UserError(f"data.mirror: {place} is no directory; put the checkpoint there, or set data.mirror to null")
    return place


def _download(model: Model, files: list[str], commit: str | None) -> None:
    from huggingface_hub import snapshot_download

    with _Hub(model):
        snapshot_download(model.hub, revision=commit, local_dir=model.directory, allow_patterns=files)


def _listed(model: Model, revision: str) -> tuple[str, list[str]]:
    """The commit that `revision` is, and the files of the checkpoint at it."""
    from huggingface_hub import HfApi

    with _Hub(model):
        info = HfApi().model_info(model.hub, revision=revision)
        return info.sha, readable(file.rfilename for file in info.siblings)


class _Hub:
    """Turns what the hub refuses into one sentence; a context manager."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        from huggingface_hub import errors

        hub, at = self.model.hub, f"models.{self.model.name}"
        if isinstance(error, errors.GatedRepoError):
            raise UserError(
                f"{at}: {hub} is gated; accept its licence at https://huggingface.co/{hub}, then `hf auth login` or "
                "set HF_TOKEN, or name a mirror that has it in data.mirror"
            ) from error
        if isinstance(error, errors.RepositoryNotFoundError | errors.RevisionNotFoundError):
            raise UserError(
                f"{at}: the hub has no {hub} at {self.model.revision or 'its newest commit'}, or hides it from you; "
                f"correct hub and revision in {LOCK.name}, or log in with `hf auth login`"
            ) from error
        if isinstance(error, OSError | errors.HfHubHTTPError | errors.OfflineModeIsEnabled) and not _of_disk(error):
            raise UserError(
                f"{at}: {hub} cannot be fetched ({' '.join(str(error).split())[:200]}); try again where the network "
                "is, or name a directory with the files in data.mirror"
            ) from error


def _of_disk(error: BaseException) -> bool:
    """Whether an OSError is about a file of ours."""
    return isinstance(error, OSError) and error.filename is not None


def _is_there(path: Path, digest: str) -> bool:
    return path.is_file() and digest_file(path) == digest
