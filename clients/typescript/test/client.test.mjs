// SPDX-License-Identifier: Apache-2.0
// The client against an agent that behaves and one that does not.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { afterEach, beforeEach, test } from "node:test";
import {
	ConflictError,
	HeadraceClient,
	HeadraceError,
	InvalidError,
	NotFoundError,
	ProtocolError,
	TimeoutError,
	TrafficSplitter,
	UnreachableError,
} from "../dist/index.js";
import { answer, FakeAgent, refusal } from "./fake.mjs";

let agent, clients;
beforeEach(() => {
	agent = new FakeAgent();
	clients = [];
});
afterEach(async () => {
	clients.forEach((c) => c.close());
	await agent.end();
});

function client(options = {}) {
	const c = new HeadraceClient({ socketPath: agent.path, timeoutMs: 2000, connectTimeoutMs: 0, ...options });
	clients.push(c);
	return c;
}
const splitter = (options) => new TrafficSplitter(client(options));

test("the three methods say what the protocol wants", async () => {
	await agent.start(() => ({ objects: [], warnings: [], sides: [], dryRun: false, generation: 3 }));
	const s = splitter();
	const matches = [{ headers: { "x-canary": { exact: "true" } } }];
	const result = await s.createCanaryDeployment("reviews", "shop", { stableWeight: 90, canaryWeight: 10, matches });
	assert.equal(result.generation, 3);
	await s.updateTrafficWeights("reviews", "shop", { stable: 50, canary: 50 }, { dryRun: true });
	await s.enableCircuitBreaker("reviews", "shop", { consecutiveErrors: 5, interval: "30s" });
	await s.promoteCanary("reviews", "shop");
	await s.rollbackCanary("reviews", "shop");
	await s.disableCircuitBreaker("reviews", "shop");
	const common = { v: 1, service: "reviews", namespace: "shop" };
	assert.deepEqual(agent.requests.map(({ id, ...r }) => r), [
		{ ...common, op: "createCanaryDeployment", stableWeight: 90, canaryWeight: 10, matches },
		{ ...common, op: "updateTrafficWeights", stable: 50, canary: 50, dryRun: true },
		{ ...common, op: "enableCircuitBreaker", consecutiveErrors: 5, interval: "30s" },
		{ ...common, op: "promoteCanary" },
		{ ...common, op: "rollbackCanary" },
		{ ...common, op: "disableCircuitBreaker" },
	]);
	assert.equal(agent.connections, 1);
});

test("objects: apply, get, list, delete", async () => {
	const object = { kind: "VirtualService", namespace: "a", name: "x", source: "f", yaml: "y" };
	await agent.start((r) => ({ objects: r.op === "list" && r.namespace === "none" ? [] : [object] }));
	const c = client();
	assert.deepEqual((await c.apply(["one", "two"], { dryRun: true })).objects, [object]);
	assert.deepEqual(await c.get("vs", "x", "a"), object);
	assert.deepEqual(await c.list("vs", "none"), []);
	assert.deepEqual(await c.list("vs"), [object]);
	assert.deepEqual(await c.delete("vs", "x"), [object]);
	assert.deepEqual(agent.requests[0].files, [{ name: "<client>/0", text: "one" }, { name: "<client>/1", text: "two" }]);
	assert.equal(agent.requests[3].allNamespaces, true);
	assert.equal(agent.requests[4].namespace, "default");
});

test("refusals are classes with the agent's sentence", async () => {
	const codes = { a: "not-found", b: "invalid", c: "conflict", d: "bad-version", e: "stopping" };
	await agent.start((r) => refusal(codes[r.service], `no ${r.service}`));
	const s = splitter();
	const classes = { a: NotFoundError, b: InvalidError, c: ConflictError, d: ProtocolError, e: HeadraceError };
	for (const [service, type] of Object.entries(classes))
		await assert.rejects(s.promoteCanary(service, "default"), (err) => {
			assert.equal(err.constructor, type);
			assert.equal(err.name, type.name);
			assert.ok(err instanceof HeadraceError && err instanceof Error);
			assert.equal(err.code, codes[service]);
			assert.equal(err.message, `no ${service}`);
			return true;
		});
});

test("weights that are none are refused before anything is sent", async () => {
	await agent.start(() => ({}));
	const s = splitter();
	for (const bad of [-1, 1.5, NaN, "5", undefined])
		await assert.rejects(s.updateTrafficWeights("x", "default", { stable: 1, canary: bad }), InvalidError);
	await assert.rejects(s.createCanaryDeployment("x", "default", { stableWeight: 1 }), InvalidError);
	assert.equal(agent.requests.length, 0);
});

