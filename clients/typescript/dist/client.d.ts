import type { ChangeResult, ObjectChange, StoredObject, WatchEvent } from "./types.js";
import { type WatchOptions } from "./watch.js";
export interface ClientOptions {
    /** HEADRACE_SOCKET, else /run/headrace/headrace.sock. */
    socketPath?: string;
    /** For an answer, with the time to connect (30000). */
    timeoutMs?: number;
    /** How long an agent that is not there is waited for, at each request (2000); 0: not at all. */
    connectTimeoutMs?: number;
}
export declare class HeadraceClient {
    readonly socketPath: string;
    readonly timeoutMs: number;
    readonly connectTimeoutMs: number;
    private connection;
    private closed;
    constructor(options?: ClientOptions);
    /** Any operation of docs/CONTROL.md: its result, or a HeadraceError. */
    call<T = unknown>(op: string, params?: object): Promise<T>;
    status(): Promise<Record<string, unknown>>;
    /** YAML or JSON texts; in effect as a whole or not at all. */
    apply(text: string | string[], options?: {
        dryRun?: boolean;
    }): Promise<ChangeResult>;
    get(kind: string, name: string, namespace?: string): Promise<StoredObject>;
    /** Without a namespace: of all. */
    list(kind: string, namespace?: string): Promise<StoredObject[]>;
    delete(kind: string, name: string, namespace?: string): Promise<ObjectChange[]>;
    /** Events until the loop is left or `signal` aborts, over connections of its own. */
    watch(options?: WatchOptions): AsyncGenerator<WatchEvent, void, void>;
    close(): void;
    private connect;
    private dial;
}
