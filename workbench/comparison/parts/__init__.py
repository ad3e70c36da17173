"""Where a model does worse: by slice, by mention of people, against annotators, on functional suites."""
