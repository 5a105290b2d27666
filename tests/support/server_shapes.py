"""Answers and errors in the shapes of the servers that people use, as tables. The texts are our own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from chat_server import Reply, as_json, completion, error, page

from zsprompt.llm import faults
from zsprompt.llm.faults import Fault

# -- errors ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """An error of one server.

    Attributes:
        server: whose, and what for.
        reply: the response.
        fault: what it means.
        with_image: whether it is an answer to an image only.
    """

    server: str
    reply: Reply
    fault: Fault
    with_image: bool = False


def flat(status: int, message: str, code: object = None, kind: str = "BadRequestError") -> Reply:
    """vLLM's body of earlier versions: the error itself, without a field around it."""
    return as_json({"object": "error", "message": message, "type": kind, "param": None, "code": code}, status)


def detail(status: int, message: object) -> Reply:
    """FastAPI's body."""
    return as_json({"detail": message}, status)


def _filters() -> list[Shape]:
    qwen = "<400> InternalError.Algo.DataInspectionFailed: Input image data may contain inappropriate content."
    azure = "The response was filtered due to the prompt triggering a content management policy. Modify it and retry."
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}}
    flagged = {"reasons": ["violence"], "flagged_input": "…", "provider_name": "p", "model_slug": "m"}
    raw = json.dumps({"error": {"message": "The request was rejected", "code": "content_filter"}})
    rows = {
        "qwen code": error(400, "Input data may contain it.", code="data_inspection_failed", type="x"),
        "qwen text": error(400, qwen, code="invalid_parameter_error"),
        "qwen native": as_json({"code": "DataInspectionFailed", "message": "Output refused.", "request_id": "1"}, 400),
        "azure": error(400, azure, code="content_filter", param="prompt", innererror=inner),
        "azure through litellm": error(400, f"litellm.BadRequestError: AzureException - {azure}", code="400"),
        "openai": error(400, "Your request was rejected.", code="content_policy_violation"),
        "openai reasoning": error(400, "Your prompt was flagged by our usage policy.", code="invalid_prompt"),
        "deepseek": error(400, "Content Exists Risk", type="invalid_request_error", code="invalid_request_error"),
        "moonshot": error(400, "The request was rejected because it was considered high risk", type="content_filter"),
        "zhipu": as_json({"error": {"code": "1301", "message": "系统检测到输入内容可能包含敏感内容"}}, 400),
        "openrouter": as_json({"error": {"code": 403, "message": "Input was flagged", "metadata": flagged}}, 403),
        "openrouter raw": as_json({"error": {"code": 400, "message": "Upstream", "metadata": {"raw": raw}}}, 400),
        "200 and an error": error(200, "Refused by the content filter.", inside=400),
        "in a list": as_json([{"error": {"code": 400, "message": "Blocked: PROHIBITED_CONTENT"}}], 400),
        "finish_reason": completion(None, finish="content_filter"),
        "finish_reason, in capitals": completion("", finish="SAFETY"),
        "finish_reason, with some text": completion("a cat and a", finish="content_filter"),
        "finish_reason of zhipu": completion("", finish="sensitive"),
    }
    return [Shape(f"filter: {name}", reply, faults.FILTERED) for name, reply in rows.items()]


def _no_images() -> list[Shape]:
    where = [
        {"type": "string_type", "loc": ["body", "messages", 0, "content"], "msg": "Input should be a valid string"}
    ]
    unknown = "Failed to deserialize the JSON body into the target type: messages[0]: unknown variant `image_url`"
    rows = {
        "vllm": flat(400, "/models/llama is not a multimodal model", 400),
        "vllm, new": error(400, "m is not a multimodal model None", code=400, type="BadRequestError"),
        "vllm, none allowed": flat(400, "At most 0 image(s) may be provided in one prompt.", 400),
        "llama.cpp": error(500, "image input is not supported - hint: you may need to provide the mmproj", code=500),
        "llama.cpp, older": error(500, 'Unsupported content part type: "image_url"', code=500, type="server_error"),
        "ollama": as_json({"error": "this model is missing data required for image input"}, 500),
        "deepseek": error(400, f"{unknown}, expected `text`", type="invalid_request_error"),
        "openai": error(400, "Invalid content type. image_url is only supported by certain models."),
        "openrouter": error(404, "No endpoints found that support image input", code=404),
        "fastapi": detail(422, where),
        "groq": error(400, "'messages.0.content' : value must be a string", type="invalid_request_error"),
        "volcano": error(400, "Model do not support image input. Request id: 1", type="BadRequest"),
        "plain": error(400, "this model does not support images"),
        "plural": error(400, "Image inputs are not supported by this model."),
        "a kind of content": error(
            400, "content type 'image_url' is not supported; image content type is not supported"
        ),
    }
    return [Shape(f"no images: {name}", reply, faults.NO_IMAGES, with_image=True) for name, reply in rows.items()]


