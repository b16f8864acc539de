"""What happens to a scene: the loss, densification, checkpoints, logs and alarms of a run."""
