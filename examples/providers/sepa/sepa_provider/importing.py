"""From the folder of statements into the ledger: every file, in whatever order they arrive.

A file is read when it is new or has changed since. One that cannot be read stays where it is, is
named in the log, and is tried again at every look: nothing of it is lost.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import trio

from payd.plugins import Logger, Misconfigured
from sepa_provider.ledger import Ledger, Stamp
from sepa_provider.statements import SIZE_MAX, UnreadableStatement, read_statements


class Importer:
    """The statements of one account."""

    def __init__(self, folder: Path, iban: str, ledger: Ledger, log: Logger) -> None:
        self._folder = folder
        self._iban = iban
        self._ledger = ledger
        self._log = log
        # Looks at many payments come at once; the files need be read once.
        self._turn = trio.Lock()
        self._told: set[Stamp] = set()

    async def import_new(self) -> None:
        """Afterwards the ledger has all that can be read. Raises Misconfigured.

        A file at a time, each for good: whoever is cut short by a deadline goes on there next time.
        """
        async with self._turn:
            for stamp in await trio.to_thread.run_sync(self._unread):
                await trio.to_thread.run_sync(self._import, stamp)

    def check(self) -> None:
        """That the folder can be listed. Blocks; raises Misconfigured."""
        try:
            next(self._folder.iterdir(), None)
        except OSError as error:
            raise Misconfigured(f"statements_dir: {error}") from error

    def _unread(self) -> Sequence[Stamp]:
        return self._ledger.unread(self._stamps())

    def _stamps(self) -> Sequence[Stamp]:
        self.check()
        stamps = []
        # Only names in .xml: a file is uploaded under another name and renamed when complete.
        for path in sorted(self._folder.glob("*.xml")):
            # Whoever tidies up may take it away at this moment.
            with suppress(FileNotFoundError):
                stat = path.stat()
                stamps.append(Stamp(name=path.name, size=stat.st_size, mtime_ns=stat.st_mtime_ns))
        return stamps

    def _import(self, stamp: Stamp) -> None:
        try:
            with (self._folder / stamp.name).open("rb") as file:
                told = read_statements(file.read(SIZE_MAX + 1), self._iban)
        except (OSError, UnreadableStatement) as error:
            # Not in the ledger, so it is unread still; said once a state of the file.
            if stamp not in self._told:
                self._told.add(stamp)
                self._log.warning("statement_refused", file=stamp.name, error=str(error))
            return
        # The stamp is older than what was read: a file that grew meanwhile is read once more.
        contradicted = self._ledger.enter(stamp, told)
        self._log.info("statement_imported", file=stamp.name, entries=len(told.entries))
        if contradicted:
            self._log.error("statement_entries_contradicted", file=stamp.name, ids=contradicted)
