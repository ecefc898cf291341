//! Networks that cut, delay, trickle, fall silent or let nobody through, between CODING, the pipeline and its target:
//! in the end the target is equal, and nothing waits for ever.
//!
//! `TRIBUTARY_CHAOS=full` (`make chaos-network`) cuts at every exchange.
#![expect(clippy::print_stdout, reason = "how much was endured is shown")]

use std::time::Duration;

use coding_sim::{ProjectConfig, SimConfig};
use connectors::coding::BaseUrl;
use engine::status::{State, Status};
use futures::StreamExt as _;
use test_faults::{Cut, Pace, Proxy};

use crate::follow::becomes_equal;
use crate::harness::{Bench, Following, assert_equal, unlimited};
use crate::place::TargetKind;

/// Loads side by side: mostly they wait.
const AT_ONCE: usize = 4;

fn is_full() -> bool {
    std::env::var("TRIBUTARY_CHAOS").as_deref() == Ok("full")
}

/// A pipeline that reaches CODING by a way of its own.
async fn by_proxy(target: TargetKind, config: SimConfig) -> (Bench, Proxy) {
    let mut bench = Bench::new(target, config).await;
    let proxy = Proxy::to(&bench.sim.url()).await;
    bench.settings.base_url = BaseUrl::parse(proxy.url(), false).unwrap();
    (bench, proxy)
}

fn small() -> SimConfig {
    unlimited(vec![ProjectConfig::new("backend", 30, 4, 6)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_cut_at_any_exchange_is_whole() {
    let (bench, proxy) = by_proxy(TargetKind::Sqlite, small()).await;
    bench.once().await;
    let all = proxy.passed().exchanges;
    assert!(all > 30, "{all} exchanges");
    let step = if is_full() { 1 } else { 4 };
    let cuts =
        (1..=all).flat_map(|number| [Cut::Request(number), Cut::Reply(number), Cut::HalfReply(number)]);
    let cuts: Vec<Cut> = cuts.step_by(step).collect();
    let struck = futures::stream::iter(&cuts).map(async |cut| {
        let (bench, proxy) = by_proxy(TargetKind::Sqlite, small()).await;
        proxy.cut(Some(*cut));
        bench.once().await;
        assert_equal(&bench).await;
        proxy.passed().cuts
    });
    let struck: u64 = struck.buffer_unordered(AT_ONCE).fold(0, async |sum, cuts| sum + cuts).await;
    println!("network: {} loads of some {all} exchanges, {struck} cut, all exact", cuts.len());
    // Not every load makes as many exchanges as the first one.
    assert!(struck * 10 > u64::try_from(cuts.len()).unwrap() * 8, "{struck} of {} cuts", cuts.len());
}

/// Changes the source in each weather, and waits until the target has followed; how many there were.
async fn in_every_weather(bench: &Bench, proxy: &Proxy, following: &Following) -> u32 {
    let mut weathers = 0;
    let change = || drop(bench.sim.world().mutate(8, &crate::cost::EDITS));
    for pace in [
        Pace { bytes: 700, pause: Duration::from_millis(1) },
        Pace { bytes: usize::MAX, pause: Duration::from_millis(60) },
    ] {
        proxy.pace(Some(pace));
        change();
        becomes_equal(bench, following).await;
        proxy.pace(None);
        weathers += 1;
    }
    // Both sides believe in connections that nothing passes on, until the network forgets them.
    proxy.silence(true);
    change();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    proxy.cut_all();
    proxy.silence(false);
    becomes_equal(bench, following).await;
    // What was held back arrives late, to those who wait for it still.
    proxy.silence(true);
    change();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    proxy.silence(false);
    becomes_equal(bench, following).await;
    proxy.refuse(true);
    proxy.cut_all();
    change();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    proxy.refuse(false);
    becomes_equal(bench, following).await;
    weathers + 3
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_behind_a_bad_network_is_followed() {
    let (bench, proxy) = by_proxy(TargetKind::Sqlite, small()).await;
    let following = bench.follow().await;
    following.first_reading().await;
    let weathers = in_every_weather(&bench, &proxy, &following).await;
    println!("network: the way to the source in {weathers} kinds of trouble, exact after each");
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_behind_a_bad_network_is_written() {
    let mut bench = Bench::new(TargetKind::Postgres, small()).await;
    let crate::place::Place::Postgres { database, .. } = &bench.place else { panic!("the place is another") };
    let proxy = Proxy::to(database.url().as_str()).await;
    bench.way = Some(proxy.url().to_owned());
    proxy.cut(Some(Cut::Reply(7)));
    let following = bench.follow().await;
    following.first_reading().await;
    assert_eq!(proxy.passed().cuts, 1);
    let cuts = [Cut::Request(2), Cut::Reply(3), Cut::HalfReply(5), Cut::RequestBytes(900)];
    for cut in cuts {
        proxy.cut(Some(cut));
        let _ = bench.sim.world().mutate(8, &crate::cost::EDITS);
        becomes_equal(&bench, &following).await;
        assert_eq!(proxy.passed().cuts, 1, "{cut:?}");
    }
    let weathers = in_every_weather(&bench, &proxy, &following).await;
    println!(
        "network: the way to the target cut {} times and in {weathers} kinds of trouble, exact after each",
        cuts.len() + 1
    );
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "waits for the real time-outs, a minute and a half: runs with `make chaos-network`"]
async fn a_source_that_falls_silent_is_said_and_asked_again() {
    let (bench, proxy) = by_proxy(TargetKind::Sqlite, small()).await;
    let following = bench.follow().await;
    following.first_reading().await;
    proxy.silence(true);
    let _ = bench.sim.world().mutate(8, &crate::cost::EDITS);
    let said = |status: &Status| matches!(&status.capture.state, State::Waiting { problem, .. } if problem.code == "CODING-UNREACHABLE");
    for _ in 0..4 {
        // Each request waits 20 s, and is made again: the whole takes more than one wait's patience.
        if tokio::time::timeout(Duration::from_secs(40), following.board.watch().wait_for(said)).await.is_ok()
        {
            break;
        }
    }
    assert!(said(&following.board.read()), "{:#?}", following.board.read());
    proxy.silence(false);
    becomes_equal(&bench, &following).await;
    println!("network: a silent source was said and asked again, exact afterwards");
    following.stop().await;
}
