"""One step: the gradient is that of the whole batch whatever passes at once, and memory that runs out halves that."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fovea.errors import UserError
from fovea.training.average import Average
from fovea.training.batch import Batch
from fovea.training.checkpoint import STATE
from fovea.training.distributed import World
from fovea.training.loss import make_loss
from fovea.training.step import Step
from tests.small import train_params

CLASSES = 3


def batch(count: int) -> Batch:
    draws = torch.Generator().manual_seed(count)
    targets, other = (torch.randint(0, CLASSES, (count,), generator=draws) for _ in range(2))
    return Batch(torch.randn(count, 4, generator=draws), targets, other, torch.rand(count, generator=draws))


def step(module: nn.Module, images: int | None, clip: float = 0.0, average: Average | None = None) -> Step:
    optimizer = torch.optim.SGD([{"params": list(module.parameters()), "factor": 1.0}], lr=1.0)
    loss = make_loss(train_params().loss, torch.tensor([0, 0, 1, 2]), CLASSES)
    return Step(module, optimizer, loss, True, clip, images, average, World())


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(4, CLASSES)


@given(st.integers(2, 40), st.integers(1, 40))
@settings(deadline=None, max_examples=40)
def test_parts_of_a_batch_add_up_to_its_step(count: int, images: int) -> None:
    whole, parts = linear(), linear()
    results = [step(module, at_once)(batch(count), 0.1, count) for module, at_once in ((whole, None), (parts, images))]
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(whole.state_dict(), parts.state_dict())


class Narrow(nn.Module):
    """A model that has memory for `most` images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.inner, self.most = linear(), most

    def forward(self, inputs: Tensor) -> Tensor:
        if len(inputs) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inner(inputs)


def test_out_of_memory_halves_what_passes_at_once_and_the_step_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    narrow, whole = Narrow(5), linear()
    narrow_step = step(narrow, None)
    narrow_step(batch(16), 0.1, 16)
    step(whole, None)(batch(16), 0.1, 16)
    assert narrow_step.images == 4
    torch.testing.assert_close(narrow.inner.state_dict(), whole.state_dict())
    assert "train.micro_batch: 4 avoids the attempt" in capsys.readouterr().err


def test_memory_for_less_than_two_images_is_an_error() -> None:
    with pytest.raises(UserError, match=r"train\.micro_batch: \d images at once are too many"):
        step(Narrow(1), None)(batch(16), 0.1, 16)


def test_the_gradient_is_clipped_to_its_norm() -> None:
    module = linear()
    before = copy.deepcopy(module.state_dict())
    step(module, None, clip=0.01)(batch(8), 1.0, 8)
    moved = torch.cat([(value - before[key]).flatten() for key, value in module.state_dict().items()])
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-4)


def test_the_average_lags_behind_and_gives_way_again() -> None:
    module = linear()
    average = Average(module, 0.9)
    one = step(module, None, average=average)
    first = module.get_parameter("weight").detach().clone()
    one(batch(8), 0.1, 8)
    live = module.get_parameter("weight").detach().clone()
    with average.in_place():
        torch.testing.assert_close(module.get_parameter("weight").detach(), first.lerp(live, 1 - 2 / 11))
    assert torch.equal(module.get_parameter("weight"), live)


FULL = """
import resource, sys
from pathlib import Path
import torch
from fovea.training.checkpoint import Checkpoint

checkpoint = Checkpoint(Path(sys.argv[1]), 0)
checkpoint.write({"step": 1, "weights": torch.zeros(10)})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # write(2) fails from there on, as on a full disk
checkpoint.write({"step": 2, "weights": torch.zeros(100_000)})
print(checkpoint.read()["step"])
"""


def test_a_full_disk_keeps_the_last_checkpoint_and_training_goes_on(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert "warning: no checkpoint was written, the last one is kept" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [STATE]
