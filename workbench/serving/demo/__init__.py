"""The demo: one page where policy staff try a post and see what model and policy would do with it.

`startup` gets an engine ready while the page is already there, `page` is the page, `verdict` and `preview` draw what
it shows, `shield` keeps it closed to everything else. Nothing that is tried here is recorded.
"""
