// SPDX-License-Identifier: Apache-2.0
// Compiled, never run: what users may write, and what the compiler has to refuse.
import { NotFoundError, TrafficSplitter, type CanaryConfig, type WatchEvent } from "../dist/index.js";

export async function allowed(splitter: TrafficSplitter): Promise<string[]> {
	const config: CanaryConfig = {
		stableWeight: 90,
		canaryWeight: 10,
		matches: [{ headers: { "x-canary": { exact: "true" } } }, { uri: { prefix: "/beta" } }, { headers: { "x-any": {} } }],
		timeout: "30s",
		retries: { attempts: 3, perTryTimeout: "10s" },
		canaryPolicy: { connectionPool: { tcp: { maxConnections: 50 } } },
	};
	const { sides } = await splitter.createCanaryDeployment("reviews", "default", config);
	await splitter.updateTrafficWeights("reviews", "default", { stable: 50, canary: 50 });
	await splitter.enableCircuitBreaker("reviews", "default", { consecutiveErrors: 5, maxEjectionPercent: 50 });
	for await (const e of splitter.client.watch({ statisticsMs: 1000 })) names(e);
	return sides.map((s) => s.name);
}

function names(e: WatchEvent): string[] {
	return e.event === "change" ? e.objects.map((o) => `${o.type} ${o.name}`) : [];
}

export function refused(splitter: TrafficSplitter): void {
	// @ts-expect-error: the canary's weight is missing
	void splitter.createCanaryDeployment("reviews", "default", { stableWeight: 90 });
	// @ts-expect-error: a misspelt member
	void splitter.updateTrafficWeights("reviews", "default", { stable: 50, canry: 50 });
	// @ts-expect-error: a number, not a duration
	void splitter.enableCircuitBreaker("reviews", "default", { interval: 30 });
	// @ts-expect-error: two conditions on one string
	const both: CanaryConfig["matches"] = [{ uri: { exact: "/a", prefixx: "/b" } }];
	void both;
	new NotFoundError("not-found", "x").code.toUpperCase();
}
