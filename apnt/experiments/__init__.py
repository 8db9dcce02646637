"""The paper's experiments as commands, with the paper's figures beside ours."""
