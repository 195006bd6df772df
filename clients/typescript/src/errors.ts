// SPDX-License-Identifier: Apache-2.0
// What can go wrong, as classes to tell apart.

/** Every error of this client. `code` is the agent's word (docs/CONTROL.md), or "unreachable", "timeout", "protocol", "closed". */
export class HeadraceError extends Error {
	readonly code: string;
	/** Details that the agent gave beside its sentence. */
	readonly details: unknown;

	constructor(code: string, message: string, details?: unknown) {
		super(message);
		this.name = new.target.name;
		this.code = code;
		this.details = details;
	}
}

/** "VirtualService default/reviews not found" */
export class NotFoundError extends HeadraceError {}
/** The request, or an object that it would make, is wrong; the message says what. */
export class InvalidError extends HeadraceError {}
/** A file of `headrace run -f` owns the object; the message says which. */
export class ConflictError extends HeadraceError {}
/** No agent, not for this user, or the connection broke before the answer came. */
export class UnreachableError extends HeadraceError {}
/** No answer in time. The agent may still do what it was asked. */
export class TimeoutError extends HeadraceError {}
/** The other side does not speak this protocol. */
export class ProtocolError extends HeadraceError {}

const classes: Record<string, typeof HeadraceError> = {
	"not-found": NotFoundError,
	invalid: InvalidError,
	"bad-request": InvalidError,
	conflict: ConflictError,
	forbidden: UnreachableError,
	"bad-version": ProtocolError,
	"unknown-op": ProtocolError,
};

/** The class that fits an agent's word. */
export function errorOf(code: string, message: string, details?: unknown): HeadraceError {
	return new (classes[code] ?? HeadraceError)(code, message, details);
}
