"""A run on several ranks: what it may not ask for, whether all are there, and the state that all of them hold."""
