"""What a server does to its records by itself: what nothing uses is removed, and what has been kept long enough."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from workbench.errors import WorkbenchError
from workbench.records import Records

log = logging.getLogger(__name__)
EVERY = 3600.0  # seconds


class Upkeep:
    """A thread that looks after records at the start and every hour.

    keep_days: how long a post's content is kept after its newest answer; None: until it is deleted. delete: what a
    deletion of a post (service, post id) is, its vectors among it.
    """

    def __init__(
        self, records: Records, keep_days: float | None, delete: Callable[[str, str], object], every: float = EVERY
    ) -> None:
        self._records, self._keep_days, self._delete, self._every = records, keep_days, delete, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after what is under way."""
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            try:
                self._once()
            except WorkbenchError as error:  # posts are answered all the same, and the next time it is tried again
                log.error("what need not be kept could not be removed: %s", error)
            if self._over.wait(self._every):
                return

    def _once(self) -> None:
        if self._keep_days is not None:
            before = datetime.now(UTC) - timedelta(days=self._keep_days)
            expired = self._records.expired(before)
            for service, post_id in expired:
                self._delete(service, post_id)
                if self._over.is_set():
                    return
            if expired:
                log.info("%d posts were kept for %g days and are deleted", len(expired), self._keep_days)
        self._records.sweep()
