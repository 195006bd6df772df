// SPDX-License-Identifier: Apache-2.0
// Canaries and circuit breakers, by service.
import { HeadraceClient, type ClientOptions } from "./client.js";
import { InvalidError } from "./errors.js";
import type {
	CanaryConfig,
	CanaryStatus,
	ChangeResult,
	CircuitBreakerConfig,
	CircuitBreakerStatus,
	SplitResult,
	TrafficWeights,
} from "./types.js";

export interface ChangeOptions {
	/** The result has the YAML that would be applied; nothing changes. */
	dryRun?: boolean;
}

function needWeight(name: string, value: unknown): void {
	if (!Number.isInteger(value) || (value as number) < 0)
		throw new InvalidError("bad-request", `${name}: a whole number, 0 or more, is needed, not ${String(value)}`);
}

/**
 * Splits the traffic of services between versions.
 *
 *     const splitter = new TrafficSplitter();
 *     await splitter.createCanaryDeployment("reviews", "default", { stableWeight: 95, canaryWeight: 5 });
 *     await splitter.updateTrafficWeights("reviews", "default", { stable: 50, canary: 50 });
 *     await splitter.enableCircuitBreaker("reviews", "default", { consecutiveErrors: 5 });
 */
export class TrafficSplitter {
	readonly client: HeadraceClient;

	/** A client that several share, or how to make one. */
	constructor(client: HeadraceClient | ClientOptions = {}) {
		this.client = client instanceof HeadraceClient ? client : new HeadraceClient(client);
	}

	/** One VirtualService with two weights, one DestinationRule with two subsets; updated when they exist. */
	async createCanaryDeployment(
		service: string,
		namespace: string,
		config: CanaryConfig,
		options: ChangeOptions = {},
	): Promise<SplitResult> {
		needWeight("stableWeight", config.stableWeight);
		needWeight("canaryWeight", config.canaryWeight);
		return this.client.call("createCanaryDeployment", { ...config, ...options, service, namespace });
	}

	/** NotFoundError when there is no VirtualService. */
	async updateTrafficWeights(
		service: string,
		namespace: string,
		weights: TrafficWeights,
		options: ChangeOptions = {},
	): Promise<SplitResult> {
		needWeight("stable", weights.stable);
		needWeight("canary", weights.canary);
		return this.client.call("updateTrafficWeights", {
			...options,
			service,
			namespace,
			stable: weights.stable,
			canary: weights.canary,
		});
	}

	/** All to the canary; the objects stay. */
	promoteCanary(service: string, namespace: string, options: ChangeOptions = {}): Promise<SplitResult> {
		return this.client.call("promoteCanary", { ...options, service, namespace });
	}

	/** All to the stable side; the objects stay. */
	rollbackCanary(service: string, namespace: string, options: ChangeOptions = {}): Promise<SplitResult> {
		return this.client.call("rollbackCanary", { ...options, service, namespace });
	}

	canaryStatus(service: string, namespace: string): Promise<CanaryStatus> {
		return this.client.call("canaryStatus", { service, namespace });
	}

	/** outlierDetection of the service's DestinationRule; NotFoundError when there is none. */
	enableCircuitBreaker(
		service: string,
		namespace: string,
		config: CircuitBreakerConfig = {},
		options: ChangeOptions = {},
	): Promise<ChangeResult> {
		return this.client.call("enableCircuitBreaker", { ...config, ...options, service, namespace });
	}

	disableCircuitBreaker(service: string, namespace: string, options: ChangeOptions = {}): Promise<ChangeResult> {
		return this.client.call("disableCircuitBreaker", { ...options, service, namespace });
	}

	circuitBreakerStatus(service: string, namespace: string): Promise<CircuitBreakerStatus> {
		return this.client.call("circuitBreakerStatus", { service, namespace });
	}

	close(): void {
		this.client.close();
	}
}
