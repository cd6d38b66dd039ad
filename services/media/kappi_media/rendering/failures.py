"""Decoder processes that did not answer, told apart by whose fault it is."""

from __future__ import annotations


class DecoderCrashed(Exception):
    """It ended, or spoke nonsense, in the middle of a job: the file's doing, if it happens again."""


class DecoderUnavailable(Exception):
    """Says nothing about the file: the machine, or whoever runs it, kept the decoder from working."""


class DecoderNotStarted(DecoderUnavailable):
    """It could not load its libraries: a broken one, or too little memory. Every file would meet that."""


class DecoderKilled(DecoderUnavailable):
    """Something outside ended it, or starved it: mostly a machine that is out of memory.

    A file can be the reason, so whoever tries again counts.
    """
