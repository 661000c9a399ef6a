"""Images by step, as MLflow's `log_image` keeps them: its UI finds them by their names, shows the small one and opens the large one.

`log_image` itself gives every call a new random name, so an image that is sent again after an uncertain failure would stand there twice.
Here the name is a function of the image: what is sent again takes its own place.
"""

from __future__ import annotations

import re
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "images"
TAG: Final = "mlflow.loggedImages"
SMALL: Final = 256  # pixels: the longer side of the small one, as MLflow makes it
_NAME = re.compile(r"images/(?P<key>[^+]+)\+step\+(?P<step>\d+)\+timestamp\+.*\.png")


def stem(key: str, step: int, ms: int, run: str) -> str:
    """The name of an image without its ending. `ms` is the moment at which it was said, in ms since 1970."""
    return f"{key}+step+{step}+timestamp+{ms}+{uuid.uuid5(uuid.NAMESPACE_OID, f'{run}/{key}/{step}')}"


def send_all(
    client: Any, runs: Mapping[int, Any], records: Sequence[Mapping[str, Any]], drawn: Callable[[Path], Any] | None, home: Path
) -> list[str]:
    """Send the images among these records, run by run. A run that MLflow has not heard of is left out: pictures alone make no run.

    Paths may be relative to `home`. Returns and raises what `send` does.
    """
    wrong: list[str] = []
    news = [{**record, "path": home / record["path"]} for record in records if record["kind"] == "image"]
    for number in dict.fromkeys(record["run"] for record in news if record["run"] in runs):
        mine, run = [record for record in news if record["run"] == number], runs[number]
        wrong += send(client, run.id, mine, drawn, tagged=run.pictured)
        run.pictured = True
    return wrong


def send(
    client: Any, run: str, records: Sequence[Mapping[str, Any]], drawn: Callable[[Path], Any] | None, *, tagged: bool = True
) -> list[str]:
    """Send a run's images that MLflow does not hold yet, at once. `drawn` makes a Pillow image of a record's file.

    `tagged`: the run has the tag of runs with images. If it has not, it has no images, or half of these very ones: nobody looks for any.
    Returns what is wrong with files that cannot be sent, one text each. Raises whatever the client raises; then all may be sent again.
    """
    there = client.list_artifacts(run, FOLDER) if tagged else []
    held = {(found["key"], int(found["step"])) for item in there if (found := _NAME.fullmatch(item.path))}
    new = {(record["key"], record["step"]): record for record in records if (record["key"], record["step"]) not in held}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for (key, step), record in new.items():
            try:
                _write(Path(record["path"]), Path(folder) / stem(key, step, record["ms"], run), drawn)
            except OSError as error:
                wrong.append(f"the picture {Path(record['path']).name}: {error.strerror or error}")
        if any(Path(folder).iterdir()):
            client.log_artifacts(run, folder, FOLDER)
            if not tagged:
                client.set_tag(run, TAG, True, synchronous=True)
    return wrong


def _write(source: Path, target: Path, drawn: Callable[[Path], Any] | None) -> None:
    """Both sizes of one image. The large one is compressed a little only, which costs half."""
    from PIL import Image
    from PIL.Image import Resampling

    picture = (drawn or Image.open)(source)
    picture.save(f"{target}.png", format="PNG", compress_level=1)
    share = SMALL / max(picture.size)
    small = picture.resize((max(1, int(picture.width * share)), max(1, int(picture.height * share))), Resampling.BOX)
    small.save(f"{target}+compressed.webp", format="WEBP", method=0)
