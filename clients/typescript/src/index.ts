// SPDX-License-Identifier: Apache-2.0
export { HeadraceClient, type ClientOptions } from "./client.js";
export { TrafficSplitter, type ChangeOptions } from "./splitter.js";
export type { WatchOptions } from "./watch.js";
export * from "./errors.js";
export * from "./types.js";
