"""Depth maps: files, units, checks against points and views, resampling, fusion to points."""
