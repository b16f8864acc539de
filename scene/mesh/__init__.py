"""Meshes from posed depth maps: fused into a signed distance, cut at 0, colored, measured and written."""
