"""The commands of `bonus`, a module each.

A module has `add(subparsers)`, which describes the command, and `run(args, settings) -> int`,
which does it and gives the exit code. `NEEDS` names the settings it cannot do without; one with
`RECALLS = False` does not look for a running `bonus up`.
"""
