"""Small made-up splits: bright dots on grey, one dot a joint, several images a patient."""

import numpy as np

from greenpose.data import Framing, Instance, Samples
from greenpose.data.instances import Profile

PROFILE = Profile(
    name="dots",
    category="dots",
    keypoints=("a", "b"),
    flip_pairs=((0, 1),),
    sigmas=(0.1, 0.1),
    sigma_source="assumed",
    area="box",
)


def dots(num: int, *, seed: int = 0, size: int = 64) -> Samples:
    """Return `num` images, two a patient; joint a is a white dot, joint b a black one."""
    rng = np.random.default_rng(seed)
    images, instances = {}, []
    for number in range(1, num + 1):
        image = np.full((size, size), 128, np.uint8)
        joints = rng.integers(12, size - 12, size=(2, 2))
        for (x, y), grey in zip(joints, (255, 0), strict=True):
            image[y - 3 : y + 4, x - 3 : x + 4] = grey
        name = f"{seed}-{number}"
        images[name] = image
        instances.append(
            Instance(
                id=number,
                image_id=number,
                image=name,
                subject=f"p{number // 2}",
                image_size=(size, size),
                box=(0.0, 0.0, float(size), float(size)),
                area=float(size * size),
                joints=joints.astype(np.float64),
                visibility=np.array([2, 2]),
            )
        )
    framing = Framing.of((size, size), padding=1.0)
    return Samples.build(instances, lambda instance: images[instance.image], profile=PROFILE, framing=framing)
