import { HeadraceError } from "./errors.js";
export declare class Connection {
    private readonly socket;
    private readonly pending;
    private parts;
    private size;
    private nextId;
    private gone;
    /** For lines that answer nothing. */
    onEvent: ((event: Record<string, unknown>) => void) | undefined;
    onClose: ((why: HeadraceError) => void) | undefined;
    private constructor();
    static open(path: string): Promise<Connection>;
    get closed(): boolean;
    /** The process does not wait for a connection that nobody waits for. */
    private hold;
    ask(op: string, params: object, timeoutMs: number): Promise<unknown>;
    pause(): void;
    resume(): void;
    close(): void;
    private take;
    private line;
    private answer;
    private end;
}
