"""Central retraining: from labelled samples to a draft that a person or the publisher may sign.

job.py, events.py, jobs.py   the states of a job, pure
book.py     jobs as documents in the store
rows.py     samples in memory and as a file
labels.py   who labels them: a person by file, or a `Labeller`
worker.py   the trainer in a process of its own, with limits
gate.py     champion against challenger, pure; judge.py runs both
draft.py    what passed, as a version without a signature
driver.py   does what the state of each job asks for
"""
