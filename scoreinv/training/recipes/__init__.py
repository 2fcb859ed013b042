"""One program for each bundled model that another program than `scoreinv train` makes."""
