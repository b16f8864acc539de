"""Photos and depth maps on their way from disk to the device."""
