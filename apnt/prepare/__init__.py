"""What happens to the frames of a bracket between reading and fusing."""
