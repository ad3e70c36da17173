"""Why a post is not scored now, as an error that says when to come again."""

from __future__ import annotations

from workbench.errors import WorkbenchError


class Refused(WorkbenchError):
    """A post that is not scored now; `seconds` says when to come again."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class RateLimited(Refused):
    """One author, or one content that many posts share, has sent more new posts than are scored."""


class Busy(Refused):
    """More waits, or takes longer, than the service takes on, or it is not ready yet, or it is being closed."""


CLOSING = "the service is being closed; send the post again"
OVER = {
    "author": "this author sends more new posts than are scored; wait, then go on",
    "content": "this content comes in more new posts than are scored; wait, then go on",
}
