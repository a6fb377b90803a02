import subprocess
import sys

import pytest

from scbench import codedigest
from scbench.artifacts import ARTIFACTS, artifact
from scbench.errors import UserError


def test_the_registry_imports_no_heavy_library():
    code = "import sys, scbench.artifacts; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandas", "matplotlib", "numpy", "jinja2", "torch", "transformers"} & set(loaded)


def test_digests_are_taken_without_pandas_and_deep_learning_libraries():
    code = "import sys, scbench.artifacts.identity, scbench.sessionkey; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandas", "matplotlib", "jinja2", "tokenizers", "torch", "transformers"} & set(loaded)


def test_artifacts_wait_for_no_slow_library_that_they_do_not_need():
    """SciPy, PyTorch's compiler and transformers take seconds to import, each time that a figure is drawn again."""
    modules = ", ".join(found.module for found in ARTIFACTS.values() if found.name != "figure5")
    code = f"import sys, {modules}, scbench.artifacts.making, scbench.artifacts.sized; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"scipy", "torch", "transformers", "matplotlib.pyplot"} & set(loaded)
    code = "import sys, scbench.artifacts.figure5; print(*sys.modules)"  # computes masks
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in loaded and not {"torch._dynamo", "transformers"} & set(loaded)


@pytest.mark.parametrize("found", ARTIFACTS.values(), ids=ARTIFACTS)
def test_every_artifact_loads_and_offers_frame_and_write(found):
    module = found.load()
    assert callable(module.frame) and callable(module.write)
    assert module.__name__ == found.module


@pytest.mark.parametrize("found", ARTIFACTS.values(), ids=ARTIFACTS)
def test_every_artifact_says_its_kind_its_files_and_its_source(found):
    if found.name.startswith(("table", "figure")):
        assert found.name.startswith(found.kind)
    files = {"table": (".tex", ".csv"), "figure": (".pdf", ".png", ".csv"), "report": (".md", ".json")}
    assert found.suffixes == files[found.kind]
    assert found.needs in ("scores", "answers", "histories", "asked", "sessions", "attention", "registry")


def of(needs):
    return {name for name, found in ARTIFACTS.items() if found.needs == needs}


def test_files_stand_beside_the_one_named():
    assert [path.as_posix() for path in artifact("table4").files("a/b/table4.csv")] == [
        "a/b/table4.tex",
        "a/b/table4.csv",
    ]


def test_a_file_of_another_kind_is_refused():
    with pytest.raises(UserError, match=r"table4\.pdf.*\.tex, \.csv"):
        artifact("table4").files("table4.pdf")


def test_an_unknown_artifact_is_refused_with_a_suggestion():
    with pytest.raises(UserError, match=r"tabel4.*did you mean 'table4'.*there are table1, table2, "):
        artifact("tabel4")


def test_a_figure_is_no_table():
    with pytest.raises(UserError, match="no such table"):
        artifact("figure3", "table")


def test_code_digests_tell_artifacts_apart_and_stay_the_same():
    digests = [found.code_digest() for found in ARTIFACTS.values()]
    assert len(set(digests)) == len(digests)
    assert digests == [found.code_digest() for found in ARTIFACTS.values()]


def test_an_edited_template_changes_the_digest_of_its_table_alone(tmp_path, monkeypatch):
    import scbench.artifacts as room

    for path in room.TEMPLATES.glob("*.j2"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(room, "TEMPLATES", tmp_path)
    before = {name: found.code_digest() for name, found in ARTIFACTS.items()}
    with open(tmp_path / "table4.tex.j2", "a") as file:
        file.write("% edited\n")
    changed = {name for name, found in ARTIFACTS.items() if found.code_digest() != before[name]}
    assert changed == {"table4"}


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        ("scbench.prompts", of("sessions")),
        ("scbench.stats", (of("scores") | of("histories") | of("asked")) - {"budgets"}),
        ("scbench.plan", set()),
    ],
)
def test_an_edited_module_changes_the_digests_of_what_goes_through_it(edited, expected, monkeypatch):
    before = {name: found.code_digest() for name, found in ARTIFACTS.items()}
    plain = codedigest.module_digest
    monkeypatch.setattr(codedigest, "module_digest", lambda name: "edited" if name == edited else plain(name))
    assert {name for name, found in ARTIFACTS.items() if found.code_digest() != before[name]} == expected
