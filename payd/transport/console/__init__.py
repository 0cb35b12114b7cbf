"""The operator console: web pages for the people who operate payd, on a listener of their own.

`app` puts the routes together, `guard` refuses what no operator's browser sends, `logins` and
`sessions` say who is there, and `own_calls` makes every call: the same ones that `payd` makes. All
texts are in `en.json`.
"""
