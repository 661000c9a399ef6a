"""Where the files of members are kept: in a folder that all nodes share, or behind a URL (`s3://bucket/prefix`, `gs://…`).

Everybody works on local files, because torch, safetensors and Pillow do. So a depot behind a URL has a folder `here` on each machine. A
path in it stands for the object of the same name behind the URL. Who has written a file calls `put`; who wants to read one calls `fetch`
first. In a shared folder both do nothing: the file is there, and its writer has replaced it as one.

fsspec speaks to the store (it comes with torch). S3 needs the package s3fs, Google's storage gcsfs. Secrets come from the environment of
the driver and the nodes, as these packages read it; a URL with a secret in it is refused.
"""

from __future__ import annotations

import fnmatch
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from infra.errors import InfraError, StorageError

ANSWER_S = 15.0  # how long a store may take to say that it can be used
STUCK_S = 120.0  # how long it may take later for what carries no member's files; transfers take as long as they take
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}  # by protocol: what of this package's extras it needs
SECRETS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (another server than Amazon's: AWS_ENDPOINT_URL)",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
}
# Here an object appears when it is complete. Elsewhere it is written beside its place first.
WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})
PROBE = ".lagrange-probe"
_URL = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.\-]*)://(?P<rest>.*)", re.DOTALL)
Found = TypeVar("Found")


def read_place(text: str) -> str:
    """The URL in a `--storage`, without a slash at its end; empty where it names a folder (`file://` does).

    Raises:
        InfraError: the URL holds a secret, a query, or several URLs. It is said without the secret.
    """
    match = _URL.fullmatch(text.rpartition("::")[2])
    if match is None or match["protocol"] in ("file", "local"):
        return ""
    protocol, rest = match["protocol"].lower(), match["rest"]
    info, at, _ = rest.partition("/")[0].rpartition("@")
    wants = "A storage's URL must be one plain URL, such as s3://BUCKET/FOLDER,"
    if (at and (":" in info or protocol in EXTRAS)) or "@" in rest.partition("/")[2] or "?" in rest or "#" in rest:
        named = SECRETS.get(EXTRAS.get(protocol, ""), "the environment that its fsspec package reads")
        raise InfraError(f"{wants} without user, password, key or query; got one with them ({protocol}://***). Put secrets into {named}.")
    if not rest.strip("/") or "::" in text or any(mark.isspace() or not mark.isprintable() for mark in text):
        raise InfraError(f"{wants} with a name and without spaces; got {text!r}.")
    return f"{protocol}://{rest.rstrip('/')}"


def folder_of(text: str) -> str:
    """The folder that a `--storage` names: `file:///a` is /a."""
    return re.sub(r"^(file|local)://", "", text)


