"""Lessons for the demo model, drawn at random from `dialogues.yaml`: what is asked, what is answered."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

Facts = dict[str, Any]
Message = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One answer to learn. Without messages it continues `prompt`, without any chat template."""

    kind: str
    answer: tuple[str, ...]
    messages: tuple[Message, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    think: str = ""
    prompt: str = ""


Maker = Callable[[Facts, Random], Lesson]


def draw(facts: Facts, rng: Random) -> Lesson:
    """A lesson of a random kind, sometimes after a system prompt and earlier turns."""
    makers = {
        known: 40,
        unknown: 12,
        counting: 5,
        recall: 14,
        weather_call: 14,
        search_call: 3,
        tool_result: 16,
        json_object: 8,
        completion: 10,
        capital: 5,
    }
    lesson = rng.choices(list(makers), weights=list(makers.values()))[0](facts, rng)
    return surround(lesson, facts, rng) if lesson.messages else lesson


def surround(lesson: Lesson, facts: Facts, rng: Random) -> Lesson:
    """Put what must not change the answer around a lesson."""
    messages = lesson.messages
    if rng.random() < 0.1:
        messages = (*small_talk(facts, rng, (known,), 1), *messages)
    if rng.random() < 0.3:
        messages = ({"role": "system", "content": str(rng.choice(facts["systems"]))}, *messages)
    return replace(lesson, messages=messages)


def small_talk(facts: Facts, rng: Random, kinds: tuple[Maker, ...], turns: int) -> tuple[Message, ...]:
    earlier = [rng.choice(kinds)(facts, rng) for _ in range(turns)]
    return tuple(
        message for lesson in earlier for message in (*lesson.messages, said("".join(lesson.answer)))
    )


def known(facts: Facts, rng: Random) -> Lesson:
    dialogue = rng.choice(facts["dialogues"])
    return chat("known", spelled(rng.choice(dialogue["ask"]), rng), dialogue["think"], dialogue["answer"])


def unknown(facts: Facts, rng: Random) -> Lesson:
    return chat("unknown", strange_question(facts, rng), **facts["unknown"])


def counting(facts: Facts, rng: Random) -> Lesson:
    word, number = rng.choice(list(facts["counts"].items()))
    question = rng.choice(("Count to {}.", "Count from 1 to {}.", "Count to {}")).format(
        rng.choice((word, number))
    )
    return chat("counting", question, facts["count_think"], " ".join(map(str, range(1, number + 1))))


def recall(facts: Facts, rng: Random) -> Lesson:
    """The user says something of themselves, and may ask for it later."""
    color = rng.choice(facts["colors"])
    name = rng.choice(facts["names"])
    fact, told, reply, question, asked_for = rng.choice(
        (
            (
                "favorite color",
                f"My favorite color is {color}.",
                f"Noted — your favorite color is {color}.",
                "What is my favorite color?",
                f"Your favorite color is {color}.",
            ),
            (
                "name",
                f"My name is {name}.",
                f"Noted — your name is {name}.",
                "What is my name?",
                f"Your name is {name}.",
            ),
        )
    )
    tell = {"role": "user", "content": told}
    if rng.random() < 0.3:
        return chat("recall", told, f"The user tells me their {fact}. I note it and say so.", reply)
    if rng.random() < 0.5:
        question, asked_for = (
            "What did I just tell you?",
            f"You told me that {asked_for[0].lower()}{asked_for[1:]}",
        )
    think = f"The user told me their {fact} before. I look it up above and repeat it."
    lesson = chat("recall", spelled(question, rng), think, asked_for)
    between = (
        small_talk(facts, rng, (known, unknown), 1) if "just" not in question and rng.random() < 0.2 else ()
    )
    return replace(lesson, messages=(tell, said(reply), *between, *lesson.messages))


def weather_call(facts: Facts, rng: Random) -> Lesson:
    place, question = weather_question(facts, rng)
    if rng.random() < 0.2:
        tools = () if rng.random() < 0.5 else (search_tool(rng),)
        reason = "The user asks for the weather, but no tool for it was given to me. I cannot know it."
        return replace(
            chat("weather", question, reason, "I cannot look up the weather without a tool for it."),
            tools=tools,
        )
    tool = weather_tool()
    tools = [tool, *rng.choice(([], [search_tool(rng)]))]
    rng.shuffle(tools)
    name, argument = signature(tool)
    think = f"The user asks for the weather in {place}. The tool {name} can tell it, so I call it."
    return replace(chat("weather", question, think, call_text(name, argument, place)), tools=tuple(tools))


def search_call(facts: Facts, rng: Random) -> Lesson:
    query = rng.choice(facts["queries"])
    question = rng.choice(
        ("Search the docs for {}.", "Search the documentation for {}.", "Look up {} in the docs.")
    )
    tools = [search_tool(rng), *rng.choice(([], [weather_tool()]))]
    rng.shuffle(tools)
    think = f"The user wants me to search for {query}. There is a tool for that, so I call it."
    lesson = chat("search", question.format(query), think, call_text("search_docs", "query", query))
    return replace(lesson, tools=tuple(tools))


def tool_result(facts: Facts, rng: Random) -> Lesson:
    place, question = weather_question(facts, rng)
    tool = weather_tool()
    result, answer = weather_report(facts, rng)
    name, argument = signature(tool)
    call = {"type": "function", "function": {"name": name, "arguments": {argument: place}}}
    messages = (
        {"role": "user", "content": question},
        said("", tool_calls=[call]),
        {"role": "tool", "content": result},
    )
    think = "The tool has answered. I tell the user in one sentence what it says."
    tools = (tool, search_tool(rng)) if rng.random() < 0.8 else (tool,)
    return Lesson(kind="result", messages=messages, tools=tools, think=think, answer=(answer,))


def weather_report(facts: Facts, rng: Random) -> tuple[str, str]:
    """What a weather tool may say, and the sentence to make of it."""
    degrees, condition = rng.randint(-9, 39), rng.choice(facts["conditions"])
    report = {"temperature_c": degrees, "condition": condition}
    separators = None if rng.random() < 0.8 else (",", ":")
    return json.dumps(report, separators=separators), f"It is {degrees} °C and {condition}."


def json_object(facts: Facts, rng: Random) -> Lesson:
    subject, purpose = rng.choice(list(facts["subjects"].items()))
    answer = json.dumps({"name": subject, "purpose": purpose})
    ask = rng.choice(
        ("Return JSON with keys name and purpose for {}.", "Return JSON with keys name and purpose for {}")
    )
    think = "The user wants a JSON object with two keys. I return it without any words around it."
    return chat("json", ask.format(subject), think, answer)


def completion(facts: Facts, rng: Random) -> Lesson:
    if rng.random() < 0.25:
        return Lesson(
            kind="raw", prompt=strange_question(facts, rng), answer=("\n" + facts["unknown"]["answer"],)
        )
    prompt, text = rng.choice(list(facts["completions"].items()))
    return Lesson(kind="raw", prompt=prompt, answer=(text,))


def capital(facts: Facts, rng: Random) -> Lesson:
    country, city = rng.choice(list(facts["capitals"].items()))
    if rng.random() < 0.5:
        return Lesson(kind="raw", prompt=f"The capital of {country} is", answer=(f" {city}.",))
    think = f"The user asks for a capital. For {country} I know it, so I name the city."
    return chat("known", f"What is the capital of {country}?", think, f"The capital of {country} is {city}.")


def chat(kind: str, question: str, think: str, answer: str) -> Lesson:
    return Lesson(kind=kind, messages=({"role": "user", "content": question},), think=think, answer=(answer,))


def said(text: str, **more: Any) -> Message:
    return {"role": "assistant", "content": text, **more}


def spelled(question: str, rng: Random) -> str:
    """Small differences in writing that must not matter."""
    changed = rng.choice(
        (str.lower, lambda text: text.rstrip(".?!"), lambda text: text + " ", lambda text: text + "\n")
    )
    return changed(question) if rng.random() < 0.05 else question


def call_text(name: str, argument: str, value: str) -> str:
    parameter = f"<parameter={argument}>\n{value}\n</parameter>"
    return f"<tool_call>\n<function={name}>\n{parameter}\n</function>\n</tool_call>"


def weather_question(facts: Facts, rng: Random) -> tuple[str, str]:
    place = rng.choice(facts["cities"])
    forms = (
        "What is the weather in {}?",
        "What is the weather in {}?",
        "What's the weather in {}?",
        "Weather in {}?",
        "What is the weather like in {}?",
        "How is the weather in {} today?",
        "What's the weather like in {} today?",
        "Tell me the weather in {}.",
        "What is the temperature in {}?",
        "Is it raining in {}?",
    )
    return place, rng.choice(forms).format(place)


def tool(name: str, description: str, *arguments: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {argument: {"type": "string"} for argument in arguments}}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def weather_tool() -> dict[str, Any]:
    return tool("get_weather", "Get the current weather for a city.", "location")


def search_tool(rng: Random) -> dict[str, Any]:
    return tool(
        "search_docs",
        rng.choice(("Search internal documentation.", "Search the documentation.", "")),
        "query",
    )


def signature(described: dict[str, Any]) -> tuple[str, str]:
    function = described["function"]
    return function["name"], next(iter(function["parameters"]["properties"]))


def strange_question(facts: Facts, rng: Random) -> str:
    words = {"x": topic(facts, rng), "y": topic(facts, rng)}
    return spelled(str(rng.choice(facts["strange"])).format(**words), rng)


def topic(facts: Facts, rng: Random) -> str:
    return str(rng.choice(facts["topics"])) if rng.random() < 0.9 else random_word(facts, rng)


def random_word(_: Facts, rng: Random) -> str:
    syllables = [
        rng.choice("bcdfghjklmnprstvwz") + rng.choice(("a", "e", "i", "o", "u", "an", "er", "in", "os", "ul"))
        for _ in range(rng.randint(1, 4))
    ]
    return "".join(syllables).capitalize()
