"""A look at Gaussians in a browser: frames of our own rasterizer while the camera rests, splats while it moves."""
