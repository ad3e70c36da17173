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
