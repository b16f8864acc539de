"""Densification strategies: which Gaussians are added, split and pruned, and when."""
