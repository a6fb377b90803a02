"""Repositories that a questions file names by git and commit."""

import io
import json
import os
import subprocess
import tarfile

import pytest

from scbench.corpus import folder
from scbench.corpus.git import _unpack
from scbench.errors import UserError
from scripts.fetch_repositories import main

CODE = 'def double(value):\n    """Gives twice of what came in."""\n    twice = value + value\n    return twice\n'


def git(place, *arguments):
    names = {f"GIT_{who}_{what}": f"{who}@x.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(["git", "-C", place, *arguments], check=True, capture_output=True, env=os.environ | names)
    return done.stdout.decode().strip()


@pytest.fixture
def origin(tmp_path):
    """A git repository of two commits beside the corpus, the first of which lacks a file; with both commits."""
    place = tmp_path / "origin"
    place.mkdir()
    git(place, "init", "--quiet")
    commits = []
    for name in ("first.py", "second.py"):
        (place / name).write_text(CODE)
        os.symlink("/etc/passwd", place / f"link_of_{name}")
        (place / ".gitattributes").write_text("*.py eol=crlf export-ignore\n")
        git(place, "add", "-A")
        git(place, "commit", "--quiet", "-m", name)
        commits.append(git(place, "rev-parse", "HEAD"))
    return place, commits


@pytest.fixture
def corpus(tmp_path):
    place = tmp_path / "corpus"
    place.mkdir()

    def write(*entries):
        rows = [{"task": "code_repoqa", "document": "code/x"} | entry for entry in entries]
        (place / "questions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return str(place)

    return write


@pytest.mark.parametrize("bare", [False, True])
def test_the_files_of_the_commit_and_no_others_are_written(origin, corpus, tmp_path, capsys, bare):
    place, commits = origin
    if bare:
        git(tmp_path, "clone", "--quiet", "--bare", str(place), "bare.git")
    address = "../bare.git" if bare else "../origin"
    for commit, names in zip(commits, (["first.py"], ["first.py", "second.py"]), strict=True):
        named = corpus({"document": f"code/{commit[:8]}", "git": address, "commit": commit})
        main([named])
        written = tmp_path / "corpus" / "code" / commit[:8]
        assert sorted(path.name for path in written.iterdir()) == [".gitattributes", *names]
        assert (written / "first.py").read_bytes() == CODE.encode()
        (repository,) = folder.repositories(named, turns=5)
        assert "twice = value + value" in repository.files[0].text
    assert sorted(path.name for path in written.parent.iterdir()) == sorted(commit[:8] for commit in commits)
    assert "written" in capsys.readouterr().out


def test_what_is_there_is_left_as_it_is(origin, corpus, tmp_path, capsys):
    place, commits = origin
    named = corpus({"git": str(place), "commit": commits[0]})
    main([named])
    (tmp_path / "corpus" / "code" / "x" / "first.py").write_text("changed = 1\n")
    main([named])
    assert (tmp_path / "corpus" / "code" / "x" / "first.py").read_text() == "changed = 1\n"
    assert "is there already" in capsys.readouterr().out


def test_a_study_says_how_to_get_what_is_not_there(origin, corpus):
    place, commits = origin
    named = corpus({"git": str(place), "commit": commits[0]})
    with pytest.raises(UserError, match=r"line 1.*code/x.*python -m scripts.fetch_repositories"):
        folder.count(named, "code_repoqa", turns=5)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"git": "../origin", "commit": "0" * 40}, "line 1: git: .*correct the keys git and commit"),
        ({"git": "../nowhere", "commit": "0" * 40}, "line 1: git: .*nowhere.*correct"),
        ({"git": "../origin", "commit": "main"}, "commit: 'main'.*must match"),
        ({"git": "../origin"}, "the key 'commit' is missing.*40 hexadecimal"),
        ({"git": "--upload-pack=x", "commit": "0" * 40}, "line 1: git: .*--upload-pack=x.*correct"),
        ({"git": "../origin", "commit": "0" * 40, "document": "../../x"}, r"document: '../../x' leads out of"),
        ({}, "names no repository by git and commit"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_left(origin, corpus, tmp_path, entry, words):
    with pytest.raises(UserError, match=words):
        main([corpus(entry)])
    left = tmp_path / "corpus" / "code"
    assert not left.exists() or not list(left.iterdir())


def test_two_origins_of_one_directory_are_refused(origin, corpus):
    place, commits = origin
    entries = [{"git": str(place), "commit": commit} for commit in commits]
    with pytest.raises(UserError, match=r"line 2: git: .*line 1 names another origin of code/x"):
        main([corpus(*entries)])


@pytest.mark.parametrize("name", ["../outside.py", "a/../../outside.py", "/outside.py"])
def test_a_name_that_leads_out_of_the_commit_is_refused(name, tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("inside.py"))
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(
        UserError, match=r"questions\.jsonl: git: the commit holds .*outside\.py', which leads out of it"
    ):
        _unpack("questions.jsonl", packed.getvalue(), tmp_path)
    assert not [*tmp_path.iterdir()]
