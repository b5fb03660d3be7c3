"""A sweep: plan (which jobs, which are done), pool (slots, processes), monitor (what is going on), one report.

It starts single runs and reads their records; it knows nothing of networks.
"""
