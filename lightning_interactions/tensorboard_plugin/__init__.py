"""The Interactions tab of TensorBoard: reads what a monitor wrote into event files and shows it in the browser."""
