"""Twelve cameras that read handwritten digits: the device half of Sanderling, shown and checked.

`digits` makes the streams, `scenario` says what happens when and judges it, `render` draws it and
`command` is the command line.
"""
