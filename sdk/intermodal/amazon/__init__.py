"""What Amazon's own algorithms need."""
