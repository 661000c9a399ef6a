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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from infra.errors import InfraError, StorageError
from infra.storage import silence
from infra.storage.silence import Heard, SilentError

_TOKENS = ("http", "https", "webdav", "webdavs", "github", "git")  # what stands before the @ may be a token
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}  # by protocol: what of this package's extras it needs
SECRETS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (another server than Amazon's: AWS_ENDPOINT_URL)",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
}
# Here an object appears when it is complete. Elsewhere it is written beside its place first.
WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})
PROBE = ".lagrange-probe"
_URL = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.\-]*)://(?P<rest>.*)", re.DOTALL)
# What is no URL and was meant as one: s3:bucket, s3:/bucket, s3//bucket, " s3://bucket". A letter and a colon is a drive of Windows.
_HALF = re.compile(r"\s*(?P<protocol>[A-Za-z][A-Za-z0-9+.\-]+):|(?=\s*(?:s3a?|gc?s)//)\s*(?P<known>\w+)", re.IGNORECASE)
_WEB = ("http", "https")  # pages take no files
Found = TypeVar("Found")


def read_place(text: str) -> str:
    """The URL in a `--storage`, without a slash at its end; empty where it names a folder (`file://` does).

    Raises:
        InfraError: the URL holds a secret, a query, or several URLs. It is said without the secret.
    """
    match = _URL.fullmatch(text.rpartition("::")[2])
    if match is None:
        _refuse_half_a_url(text)
        return ""
    if match["protocol"].lower() in ("file", "local"):
        if not match["rest"]:
            raise InfraError(f"A storage must name a folder; got {text!r}, which names none. Name it: file:///FOLDER, or /FOLDER.")
        return ""
    protocol, rest = match["protocol"].lower(), match["rest"]
    info, at, _ = rest.partition("/")[0].rpartition("@")
    wants = "A storage's URL must be one plain URL, such as s3://BUCKET/FOLDER,"
    if (at and (":" in info or protocol in (*EXTRAS, *_TOKENS))) or "@" in rest.partition("/")[2] or "?" in rest or "#" in rest:
        named = SECRETS.get(EXTRAS.get(protocol, ""), "the environment that its fsspec package reads")
        raise InfraError(f"{wants} without user, password, key or query; got one with them ({protocol}://***). Put secrets into {named}.")
    if protocol in _WEB:
        raise InfraError(f"A storage must take files; {protocol}://… is an address of pages. Name a folder, or s3://BUCKET/FOLDER, gs://…")
    if not rest.strip("/") or "::" in text or any(mark.isspace() or not mark.isprintable() for mark in text):
        raise InfraError(f"{wants} with a name and without spaces; got {text!r}.")
    return f"{protocol}://{rest.rstrip('/')}"


def _refuse_half_a_url(text: str) -> None:
    """Raise InfraError where a text was meant as a URL: as a name it would make a folder `s3:bucket` in the current folder, silently."""
    if match := _HALF.match(text):
        protocol = (match["protocol"] or match["known"]).lower()
        named = "s3://BUCKET/FOLDER" if protocol in _WEB else "file:///FOLDER" if protocol == "file" else f"{protocol}://NAME/FOLDER"
        shown = text if "@" not in text else f"{protocol}:***"
        raise InfraError(
            f"A storage must be a folder or a URL with ://; got {shown!r}. Name a URL such as {named}, or a folder of that name as ./NAME."
        )


def folder_of(text: str) -> str:
    """The folder that a `--storage` names: `file:///a` is /a."""
    return re.sub(r"^(file|local)://", "", text, flags=re.IGNORECASE)


