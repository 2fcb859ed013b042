"""The page of `scoreinv serve`: photographs are painted on in a browser, and worked on here.

`access` opens the socket and decides who may ask, `app` answers, `album` holds the photographs, `jobs` does one piece
of work after another, and `work` says what is done. `static/` is the page itself: plain HTML, CSS and JavaScript, with
nothing from elsewhere. All is in memory; nothing is written to disk. Needs the extra `web`.
"""
