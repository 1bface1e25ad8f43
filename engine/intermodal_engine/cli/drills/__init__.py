"""Drills: what goes wrong on AWS once in a while, done on purpose while clients look on."""
