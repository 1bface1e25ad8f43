"""How an instance really runs: as processes, as containers, or as a fake."""
