"""Ctrl-C and SIGTERM while Ray starts: they wait until it is up, and are then heard by whoever listened before.

An exception that a handler raises in the midst of Ray's start leaves its C++ half made, and Ray then aborts the process (exit code -6). Ray
also puts handlers of its own in place of ours. They end its processes under the driver, and the driver with codes of their own.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def unbroken(ray: Any) -> Iterator[None]:
    """`with unbroken(ray): ray.init(…)`. The handlers of before hear of a signal when the block is over; where one raises, Ray goes down.

    A second signal in the block is not kept waiting: it raises KeyboardInterrupt at once. Where nobody listened to SIGTERM, Ray does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[signal.Signals] = []

    def hear(number: int, frame: Any) -> None:
        if heard:
            raise KeyboardInterrupt
        heard.append(signal.Signals(number))

    before = {number: signal.signal(number, hear) for number in STOPPING}
    utils, theirs = ray._private.utils, list[Any]()
    setting, utils.set_sigterm_handler = utils.set_sigterm_handler, theirs.append
    try:
        yield
    finally:
        utils.set_sigterm_handler = setting
        for number, handler in before.items():
            signal.signal(number, handler)
        if theirs and not callable(before[signal.SIGTERM]):
            signal.signal(signal.SIGTERM, theirs[-1])
        if heard:
            _passed_on(ray, heard[0], before[heard[0]])


def _passed_on(ray: Any, number: int, handler: Any) -> None:
    """What a signal does that came a while ago. (It is not raised again: who counts signals has counted it.)"""
    try:
        if not callable(handler):
            raise KeyboardInterrupt
        handler(number, None)
    except BaseException:
        ray.shutdown()
        raise
