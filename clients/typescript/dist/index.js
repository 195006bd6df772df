// SPDX-License-Identifier: Apache-2.0
export { HeadraceClient } from "./client.js";
export { TrafficSplitter } from "./splitter.js";
export * from "./errors.js";
export * from "./types.js";
