"""What a comparison says of the plan that it follows."""

from __future__ import annotations

from workbench.comparison.rows.values import PlainRow


class PlanRecord(PlainRow):
    """What is on record of the plan for the posts that were scored.

    written: when what a study asks was planned, before the first scoring that stands here. what: which of `test set`,
    `metric`, `label`, `view` (then all is exploratory), `alpha`, `margin` and `pairs` (then what was added is) are
    otherwise now; changed: when that was first noticed, after scores were seen. before: when these posts had been
    scored first, each time that the results were deleted.
    """

    written: str
    changed: str | None = None
    what: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def first(self) -> bool:
        """Whether it was written before these posts were scored for the first time, deleted results included."""
        return all(self.written <= time for time in self.before)

    @property
    def words(self) -> str:
        """What a reader has to know of it, in sentences; empty where it was written first and is followed."""
        said = []
        if self.before:
            times = ", ".join(time[:10] for time in self.before)
            said.append(f"These posts had been scored before, and the results were deleted: first on {times}.")
        if not self.first:
            said.append(f"What was planned for them on {self.written[:10]} was planned after that.")
        if self.what:
            what = " and ".join(self.what).capitalize()
            since = f"{self.changed[:10]}, after scores were seen"
            said.append(f"{what} changed on {since}; the plan is of {self.written[:10]}.")
        return " ".join(said)
