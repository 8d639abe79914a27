"""Where the world comes in: protocols, pages, the server, the command line."""