test("answers in pieces, in one piece, and with characters cut in two", async () => {
	const held = [];
	await agent.start((r, socket) => {
		held.push(answer(r, { echo: r.say }));
		if (held.length < 3) return;
		const bytes = Buffer.from(held.map((a) => JSON.stringify(a)).join("\n") + "\n");
		let at = 0;
		const next = () => {
			if (at >= bytes.length) return;
			socket.write(bytes.subarray(at, at + 7));
			at += 7;
			setImmediate(next);
		};
		next();
	});
	const c = client();
	const said = ["é€", "\u{1F600}".repeat(20), 'line\n"quoted"'];
	assert.deepEqual((await Promise.all(said.map((say) => c.call("echo", { say })))).map((r) => r.echo), said);
});

test("answers find their requests by id, whatever order they come in", async () => {
	const held = [];
	await agent.start((r, socket) => {
		held.unshift(`${JSON.stringify(answer(r, { n: r.n }))}\n`);
		if (held.length === 5) socket.write(held.join(""));
	});
	const c = client();
	const all = await Promise.all([1, 2, 3, 4, 5].map((n) => c.call("n", { n })));
	assert.deepEqual(all.map((r) => r.n), [1, 2, 3, 4, 5]);
});

test("a late answer is a timeout, and is not taken for the next one's", async () => {
	await agent.start((r, socket) => {
		if (r.op === "slow") setTimeout(() => socket.write(`${JSON.stringify(answer(r, { late: true }))}\n`), 150);
		else return { n: r.n };
	});
	const slow = client({ timeoutMs: 50 });
	await assert.rejects(slow.call("slow"), (e) => e instanceof TimeoutError && /slow: no answer in \d+ ms/.test(e.message));
	await new Promise((r) => setTimeout(r, 200));
	assert.deepEqual(await slow.call("fast", { n: 1 }), { n: 1 });
	assert.equal(agent.connections, 1);
});

test("no agent: said at once, or waited for", async () => {
	await assert.rejects(client().status(), (e) => e instanceof UnreachableError && e.message.includes("ENOENT"));
	const waiting = client({ connectTimeoutMs: 3000 }).status();
	setTimeout(() => agent.start(() => ({ ready: true })), 100);
	assert.deepEqual(await waiting, { ready: true });
});

test("an agent that was restarted is connected to again; ten requests do it once", async () => {
	await agent.start(() => ({ n: 1 }));
	const c = client();
	await c.status();
	await agent.stop();
	await agent.start(() => ({ n: 2 }));
	const all = await Promise.all(Array.from({ length: 10 }, () => c.status()));
	assert.deepEqual(all, Array(10).fill({ n: 2 }));
	assert.equal(agent.connections, 2);
});

test("a question whose answer was lost is asked again; a change is not", async () => {
	let first = true;
	await agent.start((r, socket) => {
		if (!first) return { ok: 1 };
		first = false;
		socket.destroy();
	});
	assert.deepEqual(await client().status(), { ok: 1 });
	first = true;
	await assert.rejects(splitter().promoteCanary("x", "default"), UnreachableError);
	assert.equal(agent.requests.filter((r) => r.op === "promoteCanary").length, 1);
});

test("what is no answer ends the connection with words", async () => {
	const lines = ["nonsense\n", "[]\n", '{"v":2,"ok":true}\n', "null\n"];
	await agent.start((r, socket) => void socket.write(lines[r.n]));
	for (let n = 0; n < lines.length; n++) await assert.rejects(client().call("x", { n }), ProtocolError);
	await agent.stop();
	await agent.start((_, socket) => void socket.write('{"v":1,"ok":false,"error":{"code":"busy","message":"too many clients"}}\n'));
	await assert.rejects(client().status(), (e) => e.code === "busy" && e.message === "too many clients");
});

test("a closed client refuses, and what was open ends", async () => {
	await agent.start(() => undefined);
	const c = client();
	const open = assert.rejects(c.call("hang"), (e) => e.code === "closed");
	await new Promise((r) => setTimeout(r, 50));
	c.close();
	await open;
	await assert.rejects(c.status(), (e) => e.code === "closed");
});

test("an idle client does not keep its process", async () => {
	await agent.start(() => ({ ready: true }));
	const code = `import { HeadraceClient } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)};
		console.log((await new HeadraceClient({ socketPath: ${JSON.stringify(agent.path)} }).status()).ready);`;
	const { spawn } = await import("node:child_process");
	const child = spawn(process.execPath, ["--input-type=module", "-e", code], { timeout: 10000 });
	let out = "";
	child.stdout.on("data", (d) => (out += d));
	const exit = await new Promise((resolve) => child.on("exit", (status, signal) => resolve(status ?? signal)));
	assert.deepEqual([exit, out], [0, "true\n"]);
});

test("HEADRACE_SOCKET and the default", () => {
	const code = `import { TrafficSplitter } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)};
		console.log(new TrafficSplitter().client.socketPath);`;
	const run = (env) => spawnSync(process.execPath, ["--input-type=module", "-e", code], { env }).stdout.toString().trim();
	assert.equal(run({ HEADRACE_SOCKET: "/tmp/x.sock" }), "/tmp/x.sock");
	assert.equal(run({}), "/run/headrace/headrace.sock");
});
