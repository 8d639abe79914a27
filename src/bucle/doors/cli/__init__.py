"""The `bucle` command, one module a noun."""
