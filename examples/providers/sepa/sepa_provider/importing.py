"""Import statement files from the folder into the ledger, in whatever order they arrive.

A file is imported when it is new or has changed. An unreadable file stays in place, is logged once
and is tried again at each import, so that none of its entries is lost.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import trio

from payd.plugins import Logger, Misconfigured
from sepa_provider.ledger import Ledger, Stamp
from sepa_provider.statements import SIZE_MAX, UnreadableStatement, read_statements


class Importer:
    """Imports the statements of one account."""

    def __init__(self, folder: Path, iban: str, ledger: Ledger, log: Logger) -> None:
        self._folder = folder
        self._iban = iban
        self._ledger = ledger
        self._log = log
        # Payments are fetched concurrently; one import serves them all.
        self._turn = trio.Lock()
        self._logged: set[Stamp] = set()

    async def import_new(self) -> None:
        """Import every new or changed file. Raises Misconfigured.

        Each file is committed on its own, so an import that is cancelled continues there next time.
        """
        async with self._turn:
            for stamp in await trio.to_thread.run_sync(self._unread):
                await trio.to_thread.run_sync(self._import, stamp)

    def check(self) -> None:
        """Check that the folder can be listed. Blocks; raises Misconfigured."""
        try:
            next(self._folder.iterdir(), None)
        except OSError as error:
            raise Misconfigured(f"statements_dir: {error}") from error

    def _unread(self) -> Sequence[Stamp]:
        return self._ledger.unread(self._stamps())

    def _stamps(self) -> Sequence[Stamp]:
        self.check()
        stamps = []
        # Only *.xml: an upload has another name until it is complete.
        for path in sorted(self._folder.glob("*.xml")):
            # A cleanup job may remove the file in between.
            with suppress(FileNotFoundError):
                stat = path.stat()
                stamps.append(Stamp(name=path.name, size=stat.st_size, mtime_ns=stat.st_mtime_ns))
        return stamps

    def _import(self, stamp: Stamp) -> None:
        try:
            with (self._folder / stamp.name).open("rb") as file:
                statements = read_statements(file.read(SIZE_MAX + 1), self._iban)
        except (OSError, UnreadableStatement) as error:
            # The file is not in the ledger, so it stays unread. Log each state of it once.
            if stamp not in self._logged:
                self._logged.add(stamp)
                self._log.warning("statement_refused", file=stamp.name, error=str(error))
            return
        # The stamp was taken before the read: a file that grew in between is read again.
        contradicted = self._ledger.enter(stamp, statements)
        self._log.info("statement_imported", file=stamp.name, entries=len(statements.entries))
        if contradicted:
            self._log.error("statement_entries_contradicted", file=stamp.name, ids=contradicted)
