"""espeak-ng worker process: synthesizes each utterance in a separate process.

A program, not a module: ``python -I -S espeak_server.py LIBRARY DATA``. It reads requests from standard input, one
JSON object per line with ``text``, ``voice`` (``en-us+f3``), ``rate`` (words per minute), ``pitch`` (0-99), ``volume``
(percent) and ``seed``. It answers each with a line of JSON: ``{"size": n, "sample_rate_hz": r}``, followed by n bytes
of 16-bit samples, or ``{"error": "…"}``. For a request with only ``text`` and ``voice``, the bytes are phonemes, IPA in
UTF-8.

espeak-ng keeps state between utterances, and seeds its random number generator with the time. Therefore, this process
only initializes the library. For each request it forks; the child sets the seed, synthesizes, and exits, so that the
audio depends only on the request. The process imports only the standard library and starts no threads, so forking is
safe and fast.
"""

import ctypes
import json
import os
import signal
import sys
from typing import Any

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: no sound device, no thread
_RATE, _VOLUME, _PITCH = 1, 2, 3  # espeak_PARAMETER
_UTF8 = 1  # espeakCHARS_UTF8
_IPA = 2  # espeakPHONEMES_IPA
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def main(library_path: str, data_path: str) -> None:
    """Answers requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the toolkit, which then closes the input
    library = ctypes.CDLL(library_path)
    sample_rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, data_path.encode(), 0)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        sound, exit_code = _in_child(library, request)
        answer: dict[str, str | int]
        if sample_rate_hz <= 0:
            answer = {"error": f"espeak-ng cannot be initialized with the data in {data_path}"}
        elif exit_code != 0 or not sound:
            answer = {"error": f"espeak-ng produced no output with {request['voice']} (exit code {exit_code})"}
        else:
            answer = {"size": len(sound), "sample_rate_hz": sample_rate_hz}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + (b"" if "error" in answer else sound))
        sys.stdout.buffer.flush()


def _in_child(library: ctypes.CDLL, request: dict[str, Any]) -> tuple[bytes, int]:
    """Returns the samples (or phonemes), and the exit code of the child (negative: the signal that killed it)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(_speak(library, request) if "seed" in request else _phonemes(library, request))
            code = 0
        finally:
            os._exit(code)  # in any case: the child must not continue the loop of the parent
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        sound = pipe.read()
    return sound, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _speak(library: ctypes.CDLL, request: dict[str, Any]) -> bytes:
    chunks: list[bytes] = []

    def collect(samples: Any, count: int, _events: Any) -> int:
        if count:
            chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    callback = _CALLBACK(collect)
    library.espeak_SetSynthCallback(callback)
    library.espeak_ng_SetRandSeed(ctypes.c_long(request["seed"]))
    if library.espeak_SetVoiceByName(request["voice"].encode()) != 0:
        raise ValueError(request["voice"])
    for parameter, name in ((_RATE, "rate"), (_VOLUME, "volume"), (_PITCH, "pitch")):
        library.espeak_SetParameter(parameter, request[name], 0)
    text = request["text"].encode()
    if library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, _UTF8, None, None) != 0:
        raise ValueError(request["text"])
    library.espeak_Synchronize()
    return b"".join(chunks)


def _phonemes(library: ctypes.CDLL, request: dict[str, Any]) -> bytes:
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    if library.espeak_SetVoiceByName(request["voice"].encode()) != 0:
        raise ValueError(request["voice"])
    text = ctypes.create_string_buffer(request["text"].encode())
    rest = ctypes.c_void_p(ctypes.addressof(text))
    clauses = []
    while rest.value:  # each call converts one clause and advances the pointer
        clauses.append(library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA))
    return b" ".join(clauses)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BrokenPipeError:  # the toolkit has exited and reports the reason itself
        os._exit(1)  # skips the interpreter's flush of stdout, which would fail
