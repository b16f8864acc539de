"""Readers of datasets: one file per format, converted to the project's conventions at the door."""
