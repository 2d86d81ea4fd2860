"""From network outputs on all masked samples to a sparse set of AND and OR interactions, with a certificate."""
