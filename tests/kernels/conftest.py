"""What the kernels' tests share: the interpreter's process, and a GPU, or the reason why its tests are left out."""

from collections.abc import Iterator

import pytest
import torch

from tests.kernels.interpreting import Interpreter


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Interpreter]:
    """interpreter(function, *args): the call in a process where Triton interprets."""
    interpreter = Interpreter()
    yield interpreter
    interpreter.close()


@pytest.fixture(scope="session", autouse=True)
def compiled_anew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What an earlier run compiled proves nothing of this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


@pytest.fixture
def cuda() -> torch.device:
    """The GPU; a test that asks for it is skipped without one, and says so."""
    if not torch.cuda.is_available():
        pytest.skip("no GPU here: the kernel ran in Triton's interpreter and was compiled for sm_90a by its siblings")
    return torch.device("cuda")
