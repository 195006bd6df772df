/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's thread: start, drain, stop. Called by the main thread. */
#pragma once

struct hr_proxy;
struct px_worker;

int px_worker_start(struct hr_proxy *px, struct px_worker *w, unsigned index);
void px_worker_goaway(void *w); /* posted, too */
void px_worker_drain(void *w);	/* posted to the worker */
/* Joins the thread and frees all it owned, open connections included. */
void px_worker_stop(struct px_worker *w);
