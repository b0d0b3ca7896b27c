//! The mutations: what stands in the room, and what stands there instead.

use std::fmt;

pub struct Mutation {
    pub file: &'static str,
    pub right: &'static str,
    pub wrong: &'static str,
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "{}: `{}` -> `{}`", self.file, line(self.right), line(self.wrong))
    }
}

const fn of(file: &'static str, right: &'static str, wrong: &'static str) -> Mutation {
    Mutation { file, right, wrong }
}

const STATE: &str = "circuit_breaker/state.rs";
const WINDOW: &str = "circuit_breaker/window.rs";
const BREAKER: &str = "circuit_breaker/mod.rs";
const TELLING: &str = "circuit_breaker/telling.rs";
const PERMIT: &str = "circuit_breaker/permit.rs";
const SNAPSHOT: &str = "circuit_breaker/snapshot.rs";
const LIMITS: &str = "circuit_breaker/settings.rs";
const RUN: &str = "retry/run.rs";
const RETRY: &str = "retry/mod.rs";
const BACKOFF: &str = "backoff.rs";
const BUDGET: &str = "budget.rs";
const METRICS: &str = "metrics.rs";

pub const MUTATIONS: &[Mutation] = &[
    // The breaker's decisions.
    of(STATE, "self.wait.saturating_sub(now.since(self.began))", "self.wait"),
    of(STATE, "self.began = self.began.min(now);", ""),
    of(STATE, "tally: Tally::Consecutive(0) } => self.generation", "tally: Tally::Consecutive(_) } => self.generation"),
    of(STATE, "Phase::Open { period, .. } if period.is_over(now) => CircuitState::HalfOpen,\n", ""),
    of(STATE, ".min().filter(|_| full)", ".min()"),
    of(STATE, ".min().filter(|_| full)", ".max().filter(|_| full)"),
    of(
        STATE,
        "            if period.is_over(now) {\n                let (opening",
        "            if !period.is_over(now) {\n                let (opening",
    ),
    of(STATE, "leases.iter_mut().for_each(|lease| lease.period.follow_clock(now));", ""),
    of(STATE, "leases.retain(|lease| !lease.period.is_over(now));", ""),
    of(
        STATE,
        "if leases.len() as u64 >= u64::from(self.settings.half_open_permits) {",
        "if leases.len() as u64 > u64::from(self.settings.half_open_permits) {",
    ),
    of(STATE, "self.probes += 1;\n", ""),
    of(STATE, "leases.push(Lease { probe: ticket.probe, period });", ""),
    of(
        STATE,
        "if ticket.generation != self.generation {\n            return (Settlement::Stale, None);",
        "if false {\n            return (Settlement::Stale, None);",
    ),
    of(
        STATE,
        "if outcome == Outcome::Ignored {\n                    return (Settlement::Counted, None);\n                }\n                self.revision += 1;\n                let full",
        "self.revision += 1;\n                let full",
    ),
    of(
        STATE,
        "if outcome == Outcome::Ignored {\n                    return (Settlement::Counted, None);\n                }\n                self.revision += 1;\n                if failed",
        "self.revision += 1;\n                if failed",
    ),
    of(
        STATE,
        "opens.then(|| self.open(1, failures, asked, now, rng))",
        "opens.then(|| self.open(2, failures, asked, now, rng))",
    ),
    of(
        STATE,
        "if lease.period.is_over(now) {\n                    return (Settlement::Stale, None);\n                }\n",
        "",
    ),
    of(STATE, "if failed || slow {", "if failed {"),
    of(STATE, "(opening.saturating_add(1), failures.saturating_add(1))", "(*opening, failures.saturating_add(1))"),
    of(STATE, "*successes >= self.settings.half_open_successes", "*successes >= 1"),
    of(STATE, "opening.saturating_sub(1)).min(growth.max_timeout)", "opening.saturating_sub(1))"),
    of(STATE, "opening.saturating_sub(1)).min(growth.max_timeout)", "opening).min(growth.max_timeout)"),
    of(STATE, "between(rng, nanos.div_ceil(2), nanos)", "between(rng, 0, nanos)"),
    of(STATE, "*guards = guards.saturating_add(1);", ""),
    of(STATE, "if generation != self.generation {\n            return None;", "if false {\n            return None;"),
    of(STATE, "if change.from == change.to {", "if false {"),
    of(STATE, "self.changes -= 1;\n", ""),
    of(STATE, "self.generation += 1;\n", ""),
    of(STATE, "Phase::Disabled => (Settlement::Unrecorded, None)", "Phase::Disabled => (Settlement::Counted, None)"),
    of(STATE, "outcome == Outcome::Failure || tally.may_trip_by_success", "tally.may_trip_by_success"),
    // Windows.
    of(WINDOW, "window.sums.calls < u64::from(minimum_calls)", "false"),
    of(
        WINDOW,
        "if call.failed { failures.saturating_add(1) } else { 0 }",
        "if call.failed { failures.saturating_add(1) } else { *failures }",
    ),
    of(WINDOW, "*failures >= failure_threshold", "*failures > failure_threshold"),
    of(
        WINDOW,
        "window.record(call);\n                let sums = window.sums;\n                sums.calls >=",
        "window.record(call);\n                let sums = window.sums;\n                sums.calls >",
    ),
    of(
        WINDOW,
        "window.record(call, now);\n                let sums = window.sums;\n                sums.calls >=",
        "window.record(call, now);\n                let sums = window.sums;\n                sums.calls >",
    ),
    of(WINDOW, "limit.rate.reached_by(sums.slow, sums.calls)", "limit.rate.reached_by(sums.failures, sums.calls)"),
    of(WINDOW, "self.sums.subtract(Sums::from(*oldest));", ""),
    of(WINDOW, "if self.next + 1 == self.calls_max { 0 }", "if self.next == self.calls_max { 0 }"),
    of(WINDOW, "if self.ring.len() < self.calls_max { 0 } else { self.next }", "0"),
    of(WINDOW, "bucket >= self.newest.saturating_add(width)", "bucket + 1 >= self.newest.saturating_add(width)"),
    of(WINDOW, " || bucket <= self.newest.saturating_sub(width)", ""),
    of(
        WINDOW,
        "            self.newest += 1;\n            let place = self.place(self.newest);\n            self.sums.subtract(std::mem::take(&mut self.ring[place]));",
        "            self.newest += 1;",
    ),
    of(WINDOW, "(self.newest + 1..=bucket).for_each", "(self.newest + 1..bucket).for_each"),
    of(WINDOW, "self.ring.fill(Sums::default());\n            self.sums", "self.sums"),
    of(WINDOW, "nanos.div_ceil(ring.len() as u64)", "nanos.div_ceil(ring.len() as u64 + 1)"),
    of(WINDOW, "self.slow += u64::from(call.slow);", "self.slow += 2 * u64::from(call.slow);"),
    of(STATE, "asked.min(self.settings.retry_after_max)", "asked"),
    of(STATE, "let asked = self.heard(asked);", "let asked = None;"),
    of(STATE, "let opens = full || asked.is_some();", "let opens = full;"),
    of(STATE, ".max(asked.unwrap_or_default());", ";"),
    of(STATE, ".max(settings.retry_after_max)", ""),
    // The shell around the decisions.
    of(BREAKER, "if untroubled && outcome != Outcome::Failure {", "if untroubled {"),
    of(BREAKER, "took >= limit.longer_than", "took > limit.longer_than"),
    of(BREAKER, "shared.untroubled.store(untroubled, Ordering::Release);", ""),
    of(BREAKER, "if timed { 0 } else { core.untroubled() }", "core.untroubled()"),
    of(BREAKER, "shared.counted && settlement != Settlement::Unrecorded", "shared.counted"),
    of(BREAKER, "stale: settlement == Settlement::Stale,", "stale: false,"),
    of(BREAKER, ".filter(|wait| !wait.is_zero())", ""),
    of(BREAKER, "self.breaker.settle(self.ticket, Outcome::Failure, None, self.admitted);", ""),
    of(BREAKER, "shared.timed || core.needs_time(outcome)", "shared.timed"),
    of(BREAKER, "if first {\n", "if true {\n"),
    of(
        BREAKER,
        "tell(&self.shared.effects.observers, &Event::Reset { breaker, revision });",
        "drop((breaker, revision));",
    ),
    of(BREAKER, "Err(error) => (Err(error), core.close(now)),", "Err(error) => (Err(error), None),"),
    of(BREAKER, "iter().any(|observer| observer.counts_calls())", "iter().all(|observer| observer.counts_calls())"),
    of(BREAKER, "now.since(admitted);\n            let slow", "now.since(Tick::ZERO);\n            let slow"),
    of(BREAKER, "(core.revision, change)", "(core.revision - 1, change)"),
    of(TELLING, "guarded.telling = false;", ""),
    of(TELLING, "*last = Change { from: last.from, ..change };", "*last = change;"),
    of(TELLING, "if self.changes.len() < CHANGES_QUEUED_MAX {", "if true {"),
    of(PERMIT, "panicking() && !self.amid_panic", "panicking()"),
    of(PERMIT, "if unwinding { Outcome::Failure }", "if unwinding { Outcome::Ignored }"),
    of(PERMIT, "if !self.settled {", "if true {"),
    of(SNAPSHOT, ".saturating_sub(elapsed);", ";"),
    of(SNAPSHOT, "text.len() > SNAPSHOT_BYTES_MAX", "false"),
    of(SNAPSHOT, "sums.failures > sums.calls || sums.slow > sums.calls", "sums.slow > sums.calls"),
    of(SNAPSHOT, "sums.failures > sums.calls || sums.slow > sums.calls", "sums.failures > sums.calls"),
    of(SNAPSHOT, "Phase::ForcedOpen { .. } => \"1 closed\"", "Phase::ForcedOpen { .. } => \"1 disabled\""),
    of(SNAPSHOT, "left.min(wait_max)", "left"),
    of(SNAPSHOT, "age.saturating_add(elapsed.as_nanos())", "age"),
    of(SNAPSHOT, "(Some(\"1\"), Some(\"disabled\"), []) => Ok(Phase::Disabled),\n", ""),
    of(SNAPSHOT, "(true, true) => 'F'", "(true, true) => 'f'"),
    of(LIMITS, "checks.require(!timeout.is_zero(), \"recovery_timeout\"", "checks.require(true, \"recovery_timeout\""),
    of(LIMITS, "minimum_calls <= calls", "true"),
    of(LIMITS, "matches!(growth.jitter, Jitter::None | Jitter::Equal)", "true"),
    // Retry, backoff, budget.
    of(RUN, "if !verdict.retryable {", "if false {"),
    of(RUN, "self.attempts >= settings.max_attempts", "self.attempts > settings.max_attempts"),
    of(RUN, "asked > settings.retry_after_max", "asked >= settings.retry_after_max"),
    of(RUN, "backoff.max(asked)", "backoff"),
    of(RUN, "ends >= deadline", "ends > deadline"),
    of(RUN, "        self.pause(wait);\n", ""),
    of(RUN, "self.paid = true;", ""),
    of(
        RUN,
        "        self.refund();\n        self.told_end(StopReason::Cancelled);",
        "        self.told_end(StopReason::Cancelled);",
    ),
    of(RUN, "if !remaining.is_zero() {", "if true {"),
    of(RUN, "if attempts > 1 {", "if attempts > 0 {"),
    of(RETRY, "into_iter().flatten().min()", "into_iter().flatten().max()"),
    of(RETRY, "budget.deposit();", ""),
    of(RETRY, "run.paid = false;", ""),
    of(RETRY, "                    run.refund();\n", ""),
    of(BACKOFF, "delay.min(self.max_delay)", "delay"),
    of(BACKOFF, "between(rng, exact.div_ceil(2), exact)", "between(rng, exact / 4, exact)"),
    of(
        BACKOFF,
        "nanos(previous).saturating_mul(3).clamp(base, ceiling)",
        "nanos(previous).saturating_mul(4).clamp(base, ceiling)",
    ),
    of(BACKOFF, "nanos(previous).saturating_mul(3).clamp(base, ceiling)", "nanos(previous).saturating_mul(3)"),
    of(BACKOFF, "let before = number.saturating_sub(1);", "let before = number;"),
    of(BACKOFF, "self.retries = self.retries.saturating_add(1);", "self.retries = 1;"),
    of(BACKOFF, "Jitter::Full => between(rng, 0, exact)", "Jitter::Full => between(rng, 0, exact.saturating_add(1))"),
    of(BACKOFF, "*factor >= Ratio::ONE", "true"),
    of(BUDGET, "if account.balance() < TOKEN {", "if account.balance() == 0 {"),
    of(BUDGET, "account.take(TOKEN);", ""),
    of(BUDGET, ".min(reserve_max(&self.settings))", ""),
    of(BUDGET, "account.filled_at = now;", ""),
    of(BUDGET, "made.saturating_add(u64::from(STEPS)) <= step", "made.saturating_add(u64::from(STEPS)) < step"),
    of(BUDGET, "            if *unspent > 0 {\n                return;\n            }\n", ""),
    // Both together, metrics, registry, the rest.
    of(
        "resilient.rs",
        "RetryError::DeadlinePassed { .. }) => permit.ignore()",
        "RetryError::DeadlinePassed { .. }) => permit.failure()",
    ),
    of("resilient.rs", "Ok(_) => permit.success()", "Ok(_) => permit.ignore()"),
    of("resilient.rs", "permit.success();\n", "drop(permit);\n"),
    of("resilient.rs", "permit.judge(&(operation.judge)(&error));", "permit.failure();"),
    of("resilient.rs", "attempts: 0,\n            last: None,", "attempts: 1,\n            last: None,"),
    of(RETRY, "attempts: run.attempts, last: run.last }", "attempts: run.attempts, last: None }"),
    of(RETRY, "run.attempts = next.number;", "run.attempts = next.number + 1;"),
    of("circuit_breaker/answer.rs", "Verdict::permanent(\"circuit_open\")", "Verdict::transient(\"circuit_open\")"),
    of(
        "resilient.rs",
        "Err(RetryError::MaxRetriesExceeded(exceeded)) => permit.judge(&judge(&exceeded.last))",
        "Err(RetryError::MaxRetriesExceeded(_)) => permit.failure()",
    ),
    of(METRICS, "u64::from(state == self.state)", "u64::from(state == self.state || state == CircuitState::Closed)"),
    of(METRICS, "(self.state, self.seq) = (state, seq);", "self.seq = seq;"),
    of(METRICS, "breaker.show_failures(change.failures, change.revision);", ""),
    of(METRICS, "if seq > self.seq {", "if true {"),
    of(METRICS, "if revision >= self.revision {", "if true {"),
    of(METRICS, "seconds <= *bound", "seconds < *bound"),
    of(METRICS, "self.sum_seconds += seconds;", ""),
    of(METRICS, "self.seconds.observe(settled.took);", ""),
    of(METRICS, "self.waits.observe(*wait);", ""),
    of(METRICS, "self.dropped += 1;", ""),
    of(METRICS, "self.breakers.len() < BREAKERS_MAX", "true"),
    of(METRICS, "breaker.show_failures(0, *revision)", "breaker.show_failures(1, *revision)"),
    of(METRICS, "if settled.stale { \"stale\" }", "if false { \"stale\" }"),
    of(
        "registry.rs",
        "agreed.map(|()| breaker.clone()).map_err(conflict)",
        "agreed.map(|()| breaker.clone()).or(Ok(breaker.clone())).map_err(conflict)",
    ),
    of("registry.rs", "breaker.restore(snapshot, elapsed)", "breaker.restore(snapshot, Duration::ZERO)"),
    of("registry.rs", "        log::warn!(\"stored circuit", "        log::debug!(\"stored circuit"),
    of(LIMITS, "checks.require_same(\"half_open_permits\", half_open_permits, &there.half_open_permits);", ""),
    of("registry.rs", "breakers.insert(name.to_owned(), breaker.clone());", ""),
    of("registry.rs", "breakers.len() >= BREAKERS_MAX", "breakers.len() > BREAKERS_MAX"),
    of("rng.rs", "u128::from(high.saturating_sub(low)) + 1", "u128::from(high.saturating_sub(low))"),
    of("settings.rs", "(0.0..=4000.0).contains(&value)", "!(value < 0.0 || value > 4000.0)"),
    of("cancel.rs", "if now >= until {", "if true {"),
    of("timer.rs", "if cancel.is_cancelled() {\n            return Waited::Cancelled;\n        }\n", ""),
    of("verdict.rs", "if self.counted { Outcome::Failure }", "if self.retryable { Outcome::Failure }"),
];
