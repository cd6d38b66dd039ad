"""Decoder processes that did not answer, told apart by whose fault it is."""

from __future__ import annotations


class DecoderCrashed(Exception):
    """It ended, or spoke nonsense, in the middle of a job: the file's doing, if its process was a new one."""


class DecoderUnavailable(Exception):
    """Says nothing about the file: the machine, or whoever runs it, kept the decoder from working."""


class DecoderNotStarted(DecoderUnavailable):
    """It could not load what it needs for any file: a broken library, or too little memory."""


class DecoderLacksLibrary(DecoderUnavailable):
    """A library for files of one kind cannot be loaded. Others go on, so nobody may wait for it for ever."""


class DecoderKilled(DecoderUnavailable):
    """Something outside ended it: mostly a machine that is out of memory.

    A file can be the reason, so whoever tries again counts.
    """


class DecoderStalled(DecoderUnavailable):
    """It neither worked nor ended: starved, or stuck. Each time costs minutes."""
