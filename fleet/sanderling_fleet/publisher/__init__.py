"""Signs drafts that passed: a process on the operator's side, with a key that the server never sees.

folder.py    its folder: the delegated key, its settings, what it signed last, what it is about to publish
policy.py    what it asks of a draft, pure
inspect_process.py   runs a draft's model apart from the key
client.py    calls of the fleet server
publish.py   one draft from check to canary, safe to be killed at any point
"""
