"""YAML as people write it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from search.errors import SpecError

PRESETS = Path(__file__).parent / "presets"
_BOOL, _TEXT, _MERGE = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_BRACES_FIRST = re.compile(r"^(command:[ \t]+)(\{\w+\}.*?)([ \t]+#.*)?[ \t\r]*$", re.MULTILINE)
_FLOAT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
# More than any spec needs (one with 1,000 points has 10,000 values). A text of a few lines can stand for billions of values by aliases.
LONGEST, MOST_VALUES, DEEPEST = 2**18, 50_000, 40
MOST_DIGITS = 300  # Python writes no whole number of more than 4,300 digits, and makes no float of one above 308


class _Loader(yaml.SafeLoader):
    """YAML as people write it: 1e-4 is a number (YAML 1.1 reads it as text), a key is a word, and a key that is given twice is a fault.

    What aliases (`*name`) stand for counts as if it were written out. Limits are checked before any value is made.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values, self._depth = 0, 0
        self._sizes: dict[int, int] = {}  # how many values a node stands for, by its id

    def compose_node(self, parent: Any, index: Any) -> Any:
        """One node of the text, counted."""
        before, aliased = self._values, self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > DEEPEST:
            raise yaml.YAMLError(f"values may lie at most {DEEPEST} levels deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if aliased and id(node) not in self._sizes:
            raise yaml.YAMLError("an alias must not stand for what holds it")
        self._values += self._sizes[id(node)] if aliased else 1
        if self._values > MOST_VALUES:
            raise yaml.YAMLError(f"there may be at most {MOST_VALUES:,} values, with aliases written out")
        self._sizes.setdefault(id(node), self._values - before)
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number. `0xff…` and `1:59:59:…` stand for more digits than they have."""
        found: int = super().construct_yaml_int(node)
        if abs(found) >= 10**MOST_DIGITS:
            raise yaml.YAMLError(f"a whole number may have at most {MOST_DIGITS} digits{node.start_mark}")
        return found

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        for key, _ in node.value:
            if key.tag == _BOOL:  # YAML 1.1 reads the key `off` as false
                key.tag = _TEXT
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
        try:
            twice = sorted(str(key) for key, times in Counter(keys).items() if times > 1)
        except TypeError as error:
            raise yaml.YAMLError(f"a key must be a word or a number{node.start_mark}") from error
        if twice:
            raise yaml.YAMLError(f"a key may be given once; {', '.join(twice)} is given twice{node.start_mark}")
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Puts quotes around text that `_Loader` would read as a number."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write every value out: YAML's anchors are hard to read."""
        return True


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))

_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def to_yaml(plain: dict[str, Any]) -> str:
    """Plain data as YAML. `parse_yaml` reads it back to the same data."""
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def parse_yaml(text: str) -> Any:
    """The value of a YAML text. A command may begin with a brace: `command: {python} train.py` is read as text.

    This is the only place where Lagrange reads YAML.

    Raises:
        yaml.YAMLError: it is no YAML, or larger than any spec: 262,144 characters, 50,000 values (aliases written out) or 40 levels.
    """
    if len(text) > LONGEST:
        raise yaml.YAMLError(f"the text may have at most {LONGEST:,} characters; it has {len(text):,}")
    quoted = _BRACES_FIRST.sub(lambda found: f"{found[1]}'{found[2].replace(chr(39), 2 * chr(39))}'{found[3] or ''}", text)
    try:
        return yaml.load(quoted, Loader=_Loader)
    except yaml.YAMLError:
        raise
    except Exception as error:  # a date without such a day, a number of 5,000 digits, `!!bool x`: PyYAML lets all kinds of errors through
        raise yaml.YAMLError(f"a value cannot be read ({error})") from error


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises a SpecError that says what is wrong with the file."""
    try:
        found = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError([f"a spec must be a readable file; {path}: {error.strerror}. Presets: {', '.join(presets())}."]) from error
    except UnicodeDecodeError as error:
        raise SpecError([f"a spec must be UTF-8 text; {path} is not. Save it as text."]) from error
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SpecError([f"a spec must be valid YAML; {path}: {reason}. Correct that line."]) from error
    if not isinstance(found, dict):
        kind = "nothing" if found is None else f"a {type(found).__name__}"
        raise SpecError([f"a spec must be a mapping of keys to values; {path} holds {kind}. Begin with `objective: vae`."])
    return found


def presets() -> dict[str, Path]:
    """The specs that ship with Lagrange, by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.yaml"))}
