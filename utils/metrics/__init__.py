"""Quality metrics of renders."""
