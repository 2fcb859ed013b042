"""Ways to and from other libraries, each imported only with its module here."""
