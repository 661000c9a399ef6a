"""Every path and URL of Lagrange, and the removal of passwords from whatever is stored or printed.

`Home` is a value: opening it touches no disk, so that a mere look (`lagrange ls`) leaves nothing behind. Who writes a file asks for its
path and passes it through `ready`, which makes the folder, or through `replaced`, which also makes the file whole or not at all.

Beside it: `depot` brings the files of members to and from a URL, where they are in no folder that all nodes share; `silence` gives up a
store that says nothing; `disk` says in one sentence that a disk takes no more; `hints` prints commands that find a home again.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any, TypeAlias
from urllib.parse import unquote

from infra.errors import InfraError
from infra.storage.depot import Depot, folder_of, read_place

MASK = "***"
OWN, AFTER = "own", "after-*.pt"  # names in a member's folder
# The facts of a sweep that say where its files are: a URL or a folder outside of the home, and the home, which may have moved since.
STORAGE, HOME = "storage", "home"
COPIES = "copies"  # of files that are kept behind a URL

# MLflow's own schemes. A file store is one only where MLFLOW_ALLOW_FILE_STORE says so: MLflow 3 refuses it.
_TRACKED = re.compile(r"https?://[^/]|(sqlite|postgresql|mysql|mssql)(\+\w+)?://|(databricks|databricks-uc|uc)(:|$)")
_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>[^?]+)(?:\?.*)?")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)  # Windows has devices of these names in every folder
# User info of http(s) ends at the first slash; a token may stand where a user name would, so all of it is masked. "host:8080/…@" is a port.
_HTTP = re.compile(r"(?P<scheme>\bhttps?://)(?P<info>(?!\S*?://)(?:[^\s/?#@:]*:(?!\d{1,5}[/?#])\S*|[^\s/?#]*))@", re.IGNORECASE)
# Databases accept any character in a password, "/" and "@" included: everything up to the last "@" of the word is masked.
_DATABASE = re.compile(r"(?P<head>(?!https?:)\b[a-z][a-z0-9+.\-]{0,40}://[^\s:/@]*:)\S*@", re.IGNORECASE)
_DATABASE_ALONE = re.compile(r"(?P<head>(?!https?:)[a-z][a-z0-9+.\-]{0,40}://[^\s:/@]*:)[^\n]*@", re.IGNORECASE)
_NO_CHARACTER = re.compile(r"[\x00\ud800-\udfff]")
_KEY = r"[\w\-]*(?:password|passwd|passphrase|secret|api[_-]?key|token)|pwd|pw"
_VALUE = r"'[^'\n]*'|\"[^\"\n]*\"|[^\s&]*"
_SECRET = re.compile(_KEY, re.IGNORECASE)
_PAIR = re.compile(rf"(?P<head>(?<![\w\-])(?:{_KEY})\s?=\s?)(?!=)(?:{_VALUE})", re.IGNORECASE)
_OPTION = re.compile(
    r"(?P<head>(?<!\S)--?[\w\-]*(?:password|passwd|secret|api-key|token)\s+)(?:'[^']*'|\"[^\"]*\"|(?!-)\S+)", re.IGNORECASE
)


def whole(text: str) -> str:
    """`text` as every database and every file takes it: � for NUL, and for what is no character, as in a file's name that is no UTF-8."""
    return text if text.isascii() and "\x00" not in text else _NO_CHARACTER.sub("\ufffd", text)


def strip_password(text: str) -> str:
    """`text` with every password replaced by `***`: in URLs (user info, query), libpq strings (`password=…`) and options (`--password …`).

    Errs on the side of masking too much. Idempotent.
    """
    if "://" in text:
        text = _HTTP.sub(rf"\g<scheme>{MASK}@", text)
        text = _DATABASE_ALONE.sub(rf"\g<head>{MASK}@", text) if _DATABASE_ALONE.match(text) else text
        text = _DATABASE.sub(rf"\g<head>{MASK}@", text)
    text = _PAIR.sub(rf"\g<head>{MASK}", text)
    return _OPTION.sub(rf"\g<head>{MASK}", text)


