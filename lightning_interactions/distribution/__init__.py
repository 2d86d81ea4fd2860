"""From interactions to what they say: how their strength is spread over the orders, and in which phase training is."""
