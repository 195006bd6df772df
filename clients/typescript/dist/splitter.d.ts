import { HeadraceClient, type ClientOptions } from "./client.js";
import type { CanaryConfig, CanaryStatus, ChangeResult, CircuitBreakerConfig, CircuitBreakerStatus, SplitResult, TrafficWeights } from "./types.js";
export interface ChangeOptions {
    /** The result has the YAML that would be applied; nothing changes. */
    dryRun?: boolean;
}
/**
 * Splits the traffic of services between versions.
 *
 *     const splitter = new TrafficSplitter();
 *     await splitter.createCanaryDeployment("reviews", "default", { stableWeight: 95, canaryWeight: 5 });
 *     await splitter.updateTrafficWeights("reviews", "default", { stable: 50, canary: 50 });
 *     await splitter.enableCircuitBreaker("reviews", "default", { consecutiveErrors: 5 });
 */
export declare class TrafficSplitter {
    readonly client: HeadraceClient;
    /** A client that several share, or how to make one. */
    constructor(client?: HeadraceClient | ClientOptions);
    /** One VirtualService with two weights, one DestinationRule with two subsets; updated when they exist. */
    createCanaryDeployment(service: string, namespace: string, config: CanaryConfig, options?: ChangeOptions): Promise<SplitResult>;
    /** NotFoundError when there is no VirtualService. */
    updateTrafficWeights(service: string, namespace: string, weights: TrafficWeights, options?: ChangeOptions): Promise<SplitResult>;
    /** All to the canary; the objects stay. */
    promoteCanary(service: string, namespace: string, options?: ChangeOptions): Promise<SplitResult>;
    /** All to the stable side; the objects stay. */
    rollbackCanary(service: string, namespace: string, options?: ChangeOptions): Promise<SplitResult>;
    canaryStatus(service: string, namespace: string): Promise<CanaryStatus>;
    /** outlierDetection of the service's DestinationRule; NotFoundError when there is none. */
    enableCircuitBreaker(service: string, namespace: string, config?: CircuitBreakerConfig, options?: ChangeOptions): Promise<ChangeResult>;
    disableCircuitBreaker(service: string, namespace: string, options?: ChangeOptions): Promise<ChangeResult>;
    circuitBreakerStatus(service: string, namespace: string): Promise<CircuitBreakerStatus>;
    close(): void;
}
