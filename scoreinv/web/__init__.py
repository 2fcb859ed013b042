"""The page of `scoreinv serve`: photographs edited in a browser.

`access` opens the socket and checks who sends a request, `app` has the routes, `album` holds the photographs, `jobs`
runs one job after another, `work` has the routes of the tasks, `frame` those that crop and turn, `many` those for many
photographs, and `objects` selects objects. `sessions` keeps photographs and results in a private temporary folder, for
a day without use or until the server ends. `static/` is the page: plain HTML, CSS and JavaScript without dependencies.
Needs the extra `web`.
"""
