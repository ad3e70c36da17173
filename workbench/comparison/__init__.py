"""From predictions and the facts of posts to one comparison; knows no model."""
