"""The page of `scoreinv serve`: photographs are painted on in a browser, and worked on here.

`serving` opens the socket, `guard` decides who may ask, and `app` answers: `bodies` reads what is sent, `album` holds
the photographs, `jobs` does one piece of work after another, `work` says what is done, and `words` what went wrong.
`static/` is the page itself: plain HTML, CSS and JavaScript, with nothing from elsewhere; `pages` reads its files.
All is in memory; nothing is written to disk. Needs the extra `web`.
"""
