// SPDX-License-Identifier: Apache-2.0
// Shapes of requests and answers (docs/CONTROL.md), and what of Istio's API they carry.

/** Istio's duration: "30s", "1.5s", "100ms". */
export type Duration = string;
export type StringMatch = { exact: string } | { prefix: string } | { regex: string } | Record<string, never>;

/** Istio's HTTPMatchRequest; its conditions must all hold. */
export interface HTTPMatchRequest {
	name?: string;
	uri?: StringMatch;
	scheme?: StringMatch;
	method?: StringMatch;
	authority?: StringMatch;
	headers?: Record<string, StringMatch>;
	withoutHeaders?: Record<string, StringMatch>;
	queryParams?: Record<string, StringMatch>;
	port?: number;
	ignoreUriCase?: boolean;
	sourceLabels?: Record<string, string>;
	sourceNamespace?: string;
}

export interface HTTPRetry {
	attempts: number;
	perTryTimeout?: Duration;
	retryOn?: string;
}

/** Istio's TrafficPolicy; the agent checks what is in it. */
export interface TrafficPolicy {
	loadBalancer?: Record<string, unknown>;
	connectionPool?: {
		tcp?: { maxConnections?: number; connectTimeout?: Duration; [field: string]: unknown };
		http?: { http1MaxPendingRequests?: number; http2MaxRequests?: number; [field: string]: unknown };
	};
	outlierDetection?: Record<string, unknown>;
	portLevelSettings?: Array<Record<string, unknown>>;
	[field: string]: unknown;
}

export interface CanaryConfig {
	/** Shares of their sum, 0 or more. */
	stableWeight: number;
	canaryWeight: number;
	/** Requests that go to the canary whatever the weights are; `[]` takes an older list back. */
	matches?: HTTPMatchRequest[];
	/** Of a new rule "30s". */
	timeout?: Duration;
	/** Of a new rule 3 attempts of 10 s. */
	retries?: HTTPRetry;
	stablePolicy?: TrafficPolicy;
	canaryPolicy?: TrafficPolicy;
	basePolicy?: TrafficPolicy;
	/** Names of the subsets, "v1" and "v2", and labels of their pods, {version: NAME}. */
	stableSubset?: string;
	canarySubset?: string;
	stableLabels?: Record<string, string>;
	canaryLabels?: Record<string, string>;
}

export interface TrafficWeights {
	stable: number;
	canary: number;
}

export interface CircuitBreakerConfig {
	/** 5xx answers in a row that eject an endpoint (5). */
	consecutiveErrors?: number;
	/** ("30s") */
	interval?: Duration;
	/** ("30s") */
	baseEjectionTime?: Duration;
	/** (50) */
	maxEjectionPercent?: number;
	/** (30) */
	minHealthPercent?: number;
}

export interface ObjectRef {
	kind: string;
	namespace: string;
	name: string;
}

export interface ObjectChange extends ObjectRef {
	action: "created" | "configured" | "unchanged" | "deleted";
	yaml?: string;
	/** File of `headrace run -f` that defines it and wins. */
	shadowedBy?: string;
}

export interface Side {
	/** Subset, or host. */
	name: string;
	weight: number;
}

export interface ChangeResult {
	objects: ObjectChange[];
	warnings: string[];
	dryRun: boolean;
	generation: number;
}

export interface SplitResult extends ChangeResult {
	/** Stable first, then the canary. */
	sides: Side[];
}

export interface Counters {
	requests: number;
	/** By first digit; [0]: no status. */
	status: number[];
	/** By bucket, not cumulative; bounds in docs/CONTROL.md. */
	latency: number[];
	latencySumUs: number;
}

export interface SideStatus extends Side {
	host: string;
	share: number;
	endpoints: number;
	healthy: number;
	counters: Counters;
	/** Rules that send requests there by themselves. */
	otherRules: Array<{ rule: number; name: string | null }>;
}

export interface CanaryStatus {
	virtualService: string;
	namespace: string;
	/** File, or "<applied>/...". */
	source: string;
	rule: number;
	sides: SideStatus[];
	timeMs: number;
	pid: number;
	generation: number;
}

export interface OutlierDetection {
	consecutive5xxErrors: number;
	intervalMs: number;
	baseEjectionTimeMs: number;
	maxEjectionPercent: number;
	minHealthPercent: number;
	splitExternalLocalOriginErrors: boolean;
}

export interface CircuitBreakerStatus {
	destinationRule: string;
	namespace: string;
	host: string;
	source: string;
	outlierDetection: OutlierDetection | null;
	clusters: Array<{
		name: string;
		subset?: string;
		port: number;
		outlierDetection: OutlierDetection | null;
		ejected: number;
		ejections: number;
		overflow: number;
		endpoints: Array<{ address: string; state: string; consecutive5xx: number }>;
	}>;
}

export interface StoredObject extends ObjectRef {
	source: string;
	yaml: string;
}

export interface WatchedObject extends StoredObject {
	type: "ADDED" | "MODIFIED" | "DELETED";
}

export type WatchEvent =
	/** First, and after each connection that broke: what was before may have been missed. */
	| { event: "resync"; generation: number }
	| { event: "change"; generation: number; objects: WatchedObject[]; missed: number }
	| {
			event: "statistics";
			timeMs: number;
			requests: { total: number; kernel: number; agent: number; kernelShare: number };
			routes: Array<{ key: string; counters: Counters }>;
			endpoints: Array<{ key: string; state: string; inFlight: number; counters: Counters }>;
			missed: number;
	  };
