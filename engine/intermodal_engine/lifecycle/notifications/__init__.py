"""SNS's topics: who is subscribed to them, and what is on its way to whom."""