def _quotas() -> list[Shape]:
    plan = "You exceeded your current quota, please check your plan and billing details."
    rows = {
        "openai": error(429, plan, code="insufficient_quota", type="insufficient_quota"),
        "openai, no code": error(429, plan),
        "deepseek": error(402, "Insufficient Balance", code="invalid_request_error"),
        "openrouter": error(402, "This request requires more credits, or fewer max_tokens.", code=402),
        "qwen": error(400, "Access denied, make sure your account is in good standing.", code="Arrearage"),
        "qwen, free tier": error(
            403, "The free tier of the model has been exhausted.", code="AllocationQuota.FreeTierOnly"
        ),
        "moonshot": error(429, "Your account is suspended", type="exceeded_current_quota_error"),
        "zhipu": as_json({"error": {"code": "1113", "message": "您的账户已欠费,请充值后重试。"}}, 429),
        "minimax": as_json({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}, "choices": None}),
    }
    return [Shape(f"quota: {name}", reply, faults.QUOTA) for name, reply in rows.items()]


def _keys() -> list[Shape]:
    rows = {
        "openai": error(401, "Incorrect API key provided.", code="invalid_api_key"),
        "qwen": error(401, "Incorrect API key provided.", code="invalid_api_key", type="invalid_request_error"),
        "gemini": as_json(
            [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}], 400
        ),
        "vllm": as_json({"error": "Unauthorized"}, 401),
        "fastapi": detail(403, "Not authenticated"),
        "kong": as_json({"message": "No API key found in request"}, 401),
        "200 and an error": error(200, "no such key", inside=401),
        "200, of a gateway": as_json({"code": 401, "msg": "token invalid"}),
        "html": page(403, "<html>Forbidden</html>"),
    }
    return [Shape(f"key: {name}", reply, faults.KEY) for name, reply in rows.items()]


def _models() -> list[Shape]:
    rows = {
        "openai": error(404, "The model `m` does not exist.", code="model_not_found"),
        "ollama": error(404, 'model "m" not found, try pulling it first', type="api_error"),
        "ollama, older": as_json({"error": "model 'm' not found, try pulling it first"}, 404),
        "vllm": flat(404, "The model `m` does not exist.", 404, "NotFoundError"),
        "deepseek": error(400, "Model Not Exist", type="invalid_request_error"),
        "openrouter": error(400, "m is not a valid model ID", code=400),
        "new-api": error(503, "no channel for model m", code="model_not_found", type="new_api_error"),
        "fastapi": detail(404, "Not Found"),
        "html": page(404, "<html>no such page</html>"),
        "method": page(405, "<html>Method Not Allowed</html>"),
    }
    return [Shape(f"model: {name}", reply, faults.MODEL) for name, reply in rows.items()]


def _odd_images() -> list[Shape]:
    """Refusals of one image. The server may accept others."""
    rows = {
        "size": error(400, "The image size is not supported: width must be larger than 10"),
        "aspect ratio": error(400, "Image aspect ratio is not supported, it must be smaller than 200"),
        "format": error(400, "This model does not support image formats like this one"),
        "larger": error(400, "We do not support images larger than 20 MB"),
        "of a size": error(400, "m doesn't support the use of images of this size"),
    }
    return [Shape(f"odd image: {name}", reply, faults.REFUSED, with_image=True) for name, reply in rows.items()]


def _places() -> list[Shape]:
    """Refusals for the user's country, for the data policy of an account, and for want of memory."""
    country = "Country, region, or territory not supported"
    policy = "No endpoints found matching your data policy (Free model publication). Configure it in the settings."
    guard = "No endpoints available matching your guardrail restrictions and data policy."
    ollama = "model requires more system memory (9.0 GiB) than is available (3.2 GiB)"
    lm_studio = "Failed to load model. Error: Model loading was stopped due to insufficient system resources."
    return [
        Shape("region: openai, by text", error(403, country, type="request_forbidden"), faults.REGION),
        Shape("region: openai", error(403, "No.", code="unsupported_country_region_territory"), faults.REGION),
        Shape("region: gemini", error(400, "User location is not supported for the API use."), faults.REGION),
        Shape("data policy: openrouter", error(404, policy, code=404), faults.POLICY),
        Shape("data policy: openrouter, guardrails", error(404, guard, code=404), faults.POLICY),
        Shape("memory: ollama", error(500, ollama, type="api_error"), faults.MEMORY),
        Shape("memory: ollama, native", as_json({"error": ollama}, 500), faults.MEMORY),
        Shape("memory: lm studio", error(400, lm_studio), faults.MEMORY),
    ]


