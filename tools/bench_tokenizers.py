"""Speed of vkft's tokenizers beside the `tokenizers` package, one thread each, over about 10 MB of English, Korean and code.

    python3 bench_tokenizers.py VKFT_PROGRAM DATA [ROUNDS]

DATA holds datasets/ and tokenizers/ as tests/formats/tokenizer/test_tokenizer_vectors.c expects them; the code is Python's own library. Documents of about
2,000 characters, the same for both, in an order that mixes them. The two take turns; the ratio is that of the best rounds. Both must
give the same ids (a checksum). `tokenizers` runs encode_batch_fast, its quickest call, with parallelism off.
"""
import glob
import json
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from compare_chat_templates import link  # noqa: E402
from compare_tokenizers import load_reference  # noqa: E402

PART = 3_400_000  # bytes of each kind
KINDS = {"byte-level BPE (Qwen 2.5)": "qwen2.5", "byte-level BPE (Llama 3)": "llama3", "SentencePiece BPE (Llama 2)": "llama2", "Unigram (flan-t5)": "flan-t5-small"}


def corpus(data):
    english = "".join(open(f"{data}/datasets/{f}").read() for f in ["tinyshakespeare.txt", "alpaca_en_demo.json", "gsm8k_train_1000.jsonl", "xquad.en.json"])
    korean = "".join(open(f).read() for f in [data + "/datasets/ko_chatbot.csv"] + sorted(glob.glob(data + "/datasets/ko_formality/*.ko")))
    code = "".join(open(f, errors="replace").read() for f in sorted(glob.glob(sysconfig.get_path("stdlib") + "/*.py")))
    documents = []
    for text in (english, korean, code):
        size, at = 0, 0
        while size < PART:
            piece = text[at:at + 2000]
            documents.append(piece)
            size += len(piece.encode())
            at = at + 2000 if at + 4000 < len(text) else random.randrange(1000)
    random.shuffle(documents)
    return documents


def main(program, data, rounds):
    random.seed(1)
    documents = corpus(data)
    size = sum(len(d.encode()) for d in documents)
    print(f"{len(documents)} documents, {size / 1e6:.1f} MB, {rounds} rounds")
    for kind, name in KINDS.items():
        with tempfile.TemporaryDirectory() as directory:
            link(data, name, directory)
            file = directory + "/documents.jsonl"
            with open(file, "w") as f:
                f.writelines(json.dumps(d) + "\n" for d in documents)
            reference = load_reference(directory + "/tokenizer.json" if os.path.exists(directory + "/tokenizer.json") else directory)
            ours, theirs = [], []
            for _ in range(rounds):
                done = subprocess.run([program, "bench", "--tokenizer", file, "--model", directory, "--json"], capture_output=True, text=True)
                if done.returncode:
                    sys.exit(done.stderr)
                result = json.loads(done.stdout)
                ours.append(size / 1e6 / result["cpu_seconds"])
                start = time.process_time()
                encoded = reference.encode_batch_fast(documents, add_special_tokens=False)
                theirs.append(size / 1e6 / (time.process_time() - start))
            ids = [i for e in encoded for i in e.ids]
            checksum = sum(id * (1 + i % 1000) for i, id in enumerate(ids))
            print(f"{kind}: vkft {max(ours):.2f} MB/s, tokenizers {max(theirs):.2f} MB/s, ratio {max(ours) / max(theirs):.2f}, "
                  f"ids {'equal' if checksum == result['checksum'] else 'DIFFER'}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 3)
