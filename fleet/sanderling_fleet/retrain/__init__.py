"""Central retraining: from labelled samples to a draft that a person or the publisher may sign.

job.py, events.py, jobs.py   the states of a job, pure
book.py      jobs as documents in the store
rows.py      samples in memory and as a file
labels.py    who labels them: a person by file, or a `Labeller`
config.py    retrain.toml: which models, by what code, and what a challenger must show
driver.py    does what the state of each job asks for
work.py      trains a challenger, runs it against the champion, makes the draft
worker.py    a process with limits, a log, progress and a deadline; confine.py binds it from inside
context.py   what the entry point `train(context)` is given, in train_process.py
gate.py      champion against challenger, pure; judge_process.py runs both
draft.py     what passed, as a version without a signature
"""
