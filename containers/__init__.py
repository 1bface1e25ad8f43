"""Builds the images of the catalogue, lists them, and makes the catalogue's locks."""
