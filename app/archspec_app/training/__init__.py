"""Training runs as separate processes: ``jobs`` starts, lists, follows, stops and resumes them.

``train_request`` checks the options of a form; ``processes`` locks, spawns and signals;
``job_status`` derives the status of a run from its files; ``metric_points`` reads its curves;
``run_rows`` is a run in the list; ``run_report`` is what its best weights do.
"""
