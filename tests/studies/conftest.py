"""The small comparison of `made_comparison`, and a study with finished runs, for every test of this folder."""

from finished_study import study  # noqa: F401, a fixture
from made_comparison import _posts, _readers, comparison, runs, small, store  # noqa: F401, fixtures
