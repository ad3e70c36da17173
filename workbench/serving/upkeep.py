"""What a server does to its records by itself: what nothing uses is removed, and what has been kept long enough."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from workbench.errors import WorkbenchError
from workbench.records import Records

log = logging.getLogger(__name__)
EVERY, LEAVE = 3600.0, 5.0  # seconds between two looks, and until what is under way is left


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
        """End after what is under way, or leave it to the next start where that takes long."""
        self._over.set()
        self._thread.join(LEAVE)

    def _work(self) -> None:
        while True:
            for part in (self._expire, self._records.sweep):
                try:
                    part()
                except WorkbenchError as error:  # posts are answered all the same, and the next time it is tried again
                    log.error("what need not be kept could not be removed: %s", error)
                except Exception:
                    log.exception("the upkeep of the records failed")
            if self._over.wait(self._every):
                return

    def _expire(self) -> None:
        """Delete what was kept long enough; one post that cannot be deleted now leaves the others to be."""
        if self._keep_days is None:
            return
        count, failed = 0, None
        for service, post_id in self._records.expired(datetime.now(UTC) - timedelta(days=self._keep_days)):
            if self._over.is_set():
                return
            try:
                self._delete(service, post_id)
                count += 1
            except WorkbenchError as error:
                failed = error
        if count:
            log.info("%d posts were kept for %g days and are deleted", count, self._keep_days)
        if failed is not None:
            raise failed
