"""Files of points and Gaussians."""
