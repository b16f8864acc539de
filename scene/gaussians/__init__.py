"""The Gaussians: parameters, where they start, and the optimizer that moves them."""
