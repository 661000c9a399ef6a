"""Published numbers, measured again: all scripts or those that are named, the quickest first. Hours on two cores, for `static_vae`."""

from __future__ import annotations

import math
from pathlib import Path

from tests.published import binarization, gray_vae, results, static_vae
from tests.published.results import Gate

SCRIPTS = ("gray_vae", "binarization", "static_vae")


def main() -> None:
    """Run the scripts and write all gates after each, so that what is done is kept."""
    parser = results.parser(__doc__)
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help=f"of {', '.join(SCRIPTS)}; none: all")
    parser.add_argument("--folder", type=Path, help="where checkpoints and sweeps are kept: the same command goes on from there")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop static_vae after so many minutes")
    parser.add_argument("--full", action="store_true", help="binarization on all training images, on a GPU")
    given = parser.parse_args()
    results.require_data(parser, given.data)
    if strange := [name for name in given.scripts if name not in SCRIPTS]:
        parser.error(f"SCRIPT must be one of {', '.join(SCRIPTS)}; got {strange[0]}")
    gates: list[Gate] = []
    for name in given.scripts or SCRIPTS:
        if name == "gray_vae":
            gates += gray_vae.measure(given.data)
        elif name == "binarization":
            gates += binarization.measure(given.data, given.folder, given.full)
        else:
            gates += static_vae.measure(given.data, given.folder, given.minutes)
        results.write(gates, given.out)


if __name__ == "__main__":
    main()
