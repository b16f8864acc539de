"""The errors of formats: each Gaussian is compared with itself, whatever its neighbors look like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from format_errors import errors, paired

from scene.editing import rows
from tests.helpers.splats import splats


def test_gaussians_are_found_again_in_another_order() -> None:
    """Of many at nearly one place, the one of the same look; of the same look, the one at the same place."""
    rng = np.random.default_rng(0)
    cloud = splats(400, 4)
    cloud.means[:200] *= 1e-4
    for name in ("scales", "shs", "opacities"):
        getattr(cloud, name)[200:] = getattr(cloud, name)[200]
    order = rng.permutation(400)
    moved = rows(cloud, order)
    back = paired(cloud, moved)
    for name, values in vars(cloud).items():
        np.testing.assert_array_equal(getattr(back, name), values, err_msg=name)


def test_a_color_that_cannot_be_seen_does_not_count() -> None:
    """SOG's pictures have none under an opacity of 0; and it misleads no other Gaussian."""
    cloud = splats(50, 1)
    cloud.opacities[:10] = -9.0
    black = replace(cloud, shs=cloud.shs.copy())
    black.shs[:10] = -1.7
    assert errors(cloud, black)[:5] == ["0", "0", errors(cloud, cloud)[2], "0", "0"]
    black.shs[10:] += 0.5
    assert float(errors(cloud, black)[4]) > 0.1
