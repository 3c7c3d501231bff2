"""From the broker into the database, acknowledged after the commit: a crash loses nothing and repeats nothing."""
