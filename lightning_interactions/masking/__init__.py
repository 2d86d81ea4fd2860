"""A network seen through coalition masks: what the input variables are, and what comes out with only some present."""
