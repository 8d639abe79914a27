"""What belongs to the code of a step, and what does not."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from bucle.ground.code import Code, CodeChanged, CodeReader

FILES = {
    "flow.py": """
        import numpy as np
        import helpers
        import pkg.deep as deep
        from constants import LIMIT, UNUSED
        from pkg import tool
        from bucle.line.pipelines import step

        SCALE = 2
        TABLE = {}
        TABLE["a"] = 1

        @step(retries=1)
        def train(x: int) -> int:
            '''Train it.'''
            # a comment
            return helpers.double(x) * SCALE + LIMIT + tool.use(x) + Thing().value() + TABLE["a"]

        def other() -> int:
            return UNUSED

        class Thing:
            def value(self):
                from late import answer
                return answer() + deep.leaf()

        if __name__ == "__main__":
            print(train(1))
    """,
    "helpers.py": """
        import math
        def double(x): return twice(x)
        def twice(x): return x * 2 + math.floor(0)
        def never(x): return x
    """,
    "constants.py": "LIMIT = 5\nUNUSED = 6\n",
    "late.py": "def answer(): return 42\n",
    "pkg/__init__.py": "FLAG = 1\n",
    "pkg/tool.py": "from .deep import leaf as inner\ndef use(x): return inner()\n",
    "pkg/deep.py": "def leaf(): return 1\ndef unused(): return 2\n",
}

WITHOUT_EFFECT = [
    ("flow.py", "# a comment", "# another comment"),
    ("flow.py", "Train it.", "Train it well."),
    ("flow.py", "retries=1", "retries=5, timeout_s=60"),
    ("flow.py", "return UNUSED", "return UNUSED + 1"),
    ("flow.py", "SCALE = 2", "SCALE  =  2"),
    ("flow.py", "print(train(1))", "print(train(2))"),
    ("helpers.py", "def never(x): return x", "def never(x): return x + 1"),
    ("constants.py", "UNUSED = 6", "UNUSED = 7"),
    ("pkg/deep.py", "return 2", "return 3"),
]

WITH_EFFECT = [
    ("flow.py", "* SCALE", "* SCALE * 1"),
    ("flow.py", "SCALE = 2", "SCALE = 3"),
    ("flow.py", 'TABLE["a"] = 1', 'TABLE["a"] = 2'),
    ("flow.py", "import numpy as np", "import numpy as np\nnp.seterr(all='raise')"),
    ("helpers.py", "x * 2", "x * 3"),
    ("helpers.py", "import math", "import math\nmath.floor(1)"),
    ("constants.py", "LIMIT = 5", "LIMIT = 6"),
    ("late.py", "42", "43"),
    ("pkg/deep.py", "return 1", "return 9"),
    ("pkg/tool.py", "return inner()", "return inner() + x"),
]


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))


def code_of(root: Path) -> Code:
    return CodeReader(root).read(root / "flow.py", "train")


@pytest.mark.parametrize(("file", "old", "new"), WITHOUT_EFFECT)
def test_what_cannot_change_the_result_does_not_change_the_code(tmp_path: Path, file: str, old: str, new: str) -> None:
    write(tmp_path, FILES)
    before = code_of(tmp_path).digest
    assert old in FILES[file]
    write(tmp_path, {file: FILES[file].replace(old, new)})
    assert code_of(tmp_path).digest == before


@pytest.mark.parametrize(("file", "old", "new"), WITH_EFFECT)
def test_what_may_change_the_result_changes_the_code(tmp_path: Path, file: str, old: str, new: str) -> None:
    write(tmp_path, FILES)
    before = code_of(tmp_path).digest
    changed = textwrap.dedent(FILES[file]).replace(old, new)
    assert changed != textwrap.dedent(FILES[file])
    (tmp_path / file).write_text(changed)
    assert code_of(tmp_path).digest != before


def test_the_code_is_the_same_wherever_the_project_lies(tmp_path: Path) -> None:
    write(tmp_path / "a", FILES)
    write(tmp_path / "b" / "c", FILES)
    assert code_of(tmp_path / "a").digest == code_of(tmp_path / "b" / "c").digest


def test_the_manifest_names_everything_reached(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    code = code_of(tmp_path)
    names = {name for name in code.manifest if ":import" not in name}
    assert names >= {
        "flow.py:train", "flow.py:SCALE", "flow.py:Thing", "flow.py:TABLE", "flow.py:",
        "helpers.py:double", "helpers.py:twice", "constants.py:LIMIT", "late.py:answer", "pkg/tool.py:use",
        "pkg/deep.py:leaf",
    }  # fmt: skip
    assert not names & {"flow.py:other", "helpers.py:never", "constants.py:UNUSED", "pkg/deep.py:unused"}
    assert {Path(file).name for file in code.sources} == {
        "flow.py", "helpers.py", "constants.py", "late.py", "__init__.py", "tool.py", "deep.py",
    }  # fmt: skip
    assert {"numpy", "math", "bucle.line.pipelines"} <= set(code.imports)


def test_a_star_import_and_a_module_passed_about_take_in_the_whole_module(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "flow.py": "from stars import *\nimport whole\ndef train(): return f(whole)\ndef f(m): return m.g()\n",
            "stars.py": "A = 1\n",
            "whole.py": "def g(): return h()\ndef h(): return 1\n",
        },
    )
    assert {"stars.py:A", "whole.py:g", "whole.py:h"} <= set(code_of(tmp_path).manifest)


def test_modules_that_import_each_other_come_to_an_end(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"flow.py": "import b\ndef train(): return b.g()\nX = 1\n", "b.py": "import flow\ndef g(): return flow.X\n"},
    )
    assert {"flow.py:train", "b.py:g", "flow.py:X"} <= set(code_of(tmp_path).manifest)


def test_a_function_that_is_gone_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"flow.py": "def other(): pass\n"})
    with pytest.raises(CodeChanged, match="train"):
        code_of(tmp_path)


def test_a_file_that_is_no_python_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"flow.py": "def train(:\n"})
    with pytest.raises(CodeChanged, match=r"flow\.py"):
        code_of(tmp_path)
