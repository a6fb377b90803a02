"""Functions of real source files: what their documentation says, taken out of what is shown."""

import ast
import sysconfig
import textwrap
from pathlib import Path

import pytest

from scbench.corpus.source_code import described, repository, shown_file, source_files
from scbench.errors import UserError
from scbench.sessions import check_session
from scbench.tasks import TASKS, Scale

# A documented function that can be asked about, in a file of each language, and what has to be left of it.
SOURCES = {
    "python": (
        'import os\n\n\n@cached\ndef work(x):\n    """Doubles what it is given, then adds three."""\n'
        "    y = 2 * x\n    return y + 3\n",
        "def work(x):\n    y = 2 * x\n    return y + 3",
    ),
    "java": (
        "class A {\n    /**\n     * Doubles what it is given, then adds three.\n     * @param x a number\n     */\n"
        "    @Override\n    public int work(int x) {\n        int y = 2 * x;\n        return y + 3;\n    }\n}\n",
        "@Override\n    public int work(int x) {\n        int y = 2 * x;\n        return y + 3;\n    }",
    ),
    "typescript": (
        "/** Doubles what it is given, then adds three. */\nexport function work(x: number) {\n    const y = 2 * x;\n"
        "    return y + 3;\n}\n",
        "function work(x: number) {\n    const y = 2 * x;\n    return y + 3;\n}",
    ),
    "rust": (
        "/// Doubles what it is given,\n/// then adds three.\n#[inline]\nfn work(x: i32) -> i32 {\n    let y = 2 * x;\n"
        "    y + 3\n}\n",
        "fn work(x: i32) -> i32 {\n    let y = 2 * x;\n    y + 3\n}",
    ),
    "cpp": (
        "int a;\n\n/**\n * Doubles what it is given, then adds three.\n */\nint work(int x) {\n    int y = 2 * x;\n"
        "    return y + 3;\n}\n",
        "int work(int x) {\n    int y = 2 * x;\n    return y + 3;\n}",
    ),
    "go": (
        "package a\n\n// Doubles what it is given,\n// then adds three.\nfunc work(x int) int {\n\ty := 2 * x\n"
        "\treturn y + 3\n}\n",
        "func work(x int) int {\n\ty := 2 * x\n\treturn y + 3\n}",
    ),
    "php": (
        "<?php\n/**\n * Doubles what it is given, then adds three.\n */\nfunction work($x) {\n    $y = 2 * $x;\n"
        "    return $y + 3;\n}\n",
        "function work($x) {\n    $y = 2 * $x;\n    return $y + 3;\n}",
    ),
}
SUFFIX = {"python": "py", "java": "java", "typescript": "ts", "rust": "rs", "cpp": "cpp", "go": "go", "php": "php"}


@pytest.mark.parametrize("language", SOURCES)
def test_documentation_becomes_the_description_and_leaves_the_code(language):
    source, code = SOURCES[language]
    file = shown_file("a", source.encode(), language)
    (function,) = file.functions
    assert function.name == "work"
    assert function.description == "Doubles what it is given, then adds three."
    assert file.text[function.start : function.stop] == code
    assert "Doubles" not in file.text
    assert [line for line in file.text.split("\n") if line.strip()] == [
        line for line in source.split("\n") if line.strip() and line in file.text
    ]


@pytest.mark.parametrize(
    "body",
    [
        '"""Gives back what work gives to it."""\n    y = x\n    return y',
        '"""Too short."""\n    y = x\n    return y',
        '"""This function has no code beside its documentation."""',
        '"""This function has a remark beside its documentation."""\n    # a remark',
        '"""Says enough, but is a single line of code."""\n    return x',
        'f"""This is no documentation, {x}, and has words enough."""\n    y = x\n    return y',
        "y = x\n    return y",
    ],
    ids=[
        "names itself",
        "too short",
        "documentation alone",
        "documentation and remark",
        "one line",
        "f-string",
        "undocumented",
    ],
)
def test_what_cannot_be_asked_about_has_no_description(body):
    (function,) = shown_file("a.py", f"def work(x):\n    {body}\n".encode(), "python").functions
    assert function.description is None


def test_a_name_that_documentation_begins_with_is_taken_off():
    source = "package a\n\n// Work doubles what it is given.\nfunc Work(x int) int {\n\ty := 2 * x\n\treturn y\n}\n"
    (function,) = shown_file("a.go", source.encode(), "go").functions
    assert function.description == "Doubles what it is given."


