"""The starter: a small model of English words that anybody can try at once, made from openly licensed posts.

`data/starter.yaml` says from which posts, how, and what is measured; `workbench starter` makes the bundle that ships in
`data/starter/`. It is for trying the workbench and not for moderating a site.
"""
