"""The one HTTP entrance: from bytes on a socket to an operation, and back."""
