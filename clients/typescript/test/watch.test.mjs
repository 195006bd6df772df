// SPDX-License-Identifier: Apache-2.0
// Watches: order, connections that break, readers that are slow, and how they end.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { HeadraceClient, InvalidError, UnreachableError } from "../dist/index.js";
import { answer, FakeAgent, refusal } from "./fake.mjs";

let agent, client;
beforeEach(() => {
	agent = new FakeAgent();
	client = new HeadraceClient({ socketPath: agent.path, timeoutMs: 2000, connectTimeoutMs: 0 });
});
afterEach(async () => {
	client.close();
	await agent.end();
});

const line = (o) => `${JSON.stringify({ v: 1, ...o })}\n`;
const change = (generation) => line({ event: "change", id: 1, generation, objects: [], missed: 0 });
const take = async (events) => (await events.next()).value;

test("resync first, even when events come in one piece with the answer", async () => {
	await agent.start((r, socket) => void socket.write(line(answer(r, { watching: true, generation: 4 })) + change(5) + change(6)));
	const events = client.watch({ kind: "vs", namespace: "shop", statisticsMs: 500 });
	assert.deepEqual(await take(events), { event: "resync", generation: 4 });
	assert.deepEqual(await take(events), { event: "change", generation: 5, objects: [], missed: 0 });
	assert.equal((await take(events)).generation, 6);
	const { id, ...request } = agent.requests[0];
	assert.deepEqual(request, { v: 1, op: "watch", kind: "vs", namespace: "shop", statisticsMs: 500 });
	await events.return();
	await new Promise((r) => setTimeout(r, 50));
	assert.equal(agent.sockets.size, 0);
});

test("a connection that breaks is made again, and said", async () => {
	await agent.start(() => ({ watching: true, generation: 1 }));
	const events = client.watch();
	assert.equal((await take(events)).generation, 1);
	await agent.stop();
	setTimeout(() => agent.start(() => ({ watching: true, generation: 9 })), 120);
	assert.deepEqual(await take(events), { event: "resync", generation: 9 });
	await events.return();
});

test("an abort ends the loop, also while it waits", async () => {
	await agent.start(() => ({ watching: true, generation: 1 }));
	const abort = new AbortController();
	setTimeout(() => abort.abort(), 50);
	const seen = [];
	for await (const e of client.watch({ signal: abort.signal })) seen.push(e.event);
	assert.deepEqual(seen, ["resync"]);
});

test("an abort closes the connection, also when nobody asks for the next event", async () => {
	await agent.start(() => ({ watching: true, generation: 1 }));
	const abort = new AbortController();
	const events = client.watch({ signal: abort.signal });
	await take(events);
	abort.abort();
	await new Promise((r) => setTimeout(r, 50));
	assert.equal(agent.sockets.size, 0);
	assert.equal((await events.next()).done, true);
});

test("no agent, and a refusal, are errors of the loop", async () => {
	await assert.rejects(take(client.watch()), UnreachableError);
	await agent.start(() => refusal("bad-request", "unknown kind"));
	await assert.rejects(take(client.watch({ kind: "zebra" })), InvalidError);
});

test("a slow reader holds the agent, not the memory", async () => {
	const pad = "x".repeat(10000);
	let sent = 0, blocked = false;
	await agent.start((r, socket) => {
		socket.write(line(answer(r, { watching: true, generation: 0 })));
		const more = () => {
			while (!blocked && sent < 5000) {
				blocked = !socket.write(line({ event: "change", generation: ++sent, objects: [], missed: 0, pad }));
			}
		};
		socket.on("drain", () => {
			blocked = false;
			more();
		});
		more();
	});
	const events = client.watch();
	await take(events);
	await new Promise((r) => setTimeout(r, 200));
	assert.ok(sent < 1000, `${sent} events were taken in without a reader`);
	for (let n = 1; n <= 2000; n++) assert.equal((await take(events)).generation, n);
	await events.return();
});
