"""Benchmarks: each module has a docstring and `main(argv)`. `python -m benchmarks` lists them."""
