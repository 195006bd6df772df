# SPDX-License-Identifier: Apache-2.0
"""Finds test functions, runs each on both data paths, keeps a log of each that fails.

A test is a function of one Env with @test. Tests that leave the agent as it was share one; those with fresh=True
get their own (and must expect to find a clean machine and leave one).
"""
import importlib
import os
import signal
import sys
import time
import traceback

from agent import BUILD, AgentError, cleanup
from topo import SLOW
from world import Env

TESTS = []


class Skip(Exception):
    """Not possible here; counted and said."""


class Timeout(Exception):
    pass


def test(datapaths=("kernel", "agent"), timeout=30, fresh=False, own=False, long=False, args=()):
    """`fresh`: an agent of its own. `own`: no agent at all, the test gets (world, datapath) and makes what it
    needs. `long`: only with --long. `args`: arguments of `run` (implies fresh)."""
    def mark(f):
        f.datapaths, f.timeout, f.long = datapaths, timeout, long
        f.fresh, f.own, f.args_ = fresh or bool(args), own, args
        TESTS.append(f)
        return f
    return mark


def check(got, want, what=""):
    if got != want:
        raise AssertionError(f"{what + ': ' if what else ''}got {got!r}, want {want!r}")


def check_share(count, total, share, what="", sigmas=3.0):
    """A binomial count within `sigmas` of its expectation (exact for 0 and 1)."""
    mean, sd = total * share, (total * share * (1 - share)) ** 0.5
    if abs(count - mean) > max(sigmas * sd, 0):
        raise AssertionError(f"{what}: {count} of {total}, want {mean:.0f} +- {sigmas * sd:.0f}")


def eventually(f, what, timeout=5.0):
    """Until f() is true; its value."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        value = f()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.02)


def _alarm(_sig, _frame):
    raise Timeout


class Runner:
    def __init__(self, world, out=sys.stdout):
        self.world, self.out = world, out
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.logdir = os.path.join(BUILD, "test-logs")
        self.shared = None
        signal.signal(signal.SIGALRM, _alarm)

    def say(self, text):
        print(text, file=self.out, flush=True)

    # ---- agents ----
    def env_for(self, f, datapath):
        if f.fresh:
            self.drop_shared()
            return Env(self.world, datapath, f.args_, name=f.__name__).start()
        if self.shared and (self.shared.datapath != datapath or not self.shared.agent.alive()):
            self.drop_shared()
        if not self.shared:
            self.shared = Env(self.world, datapath, name=f"shared-{datapath}").start()
        return self.shared

    def end_env(self, env):
        """Stops an agent and holds it to "leaves nothing behind"."""
        try:
            killed = env.agent.ended_by_us == "kill"  # then what is left is for the next agent, or for cleanup
            env.close()
            left = [] if killed else env.agent.leftovers()
        finally:
            cleanup()
        if left:
            raise AssertionError("left behind after SIGTERM: " + "; ".join(left))

    def drop_shared(self):
        env, self.shared = self.shared, None
        if env:
            try:
                self.end_env(env)
            except Exception as e:
                self.count_failure(f"{env.datapath} shared-agent-stop", str(e), env)

    # ---- one test ----
    def run(self, f, datapath):
        name = f"{datapath} {f.__module__.removeprefix('test_')}.{f.__name__}"
        lines, env, log_from, start = [], None, 0, time.monotonic()

        def log(text):
            lines.append(f"{time.monotonic() - start:7.3f} {text}")
        try:
            signal.alarm(int((f.timeout + 25) * SLOW))  # with the start of an agent
            if f.own:
                self.drop_shared()
                f(self.world, datapath, log)
            else:
                env = self.env_for(f, datapath)
                env.log, log_from = log, env.agent.log_size()
                signal.alarm(int(f.timeout * SLOW))
                f(env)
                if not env.agent.alive() and not env.agent.ended_by_us:
                    raise AssertionError(f"the agent ended with {env.agent.proc.returncode}")
                signal.alarm(int(40 * SLOW))
                if f.fresh:
                    self.end_env(env)
                else:
                    env.reset()
            signal.alarm(0)
            self.passed += 1
            self.say(f"ok    {name} ({time.monotonic() - start:.1f} s)")
            return
        except Skip as e:
            signal.alarm(0)
            self.skipped += 1
            self.say(f"skip  {name}: {e}")
            return
        except Timeout:
            signal.alarm(0)
            why = f"no end after {f.timeout} s\n{traceback.format_exc()}"
        except Exception as e:
            signal.alarm(0)
            if isinstance(e, AgentError) and "not built yet" in str(e):  # said by name, as it must; and counted
                self.skipped += 1
                self.say(f"skip  {name}: {str(e)[str(e).index('error:') + 7:]}")
                self.abandon(env)
                return
            why = f"{e}\n{traceback.format_exc()}"
        self.count_failure(name, why, env, lines, log_from)
        self.abandon(env)

    def count_failure(self, name, why, env=None, lines=(), log_from=0):
        self.failed += 1
        self.failures.append(name)
        os.makedirs(self.logdir, exist_ok=True)
        path = os.path.join(self.logdir, name.replace(" ", "-") + ".log")
        with open(path, "w") as out:
            out.write(f"{name}\n{why}\n--- what the test did\n" + "\n".join(lines) + "\n")
            if env:
                out.write(self.describe(env, log_from))
        self.say(f"FAIL  {name}: {why.splitlines()[0][:300]}\n      log: {os.path.relpath(path)}"
                 f"   again: tests/e2e/run.py --datapath {name.split()[0]} {name.split()[1]}")

    @staticmethod
    def describe(env, log_from):
        try:
            status = env.agent.ctl("status", "-o", "json", check=False, timeout=5).stdout
        except Exception as e:
            status = repr(e)
        with open(env.agent.log_path, errors="replace") as f:
            f.seek(log_from)
            text = f.read()
        return f"--- status\n{status}\n--- agent's log during the test\n{text[-200000:]}"

    def abandon(self, env):
        """After a failure the next test gets a new agent and a clean machine, whatever this one is like."""
        if env is self.shared:
            self.shared = None
        try:
            signal.alarm(int(40 * SLOW))
            if env:
                env.close()
        except (Exception, Timeout):
            if env and env.agent.proc and env.agent.alive():
                env.agent.kill()
            if env:
                env.agent.release()
        finally:
            signal.alarm(0)
            cleanup()

    def finish(self):
        self.drop_shared()
        for name in self.failures:
            self.say(f"failed: {name}")


def load(directory):
    sys.path.insert(0, directory)
    for name in sorted(os.listdir(directory)):
        if name.startswith("test_") and name.endswith(".py"):
            importlib.import_module(name[:-3])
