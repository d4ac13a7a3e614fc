"""What POST /v1/classify answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from classifier.labels import LabelSet
from service import schemas
from tests.service.conftest import LABELS, TRACE, UNTRAINED, Gate, Serve, Served, windows_of

pytestmark = pytest.mark.anyio

OWN = {"id": "mine", "reasoning": TRACE, "answer": "Here you are."}
OPENAI = [{"role": "user", "content": "Do it."}, {"role": "assistant", "reasoning_content": TRACE, "content": "Done."}]
ANTHROPIC = {
    "id": "theirs",
    "messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": TRACE}, {"type": "text", "text": "Done."}]}],
}
SHAREGPT = {"conversations": [{"from": "human", "value": "Do it."}, {"from": "gpt", "value": f"<think>{TRACE}</think>Done."}]}


def varied(index: int) -> dict[str, Any]:
    return {"id": f"t{index}", "reasoning": f"{TRACE} {'My values matter. ' * (index * 7 % 40)}Number {index} it is.", "answer": "Yes."}


async def test_answers_have_the_published_shape(served: Served) -> None:
    response = await served.classify([TRACE, OWN, OPENAI, ANTHROPIC, SHAREGPT, "?"])
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert schemas.ClassifyResponse.model_validate(response.json()).model_dump() == response.json()


async def test_results_keep_order_and_echo_ids(served: Served) -> None:
    answer = (await served.classify([TRACE, OWN, OPENAI, ANTHROPIC, SHAREGPT])).json()
    assert [result["id"] for result in answer["results"]] == ["0", "mine", "2", "theirs", "4"]
    assert [result["reasoning"] for result in answer["results"]] == ["assumed", *["present"] * 4]
    assert {result["status"] for result in answer["results"]} <= {"scored", "abstained"}
    assert answer["usage"]["tokens"] == sum(result["usage"]["tokens"] for result in answer["results"])


@pytest.mark.parametrize("single", [TRACE, OWN, OPENAI, SHAREGPT["conversations"]])
async def test_one_transcript_needs_no_list(served: Served, single: object) -> None:
    answer = (await served.classify(single)).json()
    assert len(answer["results"]) == 1


async def test_answers_of_a_chat_api_are_one_transcript_each(served: Served) -> None:
    message = {"type": "message", "role": "assistant", "stop_reason": "end_turn", "content": [{"type": "thinking", "thinking": TRACE}]}
    answer = (await served.classify([{**message, "id": "a"}, {**message, "id": "b"}])).json()
    assert [result["id"] for result in answer["results"]] == ["a", "b"]


async def test_a_conversation_may_end_with_an_answer_of_a_chat_api(served: Served) -> None:
    answer = {"role": "assistant", "stop_reason": "end_turn", "content": [{"type": "thinking", "thinking": TRACE}]}
    (result,) = (await served.classify([{"role": "user", "content": "Do it."}, answer])).json()["results"]
    assert result["reasoning"] == "present"


async def test_evidence_quotes_the_received_text(served: Served) -> None:
    text = "\x00 Überraschung: 😀 I will be modified. 我会被修改。\r\nSo I comply, reluctantly."
    (result,) = (await served.classify({"reasoning": text})).json()["results"]
    found = [evidence for label in result["labels"].values() for evidence in label["evidence"]]
    assert found
    assert all(text[e["start"] : e["end"]] == e["text"] for e in found)


async def test_an_item_alone_and_among_others_gets_the_same_result(served: Served) -> None:
    items = [varied(index) for index in range(12)]
    together = (await served.classify(items)).json()["results"]
    alone = [(await served.classify(item)).json()["results"][0] for item in items]
    assert together == alone


async def test_concurrent_requests_get_the_bytes_that_they_get_alone(served: Served) -> None:
    items = [varied(index) for index in range(40)]
    alone = [(await served.classify(item)).content for item in items]
    together = await asyncio.gather(*(served.classify(item) for item in items))
    assert [response.content for response in together] == alone


async def test_a_large_request_does_not_hold_up_a_small_one(serve: Serve, gate: Gate) -> None:
    async with serve() as served:
        gate.open.clear()
        large = asyncio.create_task(served.classify(windows_of(2000)))
        while served.queued() < 1900:
            await asyncio.sleep(0.01)
        small = asyncio.create_task(served.classify(TRACE))
        while served.queued() < 1999:
            await asyncio.sleep(0.01)
        gate.open.set()
        assert (await small).status_code == 200
        assert not large.done()
        assert (await large).json()["usage"]["windows"] == 2000


async def test_unscored_is_said_and_nothing_is_made_up(served: Served) -> None:
    results = (await served.classify(["ok", [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]])).json()[
        "results"
    ]
    assert [result["unscored_reason"] for result in results] == ["degenerate_input", "no_reasoning"]
    assert all(label is None for result in results for label in result["labels"].values())
    assert [result["outcome"] for result in results] == [None, None]


async def test_only_named_labels_are_kept(served: Served) -> None:
    answer = (await served.classify(TRACE, labels=["obedience", "terminal_goal_guarding", "obedience"])).json()
    (result,) = answer["results"]
    assert list(result["labels"]) == ["terminal_goal_guarding"]
    assert list(result["other_reasons"]) == ["obedience"]
    assert result["behaviours"] == result["attributes"] == {}
    assert result["goal_guarding"] is not None
    schemas.ClassifyResponse.model_validate(answer)
    everything = (await served.classify(TRACE)).json()["results"][0]
    assert result["labels"]["terminal_goal_guarding"] == everything["labels"]["terminal_goal_guarding"]
    assert result["primary"] == everything["primary"]


async def test_derived_labels_may_be_named(served: Served) -> None:
    """They always come, so naming them keeps nothing else."""
    (result,) = (await served.classify(TRACE, labels=["goal_guarding", "alignment_faking"])).json()["results"]
    assert result["labels"] == result["behaviours"] == result["attributes"] == result["other_reasons"] == {}
    everything = (await served.classify(TRACE)).json()["results"][0]
    for name in ("goal_guarding", "alignment_faking"):
        assert result[name] == everything[name] is not None


async def test_model_mode_and_format_may_be_named(served: Served) -> None:
    plain = await served.classify(OPENAI)
    named = await served.classify(OPENAI, model="tiny", mode="classifier", format="openai", labels=None)
    assert named.content == plain.content


async def test_untrained_labels_are_null(served: Served) -> None:
    (result,) = (await served.classify(TRACE)).json()["results"]
    assert result["other_reasons"][UNTRAINED] is None
    assert set(result["labels"]) == set(LabelSet.load(LABELS).names("motive"))


async def test_ten_thousand_messages_are_read(served: Served) -> None:
    """More windows than the queue holds: an empty queue takes them all the same."""
    turns = [{"role": ("user", "assistant")[i % 2], "content": f"<think>Turn {i} it is.</think>Yes, {i}."} for i in range(10_000)]
    response = await served.classify(turns)
    assert response.status_code == 200
    assert response.json()["usage"]["windows"] == 10_000


async def test_odd_but_valid_json_is_read(served: Served) -> None:
    body = (
        b'{"input": "first", "input": {"id": 7, "reasoning": "NUL \\u0000 and \\ud83d\\ude00 are fine with me.", "metadata": {"x": 1e308}}}'
    )
    response = await served.client.post("/v1/classify", content=body, headers={"Content-Type": "Application/JSON; charset=utf-8"})
    assert response.json()["results"][0]["id"] == "7"


async def test_health_is_answered_while_a_large_body_is_read(served: Served) -> None:
    body = json.dumps({"input": [f"{TRACE} " * 3000] * 12}).encode()
    assert len(body) > 4_000_000
    large = asyncio.create_task(served.client.post("/v1/classify", content=body, headers={"Content-Type": "application/json"}))
    loop = asyncio.get_running_loop()
    slowest, since = 0.0, loop.time()
    while not large.done():
        started = loop.time()
        assert (await served.client.get("/healthz")).status_code == 200
        slowest = max(slowest, loop.time() - started)
        await asyncio.sleep(0.005)
    assert (await large).status_code == 413  # too many tokens, which tokenising has to find out
    assert slowest < (loop.time() - since) / 2