def _passing() -> list[Shape]:
    gemini = "You exceeded your current quota, please check your plan and billing details. Please retry in 34.2s."
    limits = {
        "openai": error(429, "Rate limit reached; add a payment method in billing.", code="rate_limit_exceeded"),
        "gemini": as_json([{"error": {"code": 429, "message": gemini, "status": "RESOURCE_EXHAUSTED"}}], 429),
        "gemini through litellm": error(429, gemini, code="429"),
        "gemini without a time": as_json(
            [{"error": {"code": 429, "message": gemini.partition(" Please")[0], "status": "RESOURCE_EXHAUSTED"}}], 429
        ),
        "bedrock": error(429, "Too many tokens, please wait before trying again."),
        "tokens": error(429, "Too many tokens per minute"),
        "qwen": error(429, "Requests rate limit exceeded", code="limit_requests"),
        "qwen native": as_json({"code": "Throttling.AllocationQuota", "message": "Allocated quota exceeded"}, 429),
        "plain": Reply(b"slow down", 429),
        "403": error(403, "Too many requests"),
        "200 and an error": error(200, "slow down", inside=429),
    }
    busy = {
        "llama.cpp": error(503, "Loading model", code=503, type="unavailable_error"),
        "hugging face": as_json({"error": "Model m is currently loading", "estimated_time": 20.0}, 503),
        "anthropic": error(529, "Overloaded", type="overloaded_error"),
        "openai": error(500, "The engine is currently overloaded, please try again later"),
        "deepseek": completion("", finish="insufficient_system_resource"),
        "200 and an error": as_json({"error": "model is still loading"}),
        "html": page(503),
    }
    broken = {
        "500": error(500, "on fire"),
        "502": page(502),
        "504": page(504),
        "cloudflare": page(524),
        "408": error(408, "too slow"),
        "409": error(409, "conflict"),
        "vllm": flat(500, "CUDA out of memory", 500, "InternalServerError"),
        "openrouter": completion("a cat", finish="error"),
        "no choices": as_json({"choices": [], "usage": {"total_tokens": 0}}),
        "half a stream": Reply(b'data: {"choices": [{"delta": {"content": "A "}}]}\n\n'),
        "an error in a stream": Reply(
            b'data: {"choices": [{"delta": {"content": "A "}}]}\n\ndata: {"error": {"code": 502}}'
        ),
    }
    table = ((limits, faults.LIMITED), (busy, faults.BUSY), (broken, faults.BROKEN))
    return [Shape(f"{fault.name}: {name}", reply, fault) for rows, fault in table for name, reply in rows.items()]


def _others() -> list[Shape]:
    long = "This model's maximum context length is 2048 tokens. However, you requested 2300 tokens."
    groq = "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 8000, reduce it."
    large = "'max_tokens' or 'max_completion_tokens' is too large: 200. This model's maximum context length is 2048."
    per_minute = {"code": "rate_limit_exceeded", "type": "tokens"}
    moved = Reply(b"", 301, {"Location": "https://llm.test/v1/chat/completions"})
    return [
        Shape("too long: openai", error(400, "Too much.", code="context_length_exceeded"), faults.LONG),
        Shape("too long: vllm", flat(400, long, 400), faults.LONG),
        Shape("too long: llama.cpp", error(400, "Too much.", type="exceed_context_size_error"), faults.LONG),
        Shape("too long: qwen", error(400, "Range of input length should be [1, 30720]"), faults.LONG),
        Shape("too long: nginx", page(413), faults.LONG),
        Shape("too long: groq", error(413, groq, **per_minute), faults.LONG),
        Shape("too long: groq, by status", error(413, "Tokens per minute: too few.", **per_minute), faults.LONG),
        Shape("too long: openai, more than a minute's tokens", error(429, groq, **per_minute), faults.LONG),
        Shape("too long: vllm, for the answer", error(400, large, param="max_tokens", code=400), faults.LONG),
        Shape("moved: to https", moved, faults.MOVED),
        Shape("moved: with a page", replace(page(308), headers={"Location": "https://llm.test/v1"}), faults.MOVED),
        Shape("proxy", page(407), faults.PROXY),
        Shape(
            "web page: of a network that wants a login", page(200, "<!DOCTYPE html><title>Login</title>"), faults.PAGE
        ),
        Shape("web page: with a mark of its encoding", Reply(b"\xef\xbb\xbf<html></html>"), faults.PAGE),
        Shape("refused: fastapi", detail(422, [{"loc": ["body", "n"], "msg": "value is odd"}]), faults.REFUSED),
        Shape(
            "refused: mistral", as_json({"message": {"detail": [{"msg": "odd", "loc": ["body"]}]}}, 422), faults.REFUSED
        ),
        Shape("refused: text", Reply(b"no", 400), faults.REFUSED),
    ]


