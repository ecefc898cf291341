//! Under transient faults of every kind, nasty values and a moving source the target still becomes equal.

use coding_sim::{Faults, ProjectConfig, SimConfig};
use connectors::coding::config::Details;

use crate::harness::{Bench, assert_equal, differences, unlimited};

async fn check(details: Details, issues: u32, chance: f64, mutations_per_second: f64) {
    let config = SimConfig {
        broken_text_one_in: 50,
        mutations_per_second,
        faults: Faults { hang_ms: 50, trickle_ms: 50, ..Faults::transient(chance) },
        ..unlimited(vec![
            ProjectConfig::new("mobile-app", issues, 40, 60),
            ProjectConfig::new("backend", 80, 5, 9),
        ])
    };
    let mut bench = Bench::new(config).await;
    bench.settings.details = details;
    bench.task.listed_only = details == Details::Off;
    bench.once().await;
    if mutations_per_second > 0.0 {
        bench.sim.world().set_mutator(0.0);
        bench.once().await;
    }
    let found = differences(&bench).await;
    if !found.is_empty() {
        // Which kinds of faults there were says where to look.
        panic!(
            "{} {:#?}\n{:#?}",
            found.len(),
            found.iter().take(10).collect::<Vec<_>>(),
            bench.sim.world().counters()
        );
    }
    assert_equal(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_with_details_in_the_background() {
    check(Details::Background, 10_000, 0.03, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_with_details_off() {
    check(Details::Off, 10_000, 0.03, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_with_eager_details_while_the_source_moves() {
    check(Details::Eager, 2_000, 0.03, 20.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_with_background_details_while_the_source_moves() {
    check(Details::Background, 2_000, 0.03, 20.0).await;
}
