"""Speed, measured from outside: `make bench` or `python -m bench --help`.

Figures of one run are compared with each other only: medians of several rounds that take turns.
"""
