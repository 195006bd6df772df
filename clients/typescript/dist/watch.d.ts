import type { WatchEvent } from "./types.js";
export interface WatchOptions {
    /** Of objects; true unless said otherwise. */
    changes?: boolean;
    /** Only objects of this kind, of this namespace. */
    kind?: string;
    namespace?: string;
    /** Counters at this interval, 100 or more; none without it. */
    statisticsMs?: number;
    signal?: AbortSignal;
}
export declare function watch(path: string, timeoutMs: number, options: WatchOptions): AsyncGenerator<WatchEvent, void, void>;
