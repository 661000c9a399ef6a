"""A trained model as metrics see it: real images, generated ones, codes, labels and features. Each is computed when it is first asked for.

A metric that any family can be asked for lists its needs in `NEEDS`. A family lists what it has in `offers`:

- `samples`: generated images;
- `codes`: what the encoder makes of an image (of a VAE, the posterior mean);
- `posterior`: mean and log-variance of a Gaussian q(z|x);
- `likelihood`: an upper bound on −log p(x) of given images, in nats;
- `anomaly`: how strange an image is to the model;
- `weights`: the weights that are used after training;
- `labels`: the data set's labels, which not every data set has;
- `features`: the features in which samples and real images are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property

from objectives.base import ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.features import Extractor
from objectives.lazy import Tensor, torch
from objectives.parts import first, rows
from objectives.terms import Net
from objectives.training.mathematics import Mathematics

# How many images are compared or encoded: validation is repeated for every member, the test split is read once, a probe is fitted to codes.
MOST = {"val": 2000, "test": 10_000, "train": 10_000}


class Subject:
    """One model with fixed weights, on one split (`val` or `test`) of its data set."""

    def __init__(self, family: Mathematics, net: Net, images: ImageSet, split: str) -> None:
        self.family, self.net, self.images, self.split = family, net, images, split

    @cached_property
    def real(self) -> Tensor:
        """Real images of the split (n, C, H, W), at most 2,000 for validation and 10,000 for the test. To be read in parts."""
        return first(getattr(self.images, self.split), MOST[self.split])

    @cached_property
    def samples(self) -> Tensor:
        """As many generated images (n, C, H, W), from noise that depends on the split only."""
        return self.family.samples(self.net, self.images, len(self.real), self.split)

    def codes(self, split: str) -> Tensor:
        """Codes (n, z) of a split: at most 10,000 images of training and test, 2,000 of validation."""
        if split not in self._codes:
            images = first(getattr(self.images, split), MOST[split])
            self._codes[split] = self.family.codes(self.net, images.flatten(1))
        return self._codes[split]

    @cached_property
    def _codes(self) -> dict[str, Tensor]:
        return {}

    @cached_property
    def posterior(self) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), (n, z) each, of the images of `real`."""
        return self.family.posterior(self.net, self.real, self.split)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights that are used after training, by their full names: of a GAN the generator's. A shared tensor is there once."""
        parts = self.net.parameters
        named = {f"{part}.{name}": value for part in self.family.kept or parts for name, value in parts[part].items()}
        places = {name: (value.data_ptr(), value.shape) for name, value in named.items()}
        return {name: value for name, value in named.items() if next(one for one in places if places[one] == places[name]) == name}

    @property
    def density(self) -> bool:
        """Whether `neg_log_likelihood` is the likelihood of a density, and not of a probability."""
        return self.family.density

    def neg_log_likelihood(self, x: Tensor | Iterable[Tensor]) -> Tensor:
        """An upper bound on −log p(x) in nats (n,) of images (n, C, H, W) or parts of them, from noise that depends on the split only."""
        return self.family.neg_log_likelihood(self.net, self.images, x, self.split)

    def anomaly(self, x: Tensor) -> Tensor:
        """How strange images (n, C, H, W) are to the model, (n,): higher is stranger."""
        return self.family.anomaly(self.net, self.images, x)

    @cached_property
    def novel(self) -> Tensor:
        """Images (n, C, H, W) of the class that the data set holds out: at most as many as known images are compared."""
        found: Tensor | None = getattr(self.images, f"{self.split}_novel")
        if found is None or not len(found):
            raise ObjectiveError("a metric of anomalies needs a class that is held out: add hold_out: CLASS to the data set's options.")
        return first(found, MOST[self.split])

    def labels(self, split: str) -> Tensor:
        """Labels (n,) of the first images of a split, as many as are encoded; images without a label are left out.

        Raises:
            ObjectiveError: the data set has none.
        """
        found = self._labels(split)
        return found[found >= 0]

    def labelled(self, split: str, of: Tensor) -> Tensor:
        """Of something that the first images of a split have (n, …), their codes for example, what belongs to `labels(split)`."""
        found = self._labels(split)
        return of if bool((found >= 0).all()) else of[: len(found)][found >= 0]

    def _labels(self, split: str) -> Tensor:
        """Labels of the first images of a split, −1 where an image has none."""
        found: Tensor | None = getattr(self.images, f"{split}_labels")
        if found is None:
            name = self.images.record.get("name", "this data set")
            raise ObjectiveError(f"a metric of labels needs labelled images; {name!r} has none. Leave the metric out.")
        return found[: MOST[split]]

    @cached_property
    def extractor(self) -> Extractor:
        """Turns images into the features in which they are compared."""
        return self.family.features()

    @cached_property
    def real_features(self) -> Tensor:
        """Features (n, d) of `real`; they are the same for all members, so they are kept."""
        return self.extractor.of_split(self.images, self.split, len(self.real))

    @cached_property
    def sample_features(self) -> Tensor:
        """Features (n, d) of `samples`, of which only a part is held where they are many."""
        if len(self.real) <= rows(math.prod(self.images.shape)):
            return self.extractor(self.samples)
        parts = self.family.samples_in_parts(self.net, self.images, len(self.real), self.split)
        return torch.cat([self.extractor(part) for part in parts])
