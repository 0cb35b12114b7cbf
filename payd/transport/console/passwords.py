"""Entries of operators: a name and the scrypt hash of a password, as `NAME:scrypt$…`."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping

import attrs

#: As it stands in the audit trail, after the console's own name and a slash.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}")
#: Cost of a hash: 32 MiB and about 100 ms.
_COST, _BLOCK, _PARALLEL = 2**15, 8, 1
_MEMORY_MAX = 256 * 1024 * 1024
_SALT_BYTES = 16
#: Guessing is limited, but a short password is guessed all the same.
PASSWORD_LENGTH_MIN = 12
_ENTRY = re.compile(
    rf"({NAME.pattern}):scrypt\$([0-9]{{1,7}})\$([0-9]{{1,2}})\$([0-9]{{1,2}})"
    r"\$([A-Za-z0-9_-]{16,64})\$([A-Za-z0-9_-]{16,128})"
)


@attrs.frozen
class Entry:
    """One operator's entry."""

    name: str
    cost: int
    block: int
    parallel: int
    salt: bytes
    digest: bytes

    def accepts(self, password: str) -> bool:
        """Whether this is the password. It takes about 100 ms of computing."""
        return hmac.compare_digest(_digest(password, self), self.digest)


#: Takes as long as a real one, and no password fits: for names that do not exist.
NOBODY = Entry("", _COST, _BLOCK, _PARALLEL, bytes(_SALT_BYTES), b"")


def new_entry(name: str, password: str) -> str:
    """Make the line for an operator. Raises ValueError for a name that cannot be one."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: use up to 63 letters, digits and . _ @ + -")
    draft = attrs.evolve(NOBODY, name=name, salt=secrets.token_bytes(_SALT_BYTES))
    numbers = f"{_COST}${_BLOCK}${_PARALLEL}"
    return f"{name}:scrypt${numbers}${_text(draft.salt)}${_text(_digest(password, draft))}"


def parse_entry(line: str) -> Entry:
    """Read a line. Raises ValueError, whose message never contains the line."""
    found = _ENTRY.fullmatch(line.strip())
    if found is None:
        raise ValueError("must be lines as `payd console-user NAME` prints them")
    name, *numbers = found.groups()[:4]
    cost, block, parallel = map(int, numbers)
    is_sane = cost >= 2 and cost & (cost - 1) == 0 and block and parallel
    if not is_sane or 128 * block * (cost + parallel) > _MEMORY_MAX:
        raise ValueError(f"the hash of {name} needs too much memory, or its numbers are invalid")
    return Entry(name, cost, block, parallel, _bytes(found[5]), _bytes(found[6]))


def entries_of(lines: Iterable[str]) -> Mapping[str, Entry]:
    """Read every line by name. Raises ValueError, also for a name that stands there twice."""
    found: dict[str, Entry] = {}
    for line in lines:
        entry = parse_entry(line)
        if entry.name in found:
            raise ValueError(f"{entry.name} stands there twice")
        found[entry.name] = entry
    return found


def _digest(password: str, entry: Entry) -> bytes:
    return hashlib.scrypt(
        password.encode(),
        salt=entry.salt,
        n=entry.cost,
        r=entry.block,
        p=entry.parallel,
        maxmem=_MEMORY_MAX,
    )


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
