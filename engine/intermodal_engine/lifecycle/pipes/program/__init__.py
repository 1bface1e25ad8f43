"""The program that feeds one channel's FIFOs. Standard library only, and little of it."""