SHAPES = [
    *_filters(),
    *_no_images(),
    *_quotas(),
    *_keys(),
    *_places(),
    *_models(),
    *_passing(),
    *_others(),
    *_odd_images(),
]


# -- refusals of a parameter -------------------------------------------------------------------------------------


def _refused_parameters() -> dict[str, Callable[[str], Reply]]:
    loc = ["body"]
    return {
        "openai": lambda name: error(400, "Bad value.", param=name, code="unsupported_parameter"),
        "in the message": lambda name: error(400, f"Unsupported parameter: '{name}' is not supported."),
        "azure": lambda name: error(
            400, f"Unrecognized request argument supplied: {name}", type="invalid_request_error"
        ),
        "fastapi": lambda name: detail(422, [{"type": "extra_forbidden", "loc": [*loc, name], "msg": "not permitted"}]),
        "fastapi, text": lambda name: detail(422, f"{name} must be larger"),
        "vllm": lambda name: flat(400, f"[{{'type': 'extra_forbidden', 'loc': ('body', '{name}')}}]", 400),
        "vllm, its param": lambda name: as_json(
            {"object": "error", "message": "Bad.", "param": name, "code": 400}, 400
        ),
        "gigachat": lambda name: as_json(
            {"status": 422, "message": f"Invalid params: {name} must be in (0, +inf)"}, 422
        ),
        "llama.cpp": lambda name: error(400, f"Unsupported param: {name}", code=400, type="invalid_request_error"),
        "ollama": lambda name: as_json({"error": f"invalid option {name}"}, 400),
        "mistral": lambda name: as_json({"message": {"detail": [{"msg": "Extra inputs", "loc": [*loc, name]}]}}, 422),
        "200 and an error": lambda name: error(200, f"no {name} here", inside=400),
    }


REFUSED_PARAMETERS = _refused_parameters()
"""By server: a refusal of the parameter of a name."""


# -- thinking ----------------------------------------------------------------------------------------------------


def streamed(
    text: str, *, reasoning: str = "", done: bool = True, finish: str | None = "stop", **fields: object
) -> Reply:
    """An answer as server-sent events, a few letters at a time, with comments that keep the connection open."""
    chunks: list[dict[str, object]] = [{"delta": {"role": "assistant", "content": None}}]
    chunks += [{"delta": {"reasoning_content": reasoning[i : i + 5]}} for i in range(0, len(reasoning), 5)]
    chunks += [{"delta": {"content": text[i : i + 5]}} for i in range(0, len(text), 5)]
    chunks.append({"delta": {}, "finish_reason": finish})
    events = [{"object": "chat.completion.chunk", "choices": [{"index": 0} | chunk]} | fields for chunk in chunks]
    events.append({"choices": [], "usage": {"total_tokens": 50}})
    lines = [": keep-alive", *(f"data: {json.dumps(event)}" for event in events), *(["data: [DONE]"] if done else [])]
    return Reply("\n\n".join(lines).encode(), headers={"Content-Type": "text/event-stream; charset=utf-8"})


