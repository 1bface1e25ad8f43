"""The peers' programs, written as their documentation has it, run in environments of their own."""
