/** Every error of this client. `code` is the agent's word (docs/CONTROL.md), or "unreachable", "timeout", "protocol", "closed". */
export declare class HeadraceError extends Error {
    readonly code: string;
    /** Details that the agent gave beside its sentence. */
    readonly details: unknown;
    constructor(code: string, message: string, details?: unknown);
}
/** "VirtualService default/reviews not found" */
export declare class NotFoundError extends HeadraceError {
}
/** The request, or an object that it would make, is wrong; the message says what. */
export declare class InvalidError extends HeadraceError {
}
/** A file of `headrace run -f` owns the object; the message says which. */
export declare class ConflictError extends HeadraceError {
}
/** No agent, not for this user, or the connection broke before the answer came. */
export declare class UnreachableError extends HeadraceError {
}
/** No answer in time. The agent may still do what it was asked. */
export declare class TimeoutError extends HeadraceError {
}
/** The other side does not speak this protocol. */
export declare class ProtocolError extends HeadraceError {
}
/** The class that fits an agent's word. */
export declare function errorOf(code: string, message: string, details?: unknown): HeadraceError;