@dataclass(frozen=True)
class Depot:
    """The files under the folder `here`, which are kept behind `url`; with an empty `url` they are kept where they are.

    A value that goes to workers. Methods raise StorageError where the store cannot be used.
    """

    url: str
    here: Path
    silent_s: float | None = None
    """For how many seconds a store may say nothing (None: `silence.SILENT_S`)."""

    def has(self, path: Path) -> bool:
        """Whether a file is kept."""
        if not self.url:
            return self._looked("looked for", path, path.is_file)
        return self._asked(("looking for", path), lambda store, heard: bool(store.isfile(self._there(path))))

    def fetch(self, path: Path, *more: Path) -> Path:
        """`path`, after this file or all files of this folder are here as they are kept. What is not kept is not here afterwards.

        `more` files and folders are brought in the same way.
        """
        if self.url:
            self._asked(("fetching", path, *more), lambda store, heard: self._fetch(store, (path, *more), heard), self._silent_s)
        else:
            self._looked("looked for", path, path.exists)
        return path

    def put(self, *paths: Path) -> None:
        """Keep these files, each whole or not at all. Raises FileNotFoundError where one is not here."""
        if not (self.url and paths):
            return
        try:
            self._asked(("sending", *paths), lambda store, heard: self._put(store, paths, heard), silence.longest_s(self._silent_s, paths))
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
        if self.url and paths:
            self._asked(("removing", *paths), lambda store, heard: _remove_each(store, list(map(self._there, paths)), heard))

    def remove_folder(self, path: Path) -> str:
        """Remove a folder with all in it, here and where it is kept. A missing one is no error, and neither is a store that is away.

        Returns why files stay, in one sentence; empty where none does.
        """
        try:
            self._looked("removed", path, lambda: shutil.rmtree(path, ignore_errors=True))
            if self.url:
                self._asked(("removing", path), lambda store, heard: self._remove_all(store, path))
        except FileNotFoundError:
            return ""
        except StorageError as error:
            return str(error)
        return ""

    def names(self, folder: Path, pattern: str) -> list[Path]:
        """The files in a folder whose names match the pattern, in order. They need not be here."""
        if not self.url:
            return self._looked("listed", folder, lambda: sorted(folder.glob(pattern)))
        found = self._asked(("listing", folder), lambda store, heard: self._found(store, folder))
        return sorted(path for path in found if path.parent == folder and fnmatch.fnmatchcase(path.name, pattern))

    def tree(self, folder: Path) -> list[Path]:
        """All files in a folder and its folders. They need not be here."""
        if not self.url:
            return self._looked("listed", folder, lambda: sorted(path for path in folder.rglob("*") if path.is_file()))
        return sorted(self._asked(("listing", folder), lambda store, heard: self._found(store, folder)))

    def write(self, path: Path, text: str) -> None:
        """Keep a short text under a name. Behind a URL nothing of it is here."""
        if self.url:
            self._asked(("writing", path), lambda store, heard: self._write(store, path, text.encode()))
            return
        self._looked("written", path, lambda: _written(path, text))

    def read(self, path: Path) -> str:
        """The text that is kept under a name. Raises FileNotFoundError where there is none."""
        if self.url:
            return self._asked(("reading", path), lambda store, heard: bytes(store.cat_file(self._there(path))).decode())
        return self._looked("read", path, path.read_text)

    def prove(self, *, alone: bool = False) -> None:
        """Write, read and remove a small file behind the URL. `alone`: no other process needs the files.

        Raises:
            StorageError: it is not reached, or says nothing for `silence.ANSWER_S`.
            InfraError: it cannot be done. Both say what to do.
        """
        if self.url.startswith("memory:") and not alone:
            raise InfraError(f"Workers must see the storage; {self.url} is seen by this process only. Name a bucket: --storage.")
        if self.url:
            try:
                silence.in_time(lambda heard: _prove(self, _store(self.url)), silence.ANSWER_S)
            except SilentError as error:
                silent = f"The storage {self.url} must answer; it did not within {error.seconds:g} s. {_remedy(self.url, None)}"
                raise StorageError(silent) from None
            except Exception as error:
                words = f"{_fault(self.url, error)} {_remedy(self.url, error)}"
                raise (StorageError if f"{self.url} {_REACHED}" in words else InfraError)(words) from error

    # Behind the URL ---------------------------------------------------------------------------------------------------------------------

    @property
    def _silent_s(self) -> float:
        return silence.SILENT_S if self.silent_s is None else self.silent_s

    def _asked(self, what: tuple[str | Path, ...], ask: Callable[[Any, Heard], Found], silent_s: float | None = None) -> Found:
        """What the store answers; its faults as a sentence. One that says nothing for so long is a fault, too."""
        limit_s = silent_s or (min(self._silent_s, silence.ANSWER_S) if self.url in _silent else self._silent_s)
        try:
            found = silence.in_time(lambda heard: ask(_store(self.url), heard), limit_s)
        except FileNotFoundError:
            raise
        except SilentError as error:
            _silent.add(self.url)
            doing, *paths = what
            named = [Path(path).relative_to(self.here).as_posix() for path in paths]
            raise StorageError(_silent_store(self.url, f"{doing} {listed(named)}", error.seconds)) from error
        except Exception as error:  # each store has errors of its own
            raise StorageError(f"The storage {self.url} must be reachable: {said(error)}") from error
        _silent.discard(self.url)
        return found

    def _looked(self, done: str, path: Path, ask: Callable[[], Found]) -> Found:
        """What a folder answers. The file system of a server that is away (NFS) may let a call wait without an end."""
        try:
            return silence.in_time(lambda heard: ask(), self._silent_s)
        except SilentError as error:
            raise StorageError(_silent_folder(self.here, done, path, error.seconds)) from error

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

    def _fetch(self, store: Any, paths: Sequence[Path], heard: Heard) -> None:
        kept = list(dict.fromkeys(one for path in paths for one in self._found(store, path)))
        for path in paths:
            for gone in [one for one in (path.rglob("*") if path.is_dir() else [path]) if one not in kept and not one.is_dir()]:
                gone.unlink(missing_ok=True)
        with _beside(kept) as copies:
            heard.growing = copies
            heard.word()
            if kept:
                more = _in_parts(self._protocol, sending=False)
                store.get([self._there(one) for one in kept], [str(copy) for copy in copies], callback=_telling(heard), **more)

    def _put(self, store: Any, paths: Sequence[Path], heard: Heard) -> None:
        there, callback = [self._there(path) for path in paths], _telling(heard)
        if self._whole:
            store.put([str(path) for path in paths], there, callback=callback, **_in_parts(self._protocol, sending=True))
            return
        for path, name in zip(paths, there, strict=True):
            _put_beside(store, path, name, callback)
            heard.word()

    def _remove_all(self, store: Any, path: Path) -> None:
        if not self._whole:  # it has real folders
            store.rm(self._there(path), recursive=True)
        elif found := self._found(store, path):
            store.rm([self._there(one) for one in found])

    def _write(self, store: Any, path: Path, data: bytes) -> None:
        if not self._whole:
            store.makedirs(self._there(path.parent), exist_ok=True)
        store.pipe_file(self._there(path), data)

    @property
    def _whole(self) -> bool:
        return self._protocol in WHOLE

    @property
    def _protocol(self) -> str:
        return self.url.partition(":")[0]


