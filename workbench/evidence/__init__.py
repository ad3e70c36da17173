"""What can be said for and against a comparison beside its scores: leaks between the sets that it rests on."""
