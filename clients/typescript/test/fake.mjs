// SPDX-License-Identifier: Apache-2.0
// An agent made of a function: gets each request, gives its answer (or writes what it likes).
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class FakeAgent {
	constructor() {
		this.dir = mkdtempSync(join(tmpdir(), "headrace-ts-"));
		this.path = join(this.dir, "agent.sock");
		this.requests = [];
		this.connections = 0;
		this.sockets = new Set();
	}

	/** handle(request, socket): a result object, an {error}, or undefined when it wrote the answer itself. */
	async start(handle) {
		this.server = createServer((socket) => {
			this.connections++;
			this.sockets.add(socket);
			socket.on("close", () => this.sockets.delete(socket));
			socket.on("error", () => undefined);
			let rest = "";
			socket.setEncoding("utf8").on("data", (chunk) => {
				const lines = (rest + chunk).split("\n");
				rest = lines.pop();
				for (const line of lines) {
					const request = JSON.parse(line);
					this.requests.push(request);
					const result = handle(request, socket);
					if (result) socket.write(`${JSON.stringify(answer(request, result))}\n`);
				}
			});
		});
		await new Promise((resolve) => this.server.listen(this.path, resolve));
		return this;
	}

	async stop() {
		for (const s of this.sockets) s.destroy();
		await new Promise((resolve) => this.server.close(resolve));
	}

	async end() {
		if (this.server?.listening) await this.stop();
		rmSync(this.dir, { recursive: true, force: true });
	}
}

export function answer(request, result) {
	const body = result.error ? { ok: false, ...result } : { ok: true, result };
	return { v: 1, id: request.id, ...body };
}

export const refusal = (code, message) => ({ error: { code, message } });
