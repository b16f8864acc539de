"""Loss terms as functions of images and Gaussians; each returns a scalar."""
