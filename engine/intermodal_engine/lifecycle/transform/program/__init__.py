"""The program that moves the records of one instance of a transform job. Standard library only."""
