// SPDX-License-Identifier: Apache-2.0
// Requests to the agent over a connection that is opened when it is needed, and again when it broke.
import { Connection } from "./connection.js";
import { HeadraceError, UnreachableError } from "./errors.js";
import type { ChangeResult, ObjectChange, StoredObject, WatchEvent } from "./types.js";
import { watch, type WatchOptions } from "./watch.js";

export interface ClientOptions {
	/** HEADRACE_SOCKET, else /run/headrace/headrace.sock. */
	socketPath?: string;
	/** For an answer, with the time to connect (30000). */
	timeoutMs?: number;
	/** How long an agent that is not there is waited for, at each request (2000); 0: not at all. */
	connectTimeoutMs?: number;
}

const DEFAULT_SOCKET = "/run/headrace/headrace.sock";
/** Asked again when the connection broke: they change nothing. */
const READS = new Set(["status", "routes", "endpoints", "top", "explain", "get", "list", "canaryStatus", "circuitBreakerStatus"]);

const sleep = (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms));

export class HeadraceClient {
	readonly socketPath: string;
	readonly timeoutMs: number;
	readonly connectTimeoutMs: number;
	private connection: Promise<Connection> | undefined;
	private closed = false;

	constructor(options: ClientOptions = {}) {
		this.socketPath = options.socketPath ?? (process.env["HEADRACE_SOCKET"] || DEFAULT_SOCKET);
		this.timeoutMs = options.timeoutMs ?? 30000;
		this.connectTimeoutMs = options.connectTimeoutMs ?? 2000;
	}

	/** Any operation of docs/CONTROL.md: its result, or a HeadraceError. */
	async call<T = unknown>(op: string, params: object = {}): Promise<T> {
		const until = Date.now() + this.timeoutMs;
		for (let again = READS.has(op); ; again = false) {
			const connection = await this.connect(until);
			try {
				return (await connection.ask(op, params, Math.max(1, until - Date.now()))) as T;
			} catch (err) {
				if (!again || !connection.closed || !(err instanceof UnreachableError)) throw err;
			}
		}
	}

	status(): Promise<Record<string, unknown>> {
		return this.call("status");
	}

	/** YAML or JSON texts; in effect as a whole or not at all. */
	apply(text: string | string[], options: { dryRun?: boolean } = {}): Promise<ChangeResult> {
		const texts = Array.isArray(text) ? text : [text];
		return this.call("apply", { files: texts.map((t, i) => ({ name: `<client>/${i}`, text: t })), ...options });
	}

	async get(kind: string, name: string, namespace = "default"): Promise<StoredObject> {
		const { objects } = await this.call<{ objects: StoredObject[] }>("get", { kind, name, namespace });
		if (!objects[0]) throw new HeadraceError("failed", `${kind} ${namespace}/${name}: an answer without it`);
		return objects[0];
	}

	/** Without a namespace: of all. */
	async list(kind: string, namespace?: string): Promise<StoredObject[]> {
		const where = namespace === undefined ? { allNamespaces: true } : { namespace };
		return (await this.call<{ objects: StoredObject[] }>("list", { kind, ...where })).objects;
	}

	async delete(kind: string, name: string, namespace = "default"): Promise<ObjectChange[]> {
		return (await this.call<{ objects: ObjectChange[] }>("delete", { kind, name, namespace })).objects;
	}

	/** Events until the loop is left or `signal` aborts, over connections of its own. */
	watch(options: WatchOptions = {}): AsyncGenerator<WatchEvent, void, void> {
		return watch(this.socketPath, this.timeoutMs, options);
	}

	close(): void {
		this.closed = true;
		this.connection?.then((c) => c.close(), () => undefined);
		this.connection = undefined;
	}

	private async connect(until: number): Promise<Connection> {
		if (this.closed) throw new HeadraceError("closed", "the client was closed");
		const seen = this.connection;
		const current = seen && (await seen.catch(() => undefined));
		if (current && !current.closed) return current;
		// requests that wait for the same connection dial once
		if (this.connection === seen && !this.closed) this.connection = this.dial(until);
		return this.connection ?? this.connect(until);
	}

	private async dial(until: number): Promise<Connection> {
		const patience = Math.min(until, Date.now() + this.connectTimeoutMs);
		for (let wait = 20; ; wait = Math.min(2 * wait, 500)) {
			try {
				return await Connection.open(this.socketPath);
			} catch (err) {
				if (this.closed || Date.now() + wait > patience) throw err;
			}
			await sleep(wait);
		}
	}
}
