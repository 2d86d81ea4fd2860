"""Does the picture depend on the choices that the paper made without giving reasons? One run, measured in other ways.

The networks of one finished run, untrained, at the end of the normal phase and at the end, are explained again with
another number of variables, grid, baseline, draw of the variables, and solver; and the run is repeated with other
weight decays. The answers go to a JSON file question by question, so that the command goes on where it was cut off;
the page is written from the JSON file alone.
"""