def strip_address(text: str) -> str:
    """An address as messages show it. Where its scheme was forgotten (`user:password@host`), all before the last `@` is hidden."""
    return strip_password(text) if "://" in text or "@" not in text else f"{MASK}@{text.rpartition('@')[2]}"


def hidden_in(text: str, url: str) -> str:
    """`text`, such as an error of a store, without what the store's URL hides, even where it stands alone.

    In a URL with `@` or `/` in its password a part of the password is taken for the name of a host, and then told.
    """
    inside = (url.partition("://")[2] or url).rpartition("@")[0].partition(":")[2]
    for piece in sorted({*re.split(r"[@/:?#]", inside), unquote(inside)}, key=len, reverse=True):
        text = text.replace(piece, MASK) if len(piece) > 2 else text
    return strip_password(text)


def strip_passwords(value: Any) -> Any:
    """Plain data with `strip_password` applied to every string in it, and strings under a key such as `password` masked whole."""
    if isinstance(value, str):
        return strip_password(value)
    if isinstance(value, Mapping):
        return {
            key: MASK if isinstance(item, str) and _SECRET.fullmatch(str(key)) else strip_passwords(item) for key, item in value.items()
        }
    return [strip_passwords(item) for item in value] if isinstance(value, list | tuple) else value


def sweep_name(name: str) -> str:
    """`name`, if it can be a folder everywhere; raises InfraError otherwise."""
    if _NAME.fullmatch(name) and not _DEVICE.fullmatch(name):
        return name
    given = repr(name if len(name) <= 120 else name[:120] + "…")
    raise InfraError(
        f"A sweep's name starts with a letter or digit and holds only letters, digits, '.', '_' and '-' (at most 100). It does not end "
        f"in '.' and is no device of Windows (con, nul, …); got {given}. Choose another name."
    )


def there(text: str | os.PathLike[str]) -> bool:
    """Whether a file or folder of this name is there. A text that can be no name, such as one of 300 characters, names none."""
    with suppress(OSError, ValueError):
        return Path(text).exists()
    return False


