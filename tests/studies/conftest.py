"""The small comparison of `made_comparison`, for every test of this folder."""

from made_comparison import _posts, _readers, comparison, runs, small, store  # noqa: F401, fixtures
