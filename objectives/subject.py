"""A trained model as metrics see it: real images, generated ones, codes, labels and features, each computed when it is first asked for.

A metric that any family can be asked for names what it takes in `NEEDS`; a family says what it has in `offers`:

- `samples`: generated images;
- `codes`: what the encoder makes of an image (of a VAE, the posterior mean);
- `labels`: the data set's, which not every data set has;
- `features`: what the samples and the real images are compared in.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from objectives.base import ObjectiveError

if TYPE_CHECKING:
    from objectives._family import Family
    from objectives.data import ImageSet
    from objectives.features import Extractor
    from objectives.terms import Net

# Images that are compared or encoded: a validation is repeated for every member, the test split is read once, a probe is fitted to codes.
MOST = {"val": 2000, "test": 10_000, "train": 10_000}
CHUNK = 2000  # images that are encoded at once


class Subject:
    """One model of weights that will not change, on one split (`val` or `test`) of its data set."""

    def __init__(self, family: Family, net: Net, images: ImageSet, split: str) -> None:
        self.family, self.net, self.images, self.split = family, net, images, split

    @cached_property
    def real(self) -> Tensor:
        """Real images of the split (n, C, H, W), at most 2,000 for validation and 10,000 for the test."""
        found: Tensor = getattr(self.images, self.split)[: MOST[self.split]]
        return found

    @cached_property
    def samples(self) -> Tensor:
        """As many generated images (n, C, H, W), from noise that depends on the split only."""
        return self.family.samples(self.net, self.images, len(self.real), self.split)

    def codes(self, split: str) -> Tensor:
        """Codes (n, z) of a split: at most 10,000 images of training and test, 2,000 of validation."""
        if split not in self._codes:
            images: Tensor = getattr(self.images, split)[: MOST[split]]
            self._codes[split] = torch.cat([self.family.codes(self.net, part.flatten(1)) for part in torch.split(images, CHUNK)])
        return self._codes[split]

    @cached_property
    def _codes(self) -> dict[str, Tensor]:
        return {}

    def labels(self, split: str) -> Tensor:
        """Labels (n,) of the images whose codes `codes(split)` holds.

        Raises:
            ObjectiveError: the data set has none.
        """
        found: Tensor | None = getattr(self.images, f"{split}_labels")
        if found is None:
            name = self.images.record.get("name", "this data set")
            raise ObjectiveError(f"a metric of labels needs labelled images; {name!r} has none. Leave the metric out.")
        return found[: MOST[split]]

    @cached_property
    def extractor(self) -> Extractor:
        """What turns images into the features they are compared in."""
        return self.family.features()

    @cached_property
    def real_features(self) -> Tensor:
        """Features (n, d) of `real`; they are the same for all members, so they are kept."""
        return self.extractor.of_split(self.images, self.split, len(self.real))

    @cached_property
    def sample_features(self) -> Tensor:
        """Features (n, d) of `samples`."""
        return self.extractor(self.samples)
