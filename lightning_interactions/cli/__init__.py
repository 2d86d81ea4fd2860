"""The command line: ``lightning-interactions COMMAND …``, one module for each command."""
