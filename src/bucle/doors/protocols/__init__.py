"""Other people's protocols: one package, one foreign tongue."""