_REACHED = "must be reachable"
_silent = set[str]()  # stores that said nothing when they were last asked by this process: they are given less time at first
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


def _telling(heard: Heard) -> Any:
    """What fsspec calls with each part of a transfer."""
    from fsspec.callbacks import Callback

    callback = Callback(hooks={"heard": heard.word})
    callback.branched = lambda *given, **more: callback  # of each file, too
    return callback


def _in_parts(protocol: str, *, sending: bool) -> dict[str, int]:
    """What a transfer is told, so that something is heard of each part. Google's client reads in small parts by itself."""
    parts = {"chunksize": silence.PART}
    if protocol in ("s3", "s3a"):
        return {**parts, "max_concurrency": 4}
    return parts if sending and protocol in ("gs", "gcs") else {}


def _put_beside(store: Any, path: Path, name: str, callback: Any) -> None:
    """Send a file to a store in which a file is seen while it is written."""
    folder, _, last = name.rpartition("/")
    beside = f"{folder}/.{secrets.token_hex(4)}-{last}"
    store.makedirs(folder, exist_ok=True)
    store.put_file(str(path), beside, callback=callback)
    store.mv(beside, name)


def _remove_each(store: Any, names: Sequence[str], heard: Heard) -> None:
    for name in names:
        with suppress(FileNotFoundError):
            store.rm_file(name)
        heard.word()


def _prove(depot: Depot, store: Any) -> None:
    word = secrets.token_hex(8).encode()
    path = depot.here / f"{PROBE}-{secrets.token_hex(4)}"
    depot._write(store, path, word)
    try:
        if store.cat_file(depot._there(path)) != word:
            raise OSError("what was written is not what is read")
    finally:
        store.rm_file(depot._there(path))


def _written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


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
    return f"The storage {url} {_REACHED}: {said(error)}"


def listed(names: Sequence[str]) -> str:
    """The first of some names, and how many there are beside it."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _silent_store(url: str, doing: str, seconds: float) -> str:
    where = "Look whether it runs, and whether this machine reaches it."
    return f"The storage {url} must be reachable: it said nothing for {seconds:.3g} s while {doing}. {where}"


def _silent_folder(folder: Path, done: str, path: Path, seconds: float) -> str:
    where = "Look whether the server of its file system runs, and whether it is mounted."
    return f"The storage {folder} must answer: {path} could not be {done} within {seconds:.3g} s. {where}"


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
