//! A retry budget: retries may be a fifth of the calls, and a few more. It keeps a fleet of retrying callers from
//! finishing off the service that they wait for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::effects::Effects;
use super::settings::{Checks, Ratio, SettingsError};
use super::sync::Mutex;
use super::timer::Timer;
use crate::clock::Tick;

/// Deposits are kept in this many steps of the time to live.
const STEPS: u32 = 10;
/// One token, in the unit that the books are kept in. Fine enough that a floor per second is whole per nanosecond.
const TOKEN: u128 = 1_000_000_000;

/// How many retries are affordable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSettings {
    /// What an operation deposits is worth something for this long.
    pub ttl: Duration,
    /// Retries per second that are always affordable, saved up for as long as `ttl`.
    pub floor_per_second: u32,
    /// Retries per operation beyond the floor.
    pub share: Ratio,
}

impl BudgetSettings {
    /// One retry in five operations, ten a second in any case, over ten seconds.
    pub const DEFAULT: BudgetSettings =
        BudgetSettings { ttl: Duration::from_secs(10), floor_per_second: 10, share: Ratio::percent(20) };

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names every field in the wrong, and its range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let mut checks = Checks::default();
        let ttl_allowed = (Duration::from_millis(1)..=Duration::from_secs(3600)).contains(&self.ttl);
        checks.require(ttl_allowed, "budget.ttl", self.ttl, "from 1 ms to 1 h");
        let floor_allowed = self.floor_per_second <= 1_000_000;
        checks.require(floor_allowed, "budget.floor_per_second", self.floor_per_second, "at most 1000000");
        let share_allowed = self.share <= Ratio::times(1000);
        checks.require(share_allowed, "budget.share", self.share, "at most 1000");
        checks.done()
    }
}

impl Default for BudgetSettings {
    fn default() -> BudgetSettings {
        BudgetSettings::DEFAULT
    }
}

/// Shared by all policies that talk to the same service. Clones share the account.
#[derive(Clone)]
pub struct RetryBudget {
    settings: BudgetSettings,
    timer: Arc<dyn Timer>,
    account: Arc<Mutex<Account>>,
}

struct Account {
    /// Unspent deposits by the step in which they were made, oldest first; at most [`STEPS`] + 1 of them.
    deposits: VecDeque<(u64, u128)>,
    /// What is left of the floor, up to `floor_per_second · ttl`.
    reserve: u128,
    filled_at: Tick,
}

impl RetryBudget {
    /// # Errors
    /// A setting is out of its range.
    pub fn new(settings: BudgetSettings, effects: &Effects) -> Result<RetryBudget, SettingsError> {
        settings.validate()?;
        let timer = Arc::clone(&effects.timer);
        let account = Account { deposits: VecDeque::new(), reserve: reserve_max(&settings), filled_at: timer.tick() };
        Ok(RetryBudget { settings, timer, account: Arc::new(Mutex::new(account)) })
    }

    /// An operation begins, and adds its share.
    pub fn deposit(&self) {
        let share = u128::from(self.settings.share.as_millionths()) * (TOKEN / 1_000_000);
        self.put(share);
    }

    /// Takes one retry off the account; `false`, and nothing taken, when there is not a whole one.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        let mut account = self.account.lock();
        self.settle(&mut account);
        if account.balance() < TOKEN {
            return false;
        }
        account.take(TOKEN);
        true
    }

    /// Gives back a retry that was not made after all.
    pub fn refund(&self) {
        self.put(TOKEN);
    }

    /// How many retries are affordable now, in whole ones.
    pub fn balance(&self) -> u64 {
        let mut account = self.account.lock();
        self.settle(&mut account);
        u64::try_from(account.balance() / TOKEN).unwrap_or(u64::MAX)
    }

    fn put(&self, amount: u128) {
        let mut account = self.account.lock();
        let step = self.settle(&mut account);
        match account.deposits.back_mut() {
            Some((newest, unspent)) if *newest >= step => *unspent = unspent.saturating_add(amount),
            _ => account.deposits.push_back((step, amount)),
        }
    }

    /// Lets deposits expire and the reserve fill up, and says which step it is.
    fn settle(&self, account: &mut Account) -> u64 {
        let now = self.timer.tick();
        let step_nanos = u64::try_from((self.settings.ttl / STEPS).as_nanos()).unwrap_or(u64::MAX).max(1);
        let step = now.as_nanos() / step_nanos;
        while account.deposits.front().is_some_and(|(made, _)| made.saturating_add(u64::from(STEPS)) <= step) {
            account.deposits.pop_front();
        }
        let gained = now.since(account.filled_at).as_nanos() * u128::from(self.settings.floor_per_second);
        account.reserve = (account.reserve + gained).min(reserve_max(&self.settings));
        account.filled_at = now;
        step
    }
}

fn reserve_max(settings: &BudgetSettings) -> u128 {
    settings.ttl.as_nanos() * u128::from(settings.floor_per_second)
}

impl Account {
    fn balance(&self) -> u128 {
        self.deposits.iter().map(|(_, unspent)| unspent).fold(self.reserve, |sum, unspent| sum.saturating_add(*unspent))
    }

    /// Oldest deposits first, since they would be the next to expire; then the reserve. So nothing ever goes below zero.
    fn take(&mut self, amount: u128) {
        let mut owed = amount;
        while let Some((_, unspent)) = self.deposits.front_mut() {
            let paid = owed.min(*unspent);
            *unspent -= paid;
            owed -= paid;
            if *unspent > 0 {
                return;
            }
            self.deposits.pop_front();
        }
        self.reserve = self.reserve.saturating_sub(owed);
    }
}

impl std::fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RetryBudget").field("settings", &self.settings).finish_non_exhaustive()
    }
}
