// SPDX-License-Identifier: Apache-2.0
// One connection to the agent: lines of JSON, answers by id, events to whom they belong.
import { createConnection } from "node:net";
import { errorOf, HeadraceError, ProtocolError, TimeoutError, UnreachableError } from "./errors.js";
const VERSION = 1;
/** An answer holds at most what the agent holds; a line beyond this is no answer. */
const LINE_MAX = 256 * 1024 * 1024;
function unreachable(path, err) {
    return new UnreachableError("unreachable", `no agent answers at ${path}: ${err.code ?? err.message}`);
}
export class Connection {
    socket;
    pending = new Map();
    parts = [];
    size = 0;
    nextId = 1;
    gone;
    /** For lines that answer nothing. */
    onEvent;
    onClose;
    constructor(socket, path) {
        this.socket = socket;
        socket.on("data", (chunk) => this.take(chunk));
        socket.on("error", (err) => this.end(unreachable(path, err)));
        socket.on("close", () => this.end(new UnreachableError("unreachable", `the agent at ${path} closed the connection`)));
        socket.unref();
    }
    static open(path) {
        return new Promise((resolve, reject) => {
            const socket = createConnection({ path }).setEncoding("utf8");
            const failed = (err) => reject(unreachable(path, err));
            socket.on("error", failed);
            socket.on("connect", () => resolve(new Connection(socket, path)));
        });
    }
    get closed() {
        return this.gone !== undefined;
    }
    /** The process does not wait for a connection that nobody waits for. */
    hold() {
        if (this.pending.size || this.onEvent)
            this.socket.ref();
        else
            this.socket.unref();
    }
    ask(op, params, timeoutMs) {
        return new Promise((resolve, reject) => {
            if (this.gone) {
                reject(this.gone);
                return;
            }
            const id = this.nextId++;
            const timer = setTimeout(() => {
                this.pending.delete(id);
                this.hold();
                reject(new TimeoutError("timeout", `${op}: no answer in ${timeoutMs} ms`));
            }, timeoutMs);
            this.pending.set(id, { resolve, reject, timer });
            this.hold();
            this.socket.write(`${JSON.stringify({ ...params, v: VERSION, op, id })}\n`);
        });
    }
    pause() {
        this.socket.pause();
    }
    resume() {
        this.socket.resume();
    }
    close() {
        this.end(new HeadraceError("closed", "the connection was closed"));
    }
    take(chunk) {
        let from = 0;
        for (let nl = chunk.indexOf("\n"); nl >= 0; nl = chunk.indexOf("\n", from)) {
            this.parts.push(chunk.slice(from, nl));
            const line = this.parts.join("");
            this.parts = [];
            this.size = 0;
            from = nl + 1;
            this.line(line);
        }
        this.parts.push(chunk.slice(from));
        this.size += chunk.length - from;
        if (this.size > LINE_MAX)
            this.end(new ProtocolError("protocol", "a line without end"));
    }
    line(text) {
        let m;
        try {
            m = JSON.parse(text);
        }
        catch {
            this.end(new ProtocolError("protocol", "the agent's line is no JSON"));
            return;
        }
        if (typeof m !== "object" || m === null || m.v !== VERSION) {
            this.end(new ProtocolError("protocol", `the other side does not speak "v":${VERSION}`));
        }
        else if (typeof m.event === "string") {
            this.onEvent?.(m);
        }
        else {
            this.answer(m);
        }
    }
    answer(m) {
        const err = m.ok ? undefined : errorOf(m.error?.code ?? "failed", m.error?.message ?? "refused", m.result);
        const p = this.pending.get(m.id ?? -1);
        if (!p) {
            // of a request that was given up; or the connection itself was refused
            if (m.id === undefined && err)
                this.end(err);
            return;
        }
        this.pending.delete(m.id);
        this.hold();
        clearTimeout(p.timer);
        if (err)
            p.reject(err);
        else
            p.resolve(m.result);
    }
    end(why) {
        if (this.gone)
            return;
        this.gone = why;
        this.socket.destroy();
        for (const p of this.pending.values()) {
            clearTimeout(p.timer);
            p.reject(why);
        }
        this.pending.clear();
        this.onClose?.(why);
    }
}
