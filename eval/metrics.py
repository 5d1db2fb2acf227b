"""Retrieval metrics by query: from ir-measures (MacAvaney et al., ECIR 2022), and one of ours for multi-hop questions.

nDCG@k    normalised discounted cumulative gain, the grade as gain
Recall@k  share of the relevant documents in the top k
MRR@k     one over the rank of the first relevant document; 0 beyond k
AllGold@k 1 if every relevant document is in the top k, else 0: a question of several hops needs all of them
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from datastore.errors import UsageError, nearest, optional_import

METRICS = ("nDCG@10", "Recall@5", "Recall@10", "Recall@100", "MRR@10", "AllGold@10")

Qrels = Mapping[str, Mapping[str, int]]
"""Grade by document id, by query id; relevant is a grade above 0."""

Run = Mapping[str, Sequence[tuple[str, float]]]
"""(document id, score) by query id, best first."""

_IR_MEASURES = {"nDCG": "nDCG", "Recall": "R", "MRR": "RR"}
_ALL_GOLD = "AllGold"


def cutoff(metric: str) -> int:
    """The k of a metric's name.

    Raises
    ------
    UsageError
        If the name is not `<nDCG, Recall, MRR or AllGold>@<k>`.
    """
    name, _, k = metric.partition("@")
    if name not in (*_IR_MEASURES, _ALL_GOLD) or not k.isdecimal() or int(k) < 1:
        raise UsageError(f"{metric!r} is not a metric", hint=nearest(metric, METRICS))
    return int(k)


def per_query(metrics: Sequence[str], qrels: Qrels, run: Run) -> dict[str, dict[str, float]]:
    """The value of each metric for each query of `qrels`, in its order.

    The order of the run is the ranking, scores are not looked at; a query that the run does not answer counts 0.

    Raises
    ------
    UsageError
        If a metric is unknown, a query has no relevant document, or a document is ranked twice.
    """
    for query, grades in qrels.items():
        if not any(grade > 0 for grade in grades.values()):
            raise UsageError(f"query {query!r} has no relevant document: no metric is defined for it")
        ranked = [document for document, _ in run.get(query, ())]
        if len(set(ranked)) < len(ranked):
            raise UsageError(f"the run ranks a document twice for query {query!r}")
    cutoffs = {metric: cutoff(metric) for metric in metrics}
    values = {metric: dict.fromkeys(qrels, 0.0) for metric in metrics}
    theirs = {metric for metric in metrics if not metric.startswith(_ALL_GOLD)}
    for metric in values.keys() - theirs:
        values[metric] = _all_gold(cutoffs[metric], qrels, run)
    if theirs:
        ir_measures = optional_import("ir_measures", extra="eval")
        measures = {ir_measures.parse_measure(_their_name(metric)): metric for metric in theirs}
        # trec_eval sorts by score and breaks ties by id: scores made from ranks leave it nothing to reshuffle.
        ranks = {q: {document: -float(i) for i, (document, _) in enumerate(run.get(q, ()))} for q in qrels}
        for result in ir_measures.iter_calc(
            list(measures), {q: dict(grades) for q, grades in qrels.items()}, ranks
        ):
            values[measures[result.measure]][result.query_id] = float(result.value)
    return values


def _their_name(metric: str) -> str:
    name, _, k = metric.partition("@")
    return f"{_IR_MEASURES[name]}@{k}"


def _all_gold(k: int, qrels: Qrels, run: Run) -> dict[str, float]:
    values = {}
    for query, grades in qrels.items():
        relevant = {document for document, grade in grades.items() if grade > 0}
        values[query] = float(relevant <= {document for document, _ in run.get(query, ())[:k]})
    return values
