// What the JavaScript SDKs of OpenAI and Anthropic are used for: the list of sdk_journeys.py, in its order.
// node sdk_journeys.cjs ADDRESS KEY prints {name: null, or what failed} as JSON.
const assert = require("node:assert");
const OpenAI = require("openai");
const Anthropic = require("@anthropic-ai/sdk");

const [root, key] = process.argv.slice(2);
const quick = { apiKey: key, maxRetries: 0, timeout: 60_000 };
const api = new OpenAI({ baseURL: `${root}/v1`, ...quick });
const other = new Anthropic({ baseURL: root, ...quick });

const model = "nim/demo";
const hello = [{ role: "user", content: "Hello" }];
const count = [{ role: "user", content: "Count to twenty." }];
const long = { model, messages: hello, max_tokens: 1500, ignore_eos: true, min_tokens: 1500 };
const place = { type: "object", properties: { location: { type: "string" } }, required: ["location"] };
const weather = { name: "get_weather", description: "Get the current weather for a city.", parameters: place };
const asked = [{ role: "user", content: "What is the weather in Santa Clara, CA?" }];
const colour = { type: "object", properties: { colour: { enum: ["red", "blue"] } }, required: ["colour"] };
const patient = { maxRetries: 10 };

async function all(stream) {
  const found = [];
  for await (const part of stream) found.push(part);
  return found;
}

// Do something while the key's two places are taken.
async function whileTaken(something) {
  const streams = [];
  for (let i = 0; i < 2; i++) streams.push(await api.chat.completions.create({ ...long, stream: true }));
  try {
    await something();
  } finally {
    for (const stream of streams) stream.controller.abort();
  }
}

const journeys = {
  async models_list() {
    assert((await all(api.models.list())).some((entry) => entry.id === model));
  },
  async models_retrieve_is_refused() {
    await assert.rejects(api.models.retrieve(model), OpenAI.NotFoundError);
  },
  async chat() {
    const answer = await api.chat.completions.create({ model, messages: hello });
    assert(answer.choices[0].message.content);
    assert(answer.usage);
  },
  async chat_stream() {
    const asked = { model, messages: count, temperature: 0, max_tokens: 40 };
    const whole = await api.chat.completions.create(asked);
    const parts = await all(await api.chat.completions.create({ ...asked, stream: true }));
    const text = parts.map((part) => part.choices[0]?.delta.content ?? "").join("");
    assert.equal(text, whole.choices[0].message.content);
    assert(parts.length > 2);
  },
  async chat_tool() {
    const tools = [{ type: "function", function: weather }];
    const answer = await api.chat.completions.create({ model, messages: asked, tools, temperature: 0 });
    const [call] = answer.choices[0].message.tool_calls;
    assert.equal(call.function.name, "get_weather");
    assert.deepEqual(JSON.parse(call.function.arguments), { location: "Santa Clara, CA" });
  },
  async chat_structured() {
    const answer = await api.chat.completions.create({
      model,
      messages: hello,
      max_tokens: 60,
      response_format: { type: "json_schema", json_schema: { name: "colour", schema: colour } },
    });
    assert(["red", "blue"].includes(JSON.parse(answer.choices[0].message.content).colour));
  },
  async chat_logprobs() {
    const asked = { model, messages: hello, logprobs: true, top_logprobs: 3, max_tokens: 2 };
    const answer = await api.chat.completions.create(asked);
    assert.deepEqual(answer.choices[0].logprobs.content.map((token) => token.top_logprobs.length), [3, 3]);
  },
  async completions() {
    const answer = await api.completions.create({ model, prompt: "Hello", max_tokens: 5, n: 2, temperature: 1 });
    assert.equal(answer.choices.length, 2);
  },
  async embeddings_are_refused() {
    await assert.rejects(api.embeddings.create({ model, input: "Hello" }), OpenAI.NotFoundError);
  },
  async responses() {
    const answer = await api.responses.create({ model, input: "Hello" });
    assert.equal(answer.status, "completed");
    assert(answer.output_text);
  },
  async responses_stream() {
    const events = await all(await api.responses.create({ model, input: "Hello", stream: true }));
    assert.equal(events[0].type, "response.created");
    assert.equal(events.at(-1).type, "response.completed");
  },
  async error_400() {
    const asked = { model, messages: hello, max_tokens: -1 };
    await assert.rejects(api.chat.completions.create(asked), OpenAI.BadRequestError);
  },
  async error_401() {
    await assert.rejects(all(api.withOptions({ apiKey: "wrong" }).models.list()), OpenAI.AuthenticationError);
  },
  async error_404() {
    const asked = { model: "nobody/nothing", messages: hello };
    await assert.rejects(api.chat.completions.create(asked), OpenAI.NotFoundError);
  },
  async error_429() {
    await whileTaken(() =>
      assert.rejects(api.chat.completions.create({ model, messages: hello }), (error) => {
        assert(error instanceof OpenAI.RateLimitError);
        assert(error.headers.get("retry-after"));
        return true;
      }),
    );
  },
  async retries_end_a_429() {
    assert((await api.chat.completions.create({ model, messages: hello }, patient)).choices.length);
  },
  async aborted() {
    const stream = await api.chat.completions.create({ ...long, stream: true });
    for await (const _ of stream) break;
    stream.controller.abort();
    assert((await all(api.models.list(patient))).length);
  },
  async timed_out() {
    await assert.rejects(api.chat.completions.create(long, { timeout: 200 }), OpenAI.APIConnectionTimeoutError);
  },
  async request_id() {
    const headers = { "X-Request-Id": "mine-1" };
    const answer = await api.chat.completions.create({ model, messages: hello }, { headers, ...patient });
    assert.equal(answer._request_id, "mine-1");
  },
  async messages() {
    const answer = await other.messages.create({ model, messages: hello, max_tokens: 50 });
    assert.equal(answer.content[0].type, "text");
    assert(answer._request_id);
  },
  async messages_stream() {
    const stream = other.messages.stream({ model, messages: count, max_tokens: 50 });
    let text = "";
    stream.on("text", (piece) => (text += piece));
    assert((await stream.finalMessage()).usage.output_tokens > 1);
    assert(text);
  },
  async messages_count_tokens() {
    assert((await other.messages.countTokens({ model, messages: hello })).input_tokens > 1);
  },
  async messages_error_400() {
    const asked = { model, messages: [], max_tokens: -1 };
    await assert.rejects(other.messages.create(asked), Anthropic.BadRequestError);
  },
  async messages_error_401() {
    const asked = { model, messages: hello, max_tokens: 5 };
    const stranger = other.withOptions({ apiKey: "wrong" });
    await assert.rejects(stranger.messages.create(asked), Anthropic.AuthenticationError);
  },
  async messages_error_404() {
    const asked = { model: "nobody/nothing", messages: hello, max_tokens: 5 };
    await assert.rejects(other.messages.create(asked), Anthropic.NotFoundError);
  },
  async messages_error_429() {
    const asked = { model, messages: hello, max_tokens: 5 };
    await whileTaken(() => assert.rejects(other.messages.create(asked), Anthropic.RateLimitError));
  },
};

async function main() {
  const found = {};
  for (const [name, run] of Object.entries(journeys)) {
    found[name] = await run().then(() => null, (error) => error.stack ?? String(error));
  }
  console.log(JSON.stringify(found));
}

main();
