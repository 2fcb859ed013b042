"""The page of `scoreinv serve`: one photograph at a time, edited in a browser.

`access` opens the socket and checks who sends a request, `app` has the routes, `album` holds the photographs, `jobs`
runs one job after another, `work` has the routes of the tasks, `notes` their sentences, and `objects` selects objects.
`static/` is the page: plain HTML, CSS and JavaScript without dependencies. Photographs stay in memory; nothing is
written to disk. Needs the extra `web`.
"""