def ready(path: Path) -> Path:
    """`path`, after its folder has been made. Raises InfraError when it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfraError(
            f"The folder {path.parent} must be writable: {error.strerror}. Name another one "
            "(a home: --home, or LAGRANGE_HOME; a storage: --storage, or LAGRANGE_STORAGE)."
        ) from error
    return path


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """`with replaced(path) as beside:` writes a file whole or not at all: write `beside`, and it takes the place of `path` at the end.

    If the block raises, `beside` is removed and `path` stays as it was. `beside` is in the same folder, which is made, and has the same
    suffix; each call has its own, so two writers cannot mix. Raises InfraError when the folder cannot be made.
    """
    if path.is_dir():
        raise InfraError(f"A file must be named; {path} is a folder. Name a file in it: {path / 'FILE'}")
    if (path.exists() and not path.is_file()) or (path.is_symlink() and path.is_relative_to("/dev")):
        # to take its place would take it away from every program of this machine, where root writes
        raise InfraError(f"A file must be named; {path} is a device or a pipe. Name a file.")
    beside = ready(path).with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        yield beside
        _take_place(beside, path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InfraError(f"The folder {path.parent} must take new files; it does not ({error.strerror}). Name another one.") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _take_place(beside: Path, path: Path) -> None:
    """Rename over `path`. Windows refuses that while somebody has the old file open; a reader is done in a moment."""
    for pause_s in (0.02, 0.1, 0.5):
        with suppress(PermissionError):
            beside.replace(path)
            return
        time.sleep(pause_s)
    beside.replace(path)


@dataclass(frozen=True)
class Home:
    """Where everything is kept. All paths are absolute; URLs may contain passwords, so print them only through `strip_password`."""

    root: Path
    catalogue_url: str
    tracking_uri: str
    optuna_url: str
    storage: Path
    """Checkpoints, weights and pictures of members: on a cluster, a path that all nodes share. With a URL: copies."""
    storage_url: str = ""
    """Where these files are kept, where that is no folder: `s3://bucket/prefix`. It holds no secret."""
    storage_named: bool = False
    """Whether somebody has named the storage, so that what a sweep remembers of its own does not count."""

    @classmethod
    def open(
        cls,
        root: Home | str | os.PathLike[str] | None = None,
        *,
        catalogue_url: str | None = None,
        tracking_uri: str | None = None,
        optuna_url: str | None = None,
        storage: str | os.PathLike[str] | None = None,
    ) -> Home:
        """The home at `root` (default: LAGRANGE_HOME, else ./mlflow_runs). Touches no disk. A home that is one already is given back.

        What is not given comes from LAGRANGE_CATALOGUE_URL, LAGRANGE_TRACKING_URI, LAGRANGE_OPTUNA_URL and LAGRANGE_STORAGE, which is also
        how a password reaches a resumed sweep: none is ever stored. The rest is SQLite files and folders in `root`.
        """
        if isinstance(root, Home):
            return root
        where = _absolute(root or os.environ.get("LAGRANGE_HOME") or "mlflow_runs")
        if set("?#%") & set(str(where)):
            raise InfraError(
                f"The home folder becomes part of URLs, so its path must not hold '?', '#' or '%'; got {where}. Choose another."
            )

        def url(given: str | None, variable: str, file: str) -> str:
            return _absolute_url(_with_port(given or os.environ.get(variable) or sqlite_url(where / file), variable))

        named = storage or os.environ.get("LAGRANGE_STORAGE")
        kept = str(named or where / "members")
        behind = read_place(kept)
        return cls(
            root=where,
            catalogue_url=url(catalogue_url, "LAGRANGE_CATALOGUE_URL", "lagrange.db"),
            tracking_uri=_mlflow(url(tracking_uri, "LAGRANGE_TRACKING_URI", "mlflow.db")),
            optuna_url=url(optuna_url, "LAGRANGE_OPTUNA_URL", "optuna.db"),
            storage=where / COPIES if behind else _absolute(folder_of(kept)),
            storage_url=behind,
            storage_named=bool(named),
        )

    @property
    def depot(self) -> Depot:
        """The files of members, wherever they are kept."""
        return Depot(self.storage_url, self.storage)

    def placed(self, facts: Mapping[str, Any] | None) -> Home:
        """The home as a sweep with these facts needs it. Where its files are outside of the home is a fact; a folder may have moved since.

        Raises:
            InfraError: it was opened with another URL, where the files of the sweep are not.
        """
        known = str((facts or {}).get(STORAGE, ""))
        url = known if "://" in known else ""
        if url == self.storage_url:
            return replace(self, storage=Path(known)) if known and not url and not self.storage_named else self
        if self.storage_url:
            where, remedy = (
                (url, "Leave --storage (LAGRANGE_STORAGE) out") if url else (f"in {known or 'a folder'}", "Name it with --storage")
            )
            raise InfraError(f"The storage must be the one of the sweep, whose files are {where}; got {self.storage_url}. {remedy}.")
        return replace(self, storage=self.root / COPIES, storage_url=url)

    @property
    def remembered(self) -> dict[str, str]:
        """The facts of a sweep that say where its files are. A storage in the home is none: it moves with it."""
        apart = bool(self.storage_url) or not self.storage.is_relative_to(self.root)
        return {HOME: str(self.root)} | ({STORAGE: self.kept_at} if apart else {})

    @property
    def kept_at(self) -> str:
        """What `--storage` says: a URL or a folder."""
        return self.storage_url or str(self.storage)

    @property
    def artifacts(self) -> Path:
        """Where MLflow keeps files when no server does."""
        return self.root / "artifacts"

    @property
    def cache(self) -> Path:
        """What is computed once per data set."""
        return self.root / "cache"

    def files(self, sweep: str) -> Path:
        """The folder of a sweep's members."""
        return self.storage / sweep_name(sweep)

    def member(self, sweep: str, number: int) -> Path:
        """The folder of one member."""
        return self.files(sweep) / f"{number:05d}"

    def checkpoint(self, sweep: str, number: int) -> Path:
        """The member's latest resumable state."""
        return self.member(sweep, number) / "checkpoint.pt"

    def own(self, sweep: str, number: int) -> Path:
        """What a member that is a process of its own keeps by itself: its checkpoint, its files, what it has printed."""
        return self.member(sweep, number) / OWN

    def handed_on(self, sweep: str, number: int, epoch: int) -> Path:
        """What a member had become after so many epochs, for members that start from it."""
        return self.member(sweep, number) / f"after-{epoch}.pt"

    def all_handed_on(self, sweep: str, number: int) -> list[Path]:
        """All that a member has left for others to start from."""
        return self.depot.names(self.member(sweep, number), AFTER)

    def weights(self, sweep: str, number: int) -> Path:
        """The member's trained weights."""
        return self.member(sweep, number) / "weights.safetensors"

    def picture(self, sweep: str, number: int) -> Path:
        """The member's samples or reconstructions."""
        return self.member(sweep, number) / "picture.png"

    def sheets(self, sweep: str, number: int) -> Path:
        """The folder of the small sheets that a member shows, one for an epoch."""
        return self.member(sweep, number) / "sheets"

    def reports(self, sweep: str) -> Path:
        """The folder of everything written about a whole sweep."""
        return self.root / "reports" / sweep_name(sweep)

    @property
    def spool(self) -> Path:
        """The folder of what has not reached MLflow yet."""
        return self.root / "spool"

    def remove_sweep(self, sweep: str) -> str:
        """Delete every file of a sweep that Lagrange wrote; its rows are the catalogue's business. Missing files are no error.

        Returns why files of members stay, in one sentence; empty where none does.
        """
        stays = self.depot.remove_folder(self.files(sweep))
        shutil.rmtree(self.reports(sweep), ignore_errors=True)
        for suffix in ("jsonl", "progress"):
            with suppress(NotADirectoryError):
                (self.spool / f"{sweep}.{suffix}").unlink(missing_ok=True)
        return stays


