"""What the pixels about each pixel hold, as torch's pooling has it."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import max_pool2d

from utils.neighbours import largest_about


@pytest.mark.parametrize("reach", [1, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (17, 30)])
def test_the_largest_about_is_that_of_pooling(size: tuple[int, int], reach: int) -> None:
    image = torch.randn((1, *size), generator=torch.Generator().manual_seed(0))
    image[image < -0.5] = -torch.inf
    largest = max_pool2d(image, 2 * reach + 1, stride=1, padding=reach)
    assert torch.equal(largest_about(image, reach), largest) and (size == (1, 1) or not torch.equal(largest, image))
