"""The Lightning callback: when to measure, on which samples, and where the results go."""
