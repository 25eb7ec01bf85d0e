"""Trainings as processes of their own: ``jobs`` starts, lists, follows, stops and resumes them.

``orders`` checks what is asked for; ``processes`` locks, spawns and signals; ``standing`` tells how
a run stands by what is on the disk; ``points`` reads its curves, ``rows`` is its line in a list.
"""
