//! The simulator from within the process: what the admin API does, without HTTP.

use std::sync::Arc;

use crate::faults::Faults;
use crate::hooks::book::HookInfo;
use crate::hooks::counters::HookCounters;
use crate::hooks::faults::HookFaults;
use crate::hooks::log::HookDelivery;
use crate::mutator::{MutationKind, mutate};
use crate::operation::{Applied, Operation};
use crate::sim::SimError;
use crate::state::Shared;
use crate::traffic::Counters;
use crate::truth::{self, Shape, Table};

/// A handle on the world of a running simulator; cheap to clone.
#[derive(Clone, Debug)]
pub struct WorldHandle(pub(crate) Arc<Shared>);

impl WorldHandle {
    /// Every row of a table, ascending by code or id, as the admin API's truth has it.
    ///
    /// # Errors
    /// `Refused` when there is no such project.
    pub fn truth(
        &self,
        table: Table,
        project: &str,
        shape: Shape,
    ) -> Result<Vec<serde_json::Value>, SimError> {
        let world = self.0.world();
        let place = world.need(project)?;
        Ok(truth::rows(&world, place, table, shape, 0, usize::MAX).into_iter().map(|(_, row)| row).collect())
    }

    /// How many rows a table of a project has.
    ///
    /// # Errors
    /// `Refused` when there is no such project.
    pub fn count(&self, table: Table, project: &str) -> Result<usize, SimError> {
        let world = self.0.world();
        let place = world.need(project)?;
        Ok(match table {
            Table::Issues => place.codes().len(),
            Table::Iterations => place.iterations.len(),
            Table::ProjectMembers => place.members.len(),
        })
    }

    /// Identifiers of all projects.
    #[must_use]
    pub fn projects(&self) -> Vec<String> {
        self.0.world().projects.iter().map(|project| project.name.clone()).collect()
    }

    /// Ids of all users of the team, ascending.
    #[must_use]
    pub fn users(&self) -> Vec<u32> {
        self.0.world().users.keys().copied().collect()
    }

    /// What the server has seen.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.traffic().counters.clone()
    }

    /// Begins to count anew.
    pub fn reset_counters(&self) {
        self.0.traffic().reset();
    }

    /// The present faults.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.0.faults().clone()
    }

    /// Replaces the faults.
    pub fn set_faults(&self, faults: Faults) {
        self.0.set_faults(|present| *present = faults);
    }

    /// Changes the faults in place.
    pub fn change_faults(&self, change: impl FnOnce(&mut Faults)) {
        self.0.set_faults(change);
    }

    /// Registers a hook that posts to `url`, signed where `token` is not empty. No `events` = all. What the
    /// action refuses because it is not offered can be asked for here.
    ///
    /// # Errors
    /// `Refused` when there is no such project or `url` is no address.
    pub fn register_hook(
        &self,
        project: &str,
        url: &str,
        token: &str,
        events: &[&str],
    ) -> Result<String, SimError> {
        Ok(self.0.world_mut().register_hook(project, url, token, events)?)
    }

    /// All hooks, without their secrets.
    #[must_use]
    pub fn hooks(&self) -> Vec<HookInfo> {
        self.0.world().hook_infos()
    }

    /// Every delivery in the log of a hook in the order in which they ended, resent ones included.
    #[must_use]
    pub fn hook_deliveries(&self, hook: &str) -> Vec<HookDelivery> {
        self.0.post().deliveries(hook)
    }

    /// What has become of the hooks' deliveries.
    #[must_use]
    pub fn hook_counters(&self) -> HookCounters {
        self.0.post().counters()
    }

    /// Begins to count deliveries anew.
    pub fn reset_hook_counters(&self) {
        self.0.post().reset_counters();
    }

    /// The present faults of hooks.
    #[must_use]
    pub fn hook_faults(&self) -> HookFaults {
        self.0.post().faults()
    }

    /// Replaces the faults of hooks.
    pub fn set_hook_faults(&self, faults: HookFaults) {
        self.0.post().change_faults(|present| *present = faults);
    }

    /// Changes the faults of hooks in place.
    pub fn change_hook_faults(&self, change: impl FnOnce(&mut HookFaults)) {
        self.0.post().change_faults(change);
    }

    /// Waits until no delivery is queued, delayed or under way.
    pub async fn hooks_settled(&self) {
        self.0.post().settled().await;
    }

    /// Sets how many changes per second the server makes by itself; 0 stops it.
    pub fn set_mutator(&self, per_second: f64) {
        self.0.rate.send_replace(per_second);
    }

    /// Makes `count` changes now, out of `kinds` (empty = all), and says which.
    #[must_use]
    pub fn mutate(&self, count: usize, kinds: &[MutationKind]) -> Vec<Applied> {
        let mut world = self.0.world_mut();
        (0..count).filter_map(|_| mutate(&mut world, kinds)).collect()
    }

    /// Applies operations in order.
    ///
    /// # Errors
    /// `Refused` by the first that is not legal; the ones before it stay applied.
    pub fn apply(&self, operations: &[Operation]) -> Result<Vec<Applied>, SimError> {
        let mut done = Vec::with_capacity(operations.len());
        for operation in operations {
            done.push(self.0.world_mut().apply(operation)?);
            match operation {
                Operation::LoseAccess { project, style } => self.0.set_faults(|faults| {
                    faults.lost_projects.insert(project.clone(), *style);
                }),
                Operation::RestoreAccess { project } => self.0.set_faults(|faults| {
                    faults.lost_projects.remove(project);
                }),
                Operation::RenameProject { project, name } => self.0.set_faults(|faults| {
                    if let Some(style) = faults.lost_projects.remove(project) {
                        faults.lost_projects.insert(name.clone(), style);
                    }
                }),
                _ => {}
            }
        }
        Ok(done)
    }
}
