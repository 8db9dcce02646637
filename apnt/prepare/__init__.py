"""What happens between reading photographs and fusing them: linear light, checks, alignment."""
