//! What all connections share, and the way of one action through it.
//!
//! Locks are plain and short: none is held across an await.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::actions::{self, Call};
use crate::config::SimConfig;
use crate::credentials::{Caller, Credentials};
use crate::dice::Dice;
use crate::failure::Failure;
use crate::faults::{FaultKind, Faults};
use crate::hooks::post::Post;
use crate::request::Fields;
use crate::traffic::Traffic;
use crate::world::World;

/// Everything the server knows.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: SimConfig,
    /// Changes per second that the mutator makes.
    pub(crate) rate: watch::Sender<f64>,
    world: RwLock<World>,
    post: Arc<Post>,
    faults: RwLock<Faults>,
    traffic: Mutex<Traffic>,
    credentials: Mutex<Credentials>,
    chance: Mutex<Chance>,
}

/// Streams of chance that have nothing to do with the data, so that faults never change it.
#[derive(Debug)]
struct Chance {
    faults: Dice,
    answers: Dice,
}

impl Shared {
    pub(crate) fn new(config: SimConfig) -> Self {
        let chance = Chance { faults: Dice::of(config.seed, &[21]), answers: Dice::of(config.seed, &[22]) };
        let world = World::new(&config);
        Self {
            rate: watch::Sender::new(config.mutations_per_second),
            post: Arc::clone(&world.hooks.post),
            world: RwLock::new(world),
            faults: RwLock::new(config.faults.clone()),
            traffic: Mutex::default(),
            credentials: Mutex::new(Credentials::new(&config)),
            chance: Mutex::new(chance),
            config,
        }
    }

    // A panic while holding a lock leaves plain data behind, so a poisoned lock is used all the same.

    pub(crate) fn world(&self) -> RwLockReadGuard<'_, World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn world_mut(&self) -> RwLockWriteGuard<'_, World> {
        self.world.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What sends the hooks; needs no lock on the world.
    pub(crate) fn post(&self) -> Arc<Post> {
        Arc::clone(&self.post)
    }

    pub(crate) fn faults(&self) -> RwLockReadGuard<'_, Faults> {
        self.faults.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn credentials(&self) -> MutexGuard<'_, Credentials> {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chance(&self) -> MutexGuard<'_, Chance> {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the faults and sets the clock of the world by them.
    pub(crate) fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        let mut faults = self.faults.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut faults);
        let skew = faults.updated_at_skew_seconds.saturating_mul(1_000);
        drop(faults);
        self.world_mut().clock_skew_ms = skew;
    }

    /// Rolls for a fault and counts it.
    pub(crate) fn strike(&self, action: &str) -> Option<FaultKind> {
        let kind = self.faults().strike(action, &mut self.chance().faults)?;
        self.traffic().struck(kind.name());
        Some(kind)
    }

    /// A request id in the form of a UUID.
    pub(crate) fn request_id(&self) -> String {
        let (high, low) = {
            let mut chance = self.chance();
            (chance.answers.bits(), chance.answers.bits())
        };
        let (a, b, c) = (high >> 32, high >> 16 & 0xFFFF, high & 0x0FFF);
        let (d, e) = (low >> 48 & 0x3FFF | 0x8000, low & 0xFFFF_FFFF_FFFF);
        format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
    }

    /// Who calls, by the `Authorization` header; the standing switch makes everybody unknown.
    pub(crate) fn caller(&self, header: Option<&str>) -> Option<Caller> {
        self.credentials().caller(&self.config, header?)
    }

    /// Answers an action with the body of a success.
    pub(crate) fn act(
        &self,
        action: &str,
        fields: &Map<String, Value>,
        caller: &Caller,
        fault: Option<FaultKind>,
    ) -> Result<Vec<u8>, Failure> {
        let (scope, writes) = actions::requirement(action).ok_or_else(|| actions::unknown_action(action))?;
        if !caller.may(scope) || (actions::needs_user(scope) && !caller.is_user) {
            return Err(Failure::unauthorized());
        }
        let dice = Dice::of(self.chance().answers.bits(), &[]);
        let faults = self.faults().clone();
        let mut call = Call {
            action,
            fields: Fields(fields),
            caller,
            config: &self.config,
            faults: &faults,
            fault,
            dice,
        };
        let payload = if writes {
            actions::write(&mut self.world_mut(), &mut call)
        } else {
            actions::read(&self.world(), &mut call)
        }?;
        Ok(payload.finish(&self.request_id()))
    }
}
