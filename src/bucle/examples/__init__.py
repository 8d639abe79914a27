"""Example projects that travel in the package: real data, real code, ready to run."""
