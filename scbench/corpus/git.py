"""Repositories of a corpus that a git repository holds: the files of one commit, written once to their directory.

The questions file names them (`git`, `commit`); a plan reads directories alone and never asks a server.
"""

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from scbench.errors import UserError
from scbench.store import writing

# Files as they were committed: neither what the repository asks of archives nor the user's own settings change them.
_ATTRIBUTES = "* -text -ident -filter -working-tree-encoding -export-ignore -export-subst\n"
# A server that wants a password is answered at once that there is none.
_ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "LC_ALL": "C"}


def export(where: str, git: str, commit: str, target: Path) -> None:
    """Write the files of `commit` to the directory `target`, which appears whole or not at all.

    where: what names them, for messages. git: an address or a path that `git fetch` takes; commit: 40 hexadecimal
    digits. Symbolic links and submodules are left out. Raises UserError where git is missing, the repository cannot be
    read or does not hold the commit, or the directory cannot be written.
    """
    with writing(target):
        _export(where, git, commit, target)


def _export(where: str, git: str, commit: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        bare, files = Path(scratch, "git"), Path(scratch, "files")
        files.mkdir()
        _git(where, "init", "--quiet", "--bare", str(bare))
        Path(bare, "info").mkdir(exist_ok=True)
        Path(bare, "info", "attributes").write_text(_ATTRIBUTES)
        try:
            _git(where, "-C", str(bare), "fetch", "--quiet", "--depth=1", "--no-tags", "--", git, commit)
        except UserError:
            # Some servers give the ends of branches alone.
            _git(where, "-C", str(bare), "fetch", "--quiet", "--", git, "+refs/*:refs/*")
        archive = _git(where, "-C", str(bare), "archive", "--format=tar", commit)
        _unpack(where, archive, files)
        os.rename(files, target)


def _unpack(where: str, archive: bytes, files: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        # Python before 3.11.4 has no such filter, so the names are looked at here as well; links are left out.
        packed.extraction_filter = getattr(tarfile, "data_filter", None)
        members = [member for member in packed if member.isreg() or member.isdir()]
        for member in members:
            if Path(member.name).is_absolute() or ".." in Path(member.name).parts:
                raise UserError(f"{where}: git: the commit holds {member.name!r}, which leads out of it; name another")
        packed.extractall(files, members)


def _git(where: str, *arguments: str) -> bytes:
    """What `git <arguments>` prints."""
    program = shutil.which("git")
    if program is None:
        raise UserError(f"{where}: git: the program git is not installed; install it, or put the files there yourself")
    done = subprocess.run([program, *arguments], capture_output=True, env=os.environ | _ENVIRONMENT, check=False)
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise UserError(f"{where}: git: {said[:300] or 'git failed'}; correct the keys git and commit")
    return done.stdout