def _thinking() -> dict[str, Callable[[str], Reply]]:
    hm = "Okay, the user wants a caption.\n\nA sofa? No."
    analysis = f"<|channel|>analysis<|message|>{hm}<|end|>"
    return {
        "tags": lambda text: completion(f"<think>\n{hm}\n</think>\n\n{text}"),
        "no thought in tags": lambda text: completion(f"<think>\n\n</think>\n\n{text}"),
        "an end tag alone": lambda text: completion(f"{hm}\n</think>\n\n{text}"),
        "other tags": lambda text: completion(f"<thought>{hm}</thought>{text}"),
        "kimi": lambda text: completion(f"◁think▷{hm}◁/think▷{text}"),
        "magistral": lambda text: completion(f"[THINK]{hm}[/THINK]{text}"),
        "command r": lambda text: completion(f"<|START_THINKING|>{hm}<|END_THINKING|><|START_RESPONSE|>{text}"),
        "gpt-oss": lambda text: completion(f"{analysis}<|start|>assistant<|channel|>final<|message|>{text}<|return|>"),
        "gpt-oss through llama.cpp": lambda text: completion(f"{analysis}{text}"),
        "gpt-oss without marks": lambda text: completion(f"analysis{hm}assistantfinal{text}"),
        "glm": lambda text: completion(f"<think>{hm}</think><|begin_of_box|>{text}<|end_of_box|>"),
        "reasoning_content": lambda text: completion(text, message={"reasoning_content": hm}),
        "reasoning": lambda text: completion(text, message={"reasoning": hm, "reasoning_details": []}),
        "the answer as reasoning": lambda text: completion(None, message={"reasoning_content": text}),
        "parts": lambda text: completion(
            [{"type": "thinking", "thinking": [{"type": "text", "text": hm}]}, {"type": "text", "text": text}]
        ),
        "a stream": lambda text: streamed(text, reasoning=hm),
        "tags in a stream": lambda text: streamed(f"<think>{hm}</think>{text}"),
    }


THINKING = _thinking()
"""By server: an answer with a text, after thinking."""


# -- other shapes of a good answer -------------------------------------------------------------------------------


def _bodies() -> dict[str, Callable[[str], Reply]]:
    def beside(**fields: object) -> Callable[[str], Reply]:
        return lambda text: as_json(json.loads(completion(text).content) | fields)

    return {
        "a blank error": beside(error=""),
        "no error": beside(error=None),
        "an empty error": beside(error={}),
        "a false error": beside(error=False),
        "an error without content": beside(error={"message": "", "type": "", "code": None}),
        "an error of success": beside(error={"message": "Success", "code": 0}),
        "success of minimax": beside(base_resp={"status_code": 0, "status_msg": "success"}),
        "in a list": lambda text: as_json([json.loads(completion(text).content)]),
        "after a byte order mark": lambda text: Reply(b"\xef\xbb\xbf" + completion(text).content),
        "after blank lines": lambda text: Reply(b"\n\n  \n" + completion(text).content),
        "parts": lambda text: completion([{"type": "text", "text": text}]),
        "no usage": lambda text: as_json({"choices": [{"message": {"content": text}}]}),
        "unasked stream": streamed,
        "stream without its type": lambda text: replace(streamed(text), headers={}),
        "stream without an end mark": lambda text: streamed(text, done=False),
        "stream without a reason": lambda text: streamed(text, finish=None),
        "stream with other ends of lines": lambda text: replace(
            streamed(text), content=streamed(text).content.replace(b"\n", b"\r\n")
        ),
        "stream of one message": lambda text: Reply(b"data: " + completion(text).content + b"\n\ndata: [DONE]\n\n"),
    }


BODIES = _bodies()
"""By shape: a complete answer with a text."""


def _wrappings() -> dict[str, Callable[[str], str]]:
    return {
        "bold": lambda text: f"**{text}.**",
        "bold words": lambda text: f"{text[:-1]}**{text[-1]}**.",
        "quoted": lambda text: f"“{text}.”",
        "json": lambda text: json.dumps({"caption": text}),
        "json in a fence": lambda text: f"```json\n{json.dumps({'caption': text, 'confidence': 0.9}, indent=2)}\n```",
        "a list in json": lambda text: f"```\n{json.dumps([{'text': text}])}\n```",
        "a fence": lambda text: f"```\n{text}\n```",
        "introduced": lambda text: f"Here is a caption:\n\n{text}",
        "introduced on one line": lambda text: f"Here is a caption: {text}.",
        "introduced with many words": lambda text: f"Here's a short and simple description of the image: {text}.",
        "introduced as itself": lambda text: f"Here it is: {text}",
        "introduced by name": lambda text: f"**Caption:** {text}",
        "with consent": lambda text: f'Sure! Here\'s a one-line caption for the image:\n\n"{text}."',
        "numbered": lambda text: f"1. {text}.",
        "a bullet": lambda text: f"- {text}",
        "with a note": lambda text: f"{text}.\n\n(Note: nothing else is named.)",
        "with a count": lambda text: f"{text} (9 words)",
        "with an offer": lambda text: f"{text}.\n\nLet me know if you need another one!",
        "all of it": lambda text: (
            f"Certainly! Here is the JSON:\n\n```json\n{json.dumps({'caption': text})}\n```\n\nEnjoy!"
        ),
    }


WRAPPINGS = _wrappings()
"""By habit: what models write around a caption."""
