// SPDX-License-Identifier: Apache-2.0
// Shapes of requests and answers (docs/CONTROL.md), and what of Istio's API they carry.
export {};
