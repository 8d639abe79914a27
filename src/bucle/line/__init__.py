"""The stations of the line, in the order a model passes them."""
