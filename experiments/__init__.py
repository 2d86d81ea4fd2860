"""The paper's experiments: networks, data, figures and one command line for all of them."""
