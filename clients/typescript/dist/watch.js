// SPDX-License-Identifier: Apache-2.0
// A watch that outlives its connections.
import { Connection } from "./connection.js";
import { UnreachableError } from "./errors.js";
/** So many events wait for their reader; then the agent has to, and says how many were missed. */
const QUEUE_MAX = 100;
const AGAIN_MAX_MS = 5000;
class Queue {
    items = [];
    wake;
    connection;
    broken;
    push(event) {
        this.items.push(event);
        if (this.items.length >= QUEUE_MAX)
            this.connection?.pause();
        this.wake?.();
    }
    shift() {
        const event = this.items.shift();
        if (this.items.length < QUEUE_MAX / 2)
            this.connection?.resume();
        return event;
    }
    /** Until something is there, the connection broke, or `ms` are over. */
    wait(signal, ms) {
        return new Promise((resolve) => {
            const done = () => {
                clearTimeout(timer);
                signal?.removeEventListener("abort", done);
                this.wake = undefined;
                resolve();
            };
            const timer = ms === undefined ? undefined : setTimeout(done, ms);
            this.wake = done;
            signal?.addEventListener("abort", done, { once: true });
        });
    }
    stop(why) {
        this.broken = why;
        this.wake?.();
    }
}
async function subscribe(q, path, timeoutMs, params) {
    const connection = await Connection.open(path);
    q.broken = undefined;
    q.connection = connection;
    const early = [];
    let take = (event) => early.push(event);
    connection.onEvent = ({ v: _v, id: _id, ...event }) => take(event);
    connection.onClose = (why) => q.stop(why);
    const { generation } = (await connection.ask("watch", params, timeoutMs));
    // events may have come in one piece with the answer
    q.push({ event: "resync", generation });
    take = (event) => q.push(event);
    early.forEach(take);
}
export async function* watch(path, timeoutMs, options) {
    const { signal, ...params } = options;
    const q = new Queue();
    let first = true;
    // at once, also when nobody asks for the next event
    const onAbort = () => q.connection?.close();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
        for (let again = 50; !signal?.aborted;) {
            if (!q.connection || q.broken) {
                q.connection?.close();
                q.connection = undefined;
                try {
                    await subscribe(q, path, timeoutMs, params);
                    again = 50;
                    first = false;
                }
                catch (err) {
                    // refused, or never there: not for us to hide
                    if (first || !(err instanceof UnreachableError))
                        throw err;
                    await q.wait(signal, again);
                    again = Math.min(2 * again, AGAIN_MAX_MS);
                    continue;
                }
            }
            const event = q.shift();
            if (event)
                yield event;
            else if (!q.broken)
                await q.wait(signal);
        }
    }
    finally {
        signal?.removeEventListener("abort", onAbort);
        q.connection?.close();
    }
}
