"""An objective whose first worker dies in the middle of a pack."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import Tensor

from objectives.families.autoencoder import Autoencoder


class DiesOnce(Autoencoder):
    """Takes its worker with it at the sixth evaluation, of a pack that went on from its rung; a file in the cache says that it has."""

    def evaluate(self, net: Any, images: Any) -> dict[str, Tensor | float]:
        self._calls = getattr(self, "_calls", 0) + 1
        mark = Path(str(self.settings.cache)) / "died"
        if self._calls == 6 and not mark.exists():
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            os._exit(1)
        return super().evaluate(net, images)
