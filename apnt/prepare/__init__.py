"""What happens to a bracket between reading and fusing: its frames are checked and made comparable."""