@dataclass(frozen=True)
class Depot:
    """The files under the folder `here`, which are kept behind `url`; with an empty `url` they are kept where they are.

    A value that goes to workers. Methods raise StorageError where the store cannot be used.
    """

    url: str
    here: Path

    def has(self, path: Path) -> bool:
        """Whether a file is kept."""
        if not self.url:
            return path.is_file()
        return self._asked(lambda store: bool(store.isfile(self._there(path))))

    def fetch(self, path: Path, *more: Path) -> Path:
        """`path`, after this file or all files of this folder are here as they are kept. What is not kept is not here afterwards.

        `more` files and folders are brought in the same way.
        """
        if self.url:
            self._asked(lambda store: self._fetch(store, (path, *more)), 0)
        return path

    def put(self, *paths: Path) -> None:
        """Keep these files, each whole or not at all. Raises FileNotFoundError where one is not here."""
        if not (self.url and paths):
            return
        try:
            self._asked(lambda store: self._put(store, paths), 0)
        except FileNotFoundError as error:
            if all(path.exists() for path in paths):
                raise StorageError(f"The bucket of the storage {self.url} must exist; it does not any more: {said(error)}") from error
            raise

    def remove(self, *paths: Path) -> None:
        """Remove these files, here and where they are kept. A missing one is no error, and neither is a store that is away."""
        for path in paths:
            path.unlink(missing_ok=True)
        with suppress(StorageError):
            self.withdraw(*paths)

    def withdraw(self, *paths: Path) -> None:
        """Remove these files behind the URL, and not here. A missing one is no error."""
        for path in paths if self.url else ():
            with suppress(FileNotFoundError):
                self._asked(lambda store, path=path: store.rm_file(self._there(path)))  # type: ignore[misc]

    def remove_folder(self, path: Path) -> None:
        """Remove a folder with all in it, here and where it is kept. A missing one is no error, and neither is a store that is away."""
        shutil.rmtree(path, ignore_errors=True)
        if self.url:
            with suppress(FileNotFoundError, StorageError):
                self._asked(lambda store: self._remove_all(store, path))

    def names(self, folder: Path, pattern: str) -> list[Path]:
        """The files in a folder whose names match the pattern, in order. They need not be here."""
        if not self.url:
            return sorted(folder.glob(pattern))
        found = self._asked(lambda store: self._found(store, folder))
        return sorted(path for path in found if path.parent == folder and fnmatch.fnmatchcase(path.name, pattern))

    def tree(self, folder: Path) -> list[Path]:
        """All files in a folder and its folders. They need not be here."""
        if not self.url:
            return sorted(path for path in folder.rglob("*") if path.is_file())
        return sorted(self._asked(lambda store: self._found(store, folder)))

    def write(self, path: Path, text: str) -> None:
        """Keep a short text under a name. Behind a URL nothing of it is here."""
        if self.url:
            self._asked(lambda store: self._write(store, path, text.encode()))
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, path: Path) -> str:
        """The text that is kept under a name. Raises FileNotFoundError where there is none."""
        if self.url:
            return self._asked(lambda store: bytes(store.cat_file(self._there(path))).decode())
        return path.read_text()

    def prove(self, *, alone: bool = False) -> None:
        """Write, read and remove a small file behind the URL. `alone`: no other process needs the files.

        Raises:
            InfraError: it cannot be done, or takes longer than `ANSWER_S`. It says what to do.
        """
        if self.url.startswith("memory:") and not alone:
            raise InfraError(f"Workers must see the storage; {self.url} is seen by this process only. Name a bucket: --storage.")
        if self.url:
            try:
                _in_time(self._prove, ANSWER_S)
            except _SilentError:
                silent = f"The storage {self.url} must answer; it did not within {ANSWER_S:g} s. {_remedy(self.url, None)}"
                raise InfraError(silent) from None
            except BaseException as error:
                raise InfraError(f"{_fault(self.url, error)} {_remedy(self.url, error)}") from error

    # Behind the URL ---------------------------------------------------------------------------------------------------------------------

    def _asked(self, ask: Callable[[Any], Found], within_s: float | None = None) -> Found:
        """What the store answers; its faults as a sentence. One that says nothing for so long is a fault, too (0: however long)."""
        try:
            return _in_time(lambda: ask(_store(self.url)), STUCK_S if within_s is None else within_s)
        except FileNotFoundError:
            raise
        except Exception as error:  # each store has errors of its own
            raise StorageError(f"The storage {self.url} must be reachable: {said(error)}") from error

    def _there(self, path: Path) -> str:
        return "/".join((self.url, *path.relative_to(self.here).parts))

    def _found(self, store: Any, path: Path) -> list[Path]:
        """The files that are kept under a name: itself, or all in it. A name that leads out of `here` is none of ours."""
        store.invalidate_cache()
        root = store._strip_protocol(self.url)
        try:
            names = [str(name)[len(root) :].lstrip("/") for name in store.find(self._there(path))]
        except FileNotFoundError:
            return []
        return [self.here / name for name in names if not {"", "..", "."} & set(re.split(r"[/\\]", name))]

    def _fetch(self, store: Any, paths: Sequence[Path]) -> None:
        kept = list(dict.fromkeys(one for path in paths for one in self._found(store, path)))
        for path in paths:
            for gone in [one for one in (path.rglob("*") if path.is_dir() else [path]) if one not in kept and not one.is_dir()]:
                gone.unlink(missing_ok=True)
        with _beside(kept) as copies:
            if kept:
                store.get([self._there(one) for one in kept], [str(copy) for copy in copies])

    def _put(self, store: Any, paths: Sequence[Path]) -> None:
        there = [self._there(path) for path in paths]
        if self._whole:
            store.put([str(path) for path in paths], there)
            return
        for path, name in zip(paths, there, strict=True):
            folder, _, last = name.rpartition("/")
            beside = f"{folder}/.{secrets.token_hex(4)}-{last}"
            store.makedirs(folder, exist_ok=True)
            store.put_file(str(path), beside)
            store.mv(beside, name)

    def _remove_all(self, store: Any, path: Path) -> None:
        if not self._whole:  # it has real folders
            store.rm(self._there(path), recursive=True)
        elif found := self._found(store, path):
            store.rm([self._there(one) for one in found])

    def _write(self, store: Any, path: Path, data: bytes) -> None:
        if not self._whole:
            store.makedirs(self._there(path.parent), exist_ok=True)
        store.pipe_file(self._there(path), data)

    def _prove(self) -> None:
        store, word = _store(self.url), secrets.token_hex(8).encode()
        path = self.here / f"{PROBE}-{secrets.token_hex(4)}"
        self._write(store, path, word)
        try:
            if store.cat_file(self._there(path)) != word:
                raise OSError("what was written is not what is read")
        finally:
            store.rm_file(self._there(path))

    @property
    def _whole(self) -> bool:
        return self.url.partition(":")[0] in WHOLE