HomeLike: TypeAlias = Home | str | os.PathLike[str]  # what every function takes as a home: one that is open, or its folder


def sqlite_url(path: PurePath) -> str:
    """The URL of a SQLite file: slashes on every system, three before a Windows drive and four before a Unix root."""
    return f"sqlite:///{path.as_posix()}"


def sqlite_path(url: str) -> Path | None:
    """The file behind a SQLite URL; None for other databases and for SQLite in memory."""
    match = _SQLITE.fullmatch(url)
    return None if match is None or match["path"] == ":memory:" else Path(match["path"])


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() would follow links, which move on clusters


def _mlflow(uri: str) -> str:
    """A tracking URI, if MLflow knows its scheme, or a plugin of it does; raises InfraError otherwise."""
    scheme = uri.partition(":")[0]
    files = os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1") and ("://" not in uri or scheme == "file")
    if files or _TRACKED.match(uri) or scheme in {one.name for one in metadata.entry_points(group="mlflow.tracking_store")}:
        return uri
    raise InfraError(
        f"MLflow's address must be a server, as http://HOST:5000, or a database, as sqlite:///FILE or postgresql://…; got "
        f"{strip_address(uri)!r}. Correct --tracking-uri or LAGRANGE_TRACKING_URI, or leave it out: then it is a file in the home."
    )


def _with_port(url: str, variable: str) -> str:
    """A URL whose port can be one, if it has any. What stands in the place of the port is not told: it may be a part of a password."""
    scheme, _, rest = url.partition("://")
    host = re.split(r"[/?#]", rest.rpartition("@")[2], maxsplit=1)[0]  # a password may hold any of these signs
    found = re.fullmatch(r"(\[[^]]*\]|[^:,]*):(?P<port>[^:,]+)", host)
    wrong = found is not None and not (found["port"].isdecimal() and 0 < int(found["port"]) < 65536)
    if wrong and scheme.partition("+")[0] in ("http", "https", "postgresql", "mysql"):
        raise InfraError(
            f"The port in a URL is a number from 1 to 65535; the one in {variable} (or its option) is none. Correct it; in a password "
            "write %40 for @, %2F for / and %3A for a colon."
        )
    return url


def _absolute_url(url: str) -> str:
    """A SQLite URL with an absolute path; another URL as it is."""
    path, match = sqlite_path(url), _SQLITE.fullmatch(url)
    return url if path is None or match is None else url[: match.start("path")] + _absolute(path).as_posix() + url[match.end("path") :]
