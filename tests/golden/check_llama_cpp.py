"""Everything about GGUF files that can be compared with llama.cpp itself.

    python3 check_llama_cpp.py VKFT TESTS_DATA_DIR WORK_DIR [ROOT [PART [NAME ...]]]

ROOT: a directory in which llama.cpp is installed, for chroot; WORK_DIR has the same path there. "" or "/" is this system. Needed there (Debian's names):
llama.cpp, libllama-dev, libggml0-backend-blas and a C compiler; here torch, transformers, peft and gguf. PART: read (check_gguf.py), written
(check_gguf_written.py) or tokens (check_gguf_tokens.py), all unless given; NAME: of models or tokenizers.
"""
import os
import sys
import warnings

import transformers

import check_gguf
import check_gguf_tokens
import check_gguf_written
from llama_cpp import LlamaCpp

PARTS = dict(read=check_gguf, written=check_gguf_written, tokens=check_gguf_tokens)


def main():
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    vkft, data, work = (os.path.abspath(p) for p in sys.argv[1:4])
    root = sys.argv[4].rstrip("/") if len(sys.argv) > 4 else ""
    os.makedirs(work, exist_ok=True)
    llama = LlamaCpp(root, work)
    failed = False
    for part in sys.argv[5:6] or PARTS:
        print(f"== {part}", flush=True)
        failed |= PARTS[part].check(vkft, data, work, llama, sys.argv[6:])
    print("FAILED" if failed else "all agree")
    sys.exit(failed)


if __name__ == "__main__":
    main()
