"""Versions of models: what a manifest says, what it refuses, and the one-file form.

A version is a manifest plus blobs that it names by digest (`Manifest`). As one file it is an uncompressed zip,
NAME-VERSION.sanderling (`write_bundle`, `read_bundle`). Needs no NumPy: the agent imports it.
"""

from sanderling.versions._bundle import Bundle, read_bundle, write_bundle
from sanderling.versions._formats import check_blob
from sanderling.versions._manifest import Blob, Compatibility, Host, Lineage, Manifest, Tensor, split_version

__all__ = [
    "Blob",
    "Bundle",
    "Compatibility",
    "Host",
    "Lineage",
    "Manifest",
    "Tensor",
    "check_blob",
    "read_bundle",
    "split_version",
    "write_bundle",
]
