"""Posting files of real receipts through the HTTP API, as a fleet of tills would.

files: which kind a file is      grocer, points: the two kinds      model: what both become
fleet: posting it all            catalog: what must exist first     till, wire: one till's requests
journal: what to remember        tally: what was seen               phones, lines: small rules
command: the work of `bonus replay`  report: what a person sees
demo: the demo chain, loaded the same way   paste: commands to try it with
"""
