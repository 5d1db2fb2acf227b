"""The questions of NQ-open whose answer stands in what a retriever finds: the part on which retrieval can help.

Chosen by the string alone (`eval.llm.passages.surface`): a short one, as "1" or "red", would stand there by chance, so only answers
of five characters and more are looked for. Four of the other questions become the examples of every prompt. The folder that is written is `data` of configs/eval/nq_open.yaml and nq_open_likelihood.yaml:

python benchmarks/nq_answerable.py --questions data/nq_open --store STORE --out nq_answerable
compendia eval llm --config configs/eval/nq_open.yaml --set root=data --set data=$PWD/nq_answerable
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from datastore import Datastore
from eval.llm.passages.surface import answer_rank
from eval.tasks.nq_open import read
from eval.tasks.task import Item, Passage
from retrievers import parse

_EXAMPLES = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=Path, required=True, help="Folder or file of NQ-open.")
    parser.add_argument("--store", type=Path, required=True, help="Of the passages.")
    parser.add_argument("--retriever", default="rrf(dense, bm25)")
    parser.add_argument("-k", type=int, default=3, help="Passages that are looked at.")
    parser.add_argument("--characters", type=int, default=5, help="Of an answer at least.")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    items = read(arguments.questions)
    with Datastore.open(arguments.store) as store:
        retriever = parse(arguments.retriever).on(store)
        found = retriever.retrieve([item.question for item in items], arguments.k)
        shown = []
        for item, hits in zip(items, found, strict=True):
            answers = [answer for answer in item.references if len(answer) >= arguments.characters]
            passages = [Passage(hit.passage_id, hit.text) for hit in hits]
            shown.append(answer_rank(answers, passages) is not None)
    arguments.out.mkdir(parents=True, exist_ok=True)
    answerable = [item for item, is_shown in zip(items, shown, strict=True) if is_shown]
    others = [item for item, is_shown in zip(items, shown, strict=True) if not is_shown]
    write(arguments.out / "dev.jsonl", answerable)
    write(arguments.out / "few_shot.jsonl", others[:_EXAMPLES])
    print(f"{len(answerable):,} of {len(items):,} questions are answered by what {arguments.retriever} finds")


def write(path: Path, items: Iterable[Item]) -> None:
    lines = [{"id": item.id, "question": item.question, "answer": item.references} for item in items]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
