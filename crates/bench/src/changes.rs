//! People rename issues; how long until the target shows it?

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::Result;
use crate::database::Reader;
use crate::pipeline::since;
use crate::process::Running;
use crate::simulator::Simulator;

/// How often the target is asked for what has not arrived: the grain of the delays.
const LOOK: Duration = Duration::from_millis(20);
/// Nothing takes longer than this to arrive, with a poll a minute.
const PATIENCE: Duration = Duration::from_secs(180);
/// Issues are renamed in this stride, so that neighbours are not renamed together; a prime, so that no issue is
/// renamed twice.
const STRIDE: u32 = 7_919;

/// What to change: each time another issue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changes {
    pub(crate) count: u32,
    pub(crate) per_second: u32,
}

/// Seconds from a change at the source to its arrival in the target, in ascending order.
#[derive(Debug, Default)]
pub(crate) struct Delays {
    /// Until the listed fields are there.
    pub(crate) listed: Vec<f64>,
    /// Until those are there too that only a look-up shows.
    pub(crate) detailed: Vec<f64>,
    /// Seconds from the first change to each arrival of listed fields.
    arrived: Vec<f64>,
}

impl Delays {
    /// Arrivals a second in the second half of the time in which `changes` were made: less than their rate where they
    /// pile up.
    pub(crate) fn carried(&self, changes: Changes) -> f64 {
        let lasts = f64::from(changes.count) / f64::from(changes.per_second.max(1));
        let half = self.arrived.iter().filter(|at| (lasts / 2.0..lasts).contains(*at)).count();
        f64::from(u32::try_from(half).unwrap_or(u32::MAX)) / (lasts / 2.0)
    }
}

/// A change under way.
struct Change {
    at: Instant,
    name: String,
    listed: bool,
}

/// Changes under way, by the code of the issue.
type UnderWay = Mutex<HashMap<i64, Change>>;

impl Changes {
    /// Makes the changes and waits until the target has all of them.
    ///
    /// # Errors
    /// One does not arrive.
    pub(crate) async fn make(
        self,
        simulator: &Simulator,
        running: &mut Running,
        target: Reader,
    ) -> Result<Delays> {
        let under_way = UnderWay::default();
        let ((), delays) =
            tokio::try_join!(self.order(simulator, &under_way), self.watch(running, target, &under_way))?;
        Ok(delays)
    }

    /// Renames one issue after the other.
    async fn order(self, simulator: &Simulator, under_way: &UnderWay) -> Result<()> {
        let mut turn = tokio::time::interval(Duration::from_secs(1) / self.per_second.max(1));
        turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for number in 0..self.count {
            turn.tick().await;
            let step = u64::from(number) * u64::from(STRIDE) % u64::from(simulator.issues().max(1));
            let code = u32::try_from(step)? + 1;
            let name = format!("renamed {number}");
            let change = Change { at: Instant::now(), name: name.clone(), listed: false };
            lock(under_way).insert(i64::from(code), change);
            simulator.rename(code, &name).await?;
        }
        Ok(())
    }

    /// Looks for the new names.
    async fn watch(self, running: &mut Running, mut target: Reader, under_way: &UnderWay) -> Result<Delays> {
        let mut delays = Delays::default();
        let last = Duration::from_secs(u64::from(self.count / self.per_second.max(1))) + PATIENCE;
        let began = Instant::now();
        while delays.detailed.len() < usize::try_from(self.count)? {
            tokio::time::sleep(LOOK).await;
            if running.has_ended()? {
                return Err(format!("tributary ended: {}", running.log()).into());
            }
            if began.elapsed() > last {
                return Err(format!("{} changes did not arrive", lock(under_way).len()).into());
            }
            let codes: Vec<i64> = lock(under_way).keys().copied().collect();
            let rows = target.issues(&codes).await?;
            let mut under_way = lock(under_way);
            for row in rows {
                let Some(change) = under_way.get_mut(&row.code) else { continue };
                if row.name.as_ref() != Some(&change.name) {
                    continue;
                }
                if !std::mem::replace(&mut change.listed, true) {
                    delays.listed.push(since(change.at));
                    delays.arrived.push(since(began));
                }
                if row.detailed {
                    delays.detailed.push(since(change.at));
                    under_way.remove(&row.code);
                }
            }
        }
        delays.listed.sort_by(f64::total_cmp);
        delays.detailed.sort_by(f64::total_cmp);
        Ok(delays)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The value below which `percent` of the ascending `values` lie.
pub(crate) fn percentile(values: &[f64], percent: usize) -> Option<f64> {
    let place = values.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
    values.get(place).copied()
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(
            [25, 50, 95, 100].map(|p| percentile(&values, p)),
            [Some(1.0), Some(2.0), Some(4.0), Some(4.0)]
        );
        assert_eq!(percentile(&[], 50), None);
    }
}
