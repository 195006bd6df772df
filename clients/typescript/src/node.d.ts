// SPDX-License-Identifier: Apache-2.0
// What this client uses of node, so that it compiles without @types/node. Not shipped.
declare module "node:net" {
	export interface Socket {
		on(event: "connect" | "end" | "close", fn: () => void): this;
		on(event: "data", fn: (chunk: string) => void): this;
		on(event: "error", fn: (err: Error & { code?: string }) => void): this;
		setEncoding(encoding: "utf8"): this;
		write(text: string): boolean;
		destroy(): this;
		pause(): this;
		resume(): this;
		ref(): this;
		unref(): this;
	}
	export function createConnection(options: { path: string }): Socket;
}
declare const process: { env: Record<string, string | undefined> };
interface Timer {
	unref(): void;
}
declare function setTimeout(fn: () => void, ms: number): Timer;
declare function clearTimeout(timer: Timer | undefined): void;
interface AbortSignal {
	readonly aborted: boolean;
	addEventListener(type: "abort", fn: () => void, options?: { once: boolean }): void;
	removeEventListener(type: "abort", fn: () => void): void;
}