NOWHERE = Depot("", Path())  # files are kept where their paths say


def _store(url: str) -> Any:
    import fsspec

    return fsspec.core.url_to_fs(url)[0]


@contextmanager
def _beside(paths: list[Path]) -> Iterator[list[Path]]:
    """Names beside these paths, for writing; at the end they take their places, and if the block raises they are removed."""
    copies = [path.with_name(f".{secrets.token_hex(4)}-{path.name}") for path in paths]
    for folder in {path.parent for path in paths}:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield copies
        for copy, path in zip(copies, paths, strict=True):
            copy.replace(path)
    finally:
        for copy in copies:
            copy.unlink(missing_ok=True)


class _SilentError(Exception):
    """A store says nothing."""


def _in_time(ask: Callable[[], Found], within_s: float) -> Found:
    """Ask a store in a thread of its own, because a store that is away may take minutes to say so. 0: wait however long it takes."""
    if not within_s:
        return ask()
    found: list[Found] = []
    failed: list[BaseException] = []

    def answer() -> None:
        try:
            found.append(ask())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=answer, name="lagrange-storage", daemon=True)
    thread.start()
    thread.join(within_s)
    if failed:
        raise failed[0]
    if not found:
        raise _SilentError(f"no answer within {within_s:g} s")
    return found[0]


def _fault(url: str, error: BaseException) -> str:
    """What must hold of a storage, and what does not."""
    name = type(error).__name__
    if isinstance(error, ImportError):
        return f"The storage {url} needs a package that is not installed: {said(error)}"
    if isinstance(error, ValueError) and "rotocol" in str(error):
        return f"The storage {url} must have a protocol that fsspec knows: {said(error)}"
    if "Credential" in name or "Credential" in str(error):
        return f"The storage {url} needs credentials, and there are none: {said(error)}"
    if isinstance(error, FileNotFoundError):
        return f"The bucket of the storage {url} must exist; it does not: {said(error)}"
    if isinstance(error, PermissionError):
        return f"The storage {url} must allow to write, read and delete; it refuses: {said(error)}"
    return f"The storage {url} must be reachable: {said(error)}"


def _remedy(url: str, error: BaseException | None) -> str:
    protocol = url.partition(":")[0]
    extra = EXTRAS.get(protocol, "")
    if isinstance(error, ImportError):
        return f"Install it on all nodes: pip install 'lagrange-search[{extra}]'" if extra else "Install it on all nodes."
    if isinstance(error, FileNotFoundError):
        return "Make it, or name another one (--storage, or LAGRANGE_STORAGE)."
    place = f" Its credentials come from the environment: {SECRETS[extra]}." if extra else ""
    return f"Correct it, or name another one (--storage, or LAGRANGE_STORAGE).{place}"


def said(error: BaseException) -> str:
    """An error of a store in one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300].rstrip(".") + "."
