"""A bundle at work for people and programs that have only a browser or a network."""
