//! What the way to a PostgreSQL server costs: TCP beside a Unix socket, in one run.

use std::path::Path;
use std::time::Duration;

use sqlx::Row as _;
use test_postgres::Cluster;

use crate::database::{Database, Kind};
use crate::pipeline::Pipeline;
use crate::simulator::{Simulator, Wish};
use crate::table::Table;
use crate::{Result, Sizes, median};

const NAME: &str = "transport";
/// Seconds over TCP, as a multiple of those over a Unix socket.
const RATIO: f64 = 1.15;

/// The table.
pub(crate) async fn run(dir: &Path, sizes: &Sizes) -> Result<Vec<Table>> {
    let wish = Wish { issues: sizes.transport, rate_limit: 0, latency: Duration::ZERO };
    let simulator = Simulator::start(dir, wish).await?;
    simulator.warm().await?;
    let server = Cluster::start(&[]).await;
    let mut table = Table::new(
        NAME,
        format!("The way to PostgreSQL: {} issues, listed only", wish.issues),
        &["way", "first load (s)", "resync (s)", "resync, rows/s", "goal"],
    );
    let mut resyncs = Vec::new();
    for way in ["Unix socket", "TCP, loopback"] {
        let (mut loads, mut again) = (Vec::new(), Vec::new());
        for number in 0..sizes.runs {
            let dir = dir.join(format!("{way}-{number}"));
            let pipeline = Pipeline::new(
                &dir,
                &simulator,
                Kind::Postgres(&server).make(&dir).await,
                &["rate_limit: 0", "details: off"],
            )?;
            if way == "Unix socket" {
                through_socket(&pipeline).await?;
            }
            let (_, loaded) = pipeline.once(&simulator).await?;
            loads.push(loaded);
            again.push(pipeline.resync().await?.seconds);
            pipeline.complete(&simulator).await?;
        }
        let resync = median(again);
        resyncs.push(resync);
        let per_second = resync.map(|seconds| (f64::from(wish.issues) / seconds).round());
        let goal = (way != "Unix socket").then_some("within 15 % of the socket");
        table.row([way.into(), median(loads).into(), resync.into(), per_second.into(), goal.into()]);
    }
    if let [Some(socket), Some(tcp)] = resyncs.as_slice()
        && *tcp > socket * RATIO
        && wish.issues >= 10_000
    {
        table.failure(format!("a resync over TCP took {tcp:.2} s, over the socket {socket:.2} s"));
    }
    table.note(
        "A resync writes all rows anew from the mirror: it asks nobody and is bound by the target alone.",
    );
    Ok(vec![table])
}

/// Has a pipeline connect through the server's Unix socket.
async fn through_socket(pipeline: &Pipeline) -> Result<()> {
    let Database::Postgres(database) = &pipeline.database else { return Ok(()) };
    let mut connection = database.connect().await;
    let row = sqlx::query("SHOW unix_socket_directories").fetch_one(&mut connection).await?;
    let directory: String = row.try_get(0)?;
    let mut url = database.url().clone();
    url.query_pairs_mut().append_pair("host", &directory);
    pipeline.replace(database.url().as_str(), url.as_str())
}
