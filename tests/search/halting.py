"""A toy whose trainings stand still while a file is there. So a test decides when they go on, however fast the machine is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from objectives import base
from objectives.families.toy import Toy

HELD = "held"  # an option of the data set: the file


class Halts(Toy):
    """See the file's first line."""

    @classmethod
    def dataset_faults(cls, options: Mapping[str, Any]) -> list[str]:
        """Those of the toy, which does not know the option."""
        return super().dataset_faults({name: value for name, value in options.items() if name != HELD})

    def at_epoch(self, config: base.Config, seed: int, epoch: int) -> float:
        """As the toy, once the file is gone."""
        while Path(self.options[HELD]).exists():
            time.sleep(0.05)
        return super().at_epoch(config, seed, epoch)