def test_characters_of_several_bytes_move_nothing():
    body = '    """\u00c9l\u00e8ve says what the pupil is."""\n    y = "\u00e9"\n    return y\n'
    source = f'x = "\u4f60\u597d"\ndef work(x):\n{body}z = "\u00fc"\n'
    file = shown_file("a.py", source.encode(), "python")
    (function,) = file.functions
    assert file.text[function.start : function.stop] == 'def work(x):\n    y = "\u00e9"\n    return y'
    assert file.text.startswith('x = "\u4f60\u597d"\n') and file.text.endswith('z = "\u00fc"\n')


def test_nested_functions_belong_to_the_outer_one():
    source = "class A:\n    def one(self):\n        def two():\n            return 1\n        return two\n"
    assert [found.name for found in shown_file("a.py", source.encode(), "python").functions] == ["one"]


def test_the_language_with_most_code_is_taken_and_tests_are_left_out(tmp_path):
    for language, (source, _) in SOURCES.items():
        (tmp_path / f"a.{SUFFIX[language]}").write_text(source)
    (tmp_path / "b.rs").write_text(SOURCES["rust"][0] * 9)
    for left_out in ("tests", ".hidden", "node_modules"):
        (tmp_path / left_out).mkdir()
        (tmp_path / left_out / "c.rs").write_text(SOURCES["rust"][0])
    language, files = source_files(tmp_path)
    assert (language, [path.name for path in files]) == ("rust", ["a.rs", "b.rs"])
    assert source_files(tmp_path, "go") == ("go", [tmp_path / "a.go"])


def test_a_repository_without_source_files_or_without_functions_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no source file of python, java, .*name a directory"):
        repository(tmp_path)
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(UserError, match=r"no source file of rust"):
        repository(tmp_path, "rust")
    with pytest.raises(UserError, match=r"no function in its 1 files of python; name another repository"):
        repository(tmp_path)


def test_functions_whose_documentation_says_nothing_are_refused(tmp_path):
    (tmp_path / "a.py").write_text("def work(x):\n    y = x\n    return y\n")
    with pytest.raises(UserError, match=r"none of its 1 python functions can be asked about.*supply descriptions"):
        TASKS["code_repoqa"].build(Scale(name="paper", tokens=500), 0, 0, [repository(tmp_path)])


def test_supplied_descriptions_replace_those_of_the_documentation(tmp_path):
    (tmp_path / "a.py").write_text(f"{SOURCES['python'][0]}\n\ndef other(x):\n    y = x\n    return y\n")
    whole = repository(tmp_path)
    found = described(tmp_path, whole, {("a.py", "other"): "Gives back what it got."})
    assert [(f.name, f.description) for f in found.files[0].functions] == [
        ("work", None),
        ("other", "Gives back what it got."),
    ]
    with pytest.raises(UserError, match=r"a\.py: .*describes a function 'third', of which the file has 0"):
        described(tmp_path, whole, {("a.py", "third"): "Is not there."})


# The running Python's standard library.


@pytest.fixture(scope="module")
def library():
    return repository(Path(sysconfig.get_path("stdlib")))


def originals(name, path):
    """The functions of that name in a file of the standard library, as it is on disk."""
    tree = ast.parse((Path(sysconfig.get_path("stdlib")) / path).read_bytes())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [node for node in ast.walk(tree) if isinstance(node, kinds) and node.name == name]


def undocumented(node):
    """What the parser sees of a function without its docstring and decorators."""
    if ast.get_docstring(node) is not None:
        node.body = node.body[1:]
    node.decorator_list = []
    return ast.dump(node)


@pytest.mark.parametrize("index", range(3))
def test_each_answer_is_one_real_function_described_by_its_docstring(library, index):
    session = check_session(TASKS["code_repoqa"].build(Scale(name="paper", tokens=None), 0, index, [library]))
    assert 0.9 * 256_000 < len(session.context) <= 256_000
    paths = {function.name: file.path for file in library.files for function in file.functions if function.description}
    for slot, turn in enumerate(session.turns):
        (code,) = turn.golds
        ((start, stop),) = turn.evidence
        assert session.context[start:stop] == code and session.context.count(code) == 1
        assert abs(start / len(session.context) - (slot + 0.5) / 5) < 0.05
        line_start = session.context.rindex("\n", 0, start) + 1
        (shown,) = ast.parse(textwrap.dedent(session.context[line_start:start] + code)).body
        assert shown.name == turn.meta["name"]
        match = [node for node in originals(shown.name, paths[shown.name]) if ast.get_docstring(node)]
        documentation = [" ".join(ast.get_docstring(node).split()) for node in match]
        assert any(turn.query[1:] in text for text in documentation)
        assert turn.query not in " ".join(session.context.split())
        assert undocumented(shown) in [undocumented(node) for node in match]
