"""`make demo`: 20,000 real flights through a pipeline on a real cluster, and the proof that none was lost."""
