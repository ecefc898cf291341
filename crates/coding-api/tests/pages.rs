//! Paging over listings that drift, lie and cut.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coding_api::{IssueQuery, Listing, Page, PageSize, RowExt};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json as value};

use crate::server::{Answer, Server, http, json};

/// A listing of the rows with the codes `rows`, as the server at hand understands it.
#[derive(Clone)]
struct Table {
    rows: Vec<i64>,
    /// The most rows a page has, whatever is asked for.
    cut: usize,
    /// Whether the answer admits the cut.
    admits: bool,
    /// Added to the true total.
    lie: i64,
    /// Whether `Offset` counts rows.
    by_row: bool,
    /// Whether a page past the end repeats the last one.
    repeats: bool,
}

impl Table {
    fn of(rows: i64) -> Self {
        Self { rows: (1..=rows).collect(), cut: 500, admits: true, lie: 0, by_row: false, repeats: false }
    }

    fn answer(&self, body: &Value) -> Answer {
        let asked = body["PageSize"].as_u64().or(body["Limit"].as_u64()).unwrap();
        let size = usize::try_from(asked).unwrap().min(self.cut);
        let place = match (body["PageNumber"].as_u64(), body["Offset"].as_u64()) {
            (Some(number), _) => usize::try_from(number - 1).unwrap() * size,
            (_, Some(offset)) if self.by_row => usize::try_from(offset).unwrap(),
            (_, offset) => usize::try_from(offset.unwrap()).unwrap() * size,
        };
        let last = self.rows.len().saturating_sub(1) / size * size;
        let place = if self.repeats { place.min(last) } else { place };
        let rows: Vec<i64> = self.rows.iter().skip(place).take(size).copied().collect();
        let total = i64::try_from(self.rows.len()).unwrap() + self.lie;
        page(&rows, if self.admits { Some(size) } else { None }, total)
    }

    async fn serve(self) -> Server {
        Server::start(move |seen| self.answer(&seen.body)).await
    }
}

fn page(codes: &[i64], size: Option<usize>, total: i64) -> Answer {
    let rows: Vec<Value> = codes.iter().map(|code| value!({ "Code": code, "Id": code })).collect();
    json(value!({ "Response": { "Data": { "PageSize": size, "TotalCount": total, "TotalRow": total, "List": rows } } }).to_string())
}

fn issues(server: &Server, size: u32) -> Listing {
    server.personal().issues(IssueQuery::new("app").page_size(PageSize::new(size).unwrap()))
}

fn codes(pages: &[Page]) -> Vec<i64> {
    pages.iter().flat_map(|page| page.rows.iter().map(|row| row.code().unwrap())).collect()
}

async fn all(listing: &Listing, look_ahead: usize) -> Vec<Page> {
    let collected = listing.stream(look_ahead).try_collect();
    tokio::time::timeout(Duration::from_secs(30), collected).await.unwrap().unwrap()
}

/// Reads the whole table with and without look-ahead, and gives the number of requests of the first.
async fn check(table: Table, size: u32) -> usize {
    let rows = table.rows.clone();
    let server = table.serve().await;
    let found = codes(&all(&issues(&server, size), 1).await);
    let requests = server.seen().len();
    assert_eq!(found, rows);
    assert_eq!(codes(&all(&issues(&server, size), 4).await), rows);
    requests
}

#[tokio::test]
async fn pages_come_whole_in_order_and_at_their_price() {
    assert_eq!(check(Table::of(0), 500).await, 1);
    assert_eq!(check(Table::of(12), 500).await, 1);
    assert_eq!(check(Table::of(1_234), 100).await, 13);
    // The last page is full: one more look, because the total may lie.
    assert_eq!(check(Table::of(1_000), 500).await, 3);
    assert_eq!(check(Table { repeats: true, ..Table::of(1_000) }, 500).await, 3);
}

#[tokio::test]
async fn members_beyond_the_thousand_are_read() {
    let table = Table::of(1_234);
    let server = Server::start(move |seen| {
        let Answer::Bytes(bytes) = table.answer(&seen.body) else { unreachable!() };
        Answer::Bytes(
            String::from_utf8(bytes)
                .unwrap()
                .replace("\"List\"", "\"ProjectMembers\"")
                .replace("Content-Length", "X-Length")
                .into(),
        )
    })
    .await;
    let pages = all(&server.personal().project_members(9), 3).await;
    assert_eq!(codes(&pages), (1..=1_234).collect::<Vec<i64>>());
    assert_eq!(pages.iter().map(|page| page.number).collect::<Vec<u32>>(), [1, 2, 3]);
    assert_eq!(server.seen()[0].body["ProjectId"], 9);
    assert_eq!(server.seen()[0].action, "DescribeProjectMembers");
}

#[tokio::test]
async fn a_cut_page_size_is_followed_said_or_not() {
    assert_eq!(check(Table { cut: 100, ..Table::of(1_234) }, 500).await, 13);
    assert_eq!(check(Table { cut: 100, admits: false, ..Table::of(1_234) }, 500).await, 14);
    check(Table { cut: 7, admits: false, ..Table::of(70) }, 500).await;
}

#[tokio::test]
async fn totals_may_lie_either_way() {
    for lie in [-1_000, -300, -34, -1, 1, 17, 900] {
        let requests = check(Table { lie, ..Table::of(1_234) }, 100).await;
        assert!(requests <= 13 + 24, "{lie}: {requests}");
        check(Table { lie, repeats: true, ..Table::of(1_234) }, 100).await;
    }
    // A total that is too high by one costs a few more requests, one that is absurd not many more.
    assert!(check(Table { lie: 1, ..Table::of(12) }, 500).await <= 6);
    assert!(check(Table { lie: 1_000_000, ..Table::of(12) }, 500).await <= 26);
}

#[tokio::test]
async fn an_empty_page_in_the_middle_is_asked_for_again_and_then_passed_over() {
    for (empties, lost) in [(1, 0), (usize::MAX, 100)] {
        for look_ahead in [1, 5] {
            let table = Table::of(1_234);
            let times = AtomicUsize::new(0);
            let server = Server::start(move |seen| {
                if seen.body["PageNumber"] == 4 && times.fetch_add(1, Ordering::SeqCst) < empties {
                    return page(&[], Some(100), 0);
                }
                table.answer(&seen.body)
            })
            .await;
            let found = codes(&all(&issues(&server, 100), look_ahead).await);
            assert_eq!(found.len(), 1_234 - lost);
            assert_eq!(found.last(), Some(&1_234));
            assert!(server.seen().iter().filter(|seen| seen.body["PageNumber"] == 4).count() <= 2);
        }
    }
}

#[tokio::test]
async fn a_short_page_alone_ends_nothing() {
    let server = Server::start(|seen| match seen.body["PageNumber"].as_u64().unwrap() {
        1 => page(&[1, 2, 3, 4, 5], Some(5), 12),
        2 => page(&[6, 7], Some(5), 12),
        3 => page(&[8, 9, 10, 11, 12], Some(5), 12),
        _ => page(&[], Some(5), 12),
    })
    .await;
    assert_eq!(codes(&all(&issues(&server, 5), 1).await).len(), 12);
}

/// What a fault makes of the answer to a request.
type Fault = fn(&Table, &Value) -> Answer;

/// Every fault strikes each page once, the first time it is asked for.
#[tokio::test]
async fn a_fault_that_passes_costs_one_more_request_and_no_row() {
    let faults: [(&str, Fault); 4] = [
        ("short", |table, body| {
            let place = usize::try_from(body["PageNumber"].as_u64().unwrap() - 1).unwrap() * 100;
            let rows: Vec<i64> = table.rows.iter().skip(place).take(33).copied().collect();
            page(&rows, Some(100), 1_234)
        }),
        ("cut, and counted by the cut", |table, body| Table { cut: 33, ..table.clone() }.answer(body)),
        ("the page before", |table, body| {
            let place =
                usize::try_from(body["PageNumber"].as_u64().unwrap()).unwrap().saturating_sub(2) * 100;
            page(&table.rows[place..place + 100], Some(100), 1_234)
        }),
        ("empty", |_, _| page(&[], Some(100), 1_234)),
    ];
    for (name, fault) in faults {
        for look_ahead in [1, 4] {
            for struck in 1..=13 {
                let (table, times) = (Table::of(1_234), AtomicUsize::new(0));
                let server = Server::start(move |seen| {
                    let hit = seen.body["PageNumber"] == struck && times.fetch_add(1, Ordering::SeqCst) == 0;
                    if hit { fault(&table, &seen.body) } else { table.answer(&seen.body) }
                })
                .await;
                let mut found = codes(&all(&issues(&server, 100), look_ahead).await);
                found.sort_unstable();
                found.dedup();
                assert!(
                    found == (1..=1_234).collect::<Vec<i64>>(),
                    "{name}, page {struck}: {} rows",
                    found.len()
                );
                // The first page is believed; when the next one contradicts it, it is read again.
                assert!(server.seen().len() <= 13 + 3 + 4, "{name}, page {struck}: {}", server.seen().len());
            }
        }
    }
}

#[tokio::test]
async fn a_page_size_that_changes_for_good_loses_no_row() {
    for (before, after) in [(100, 30), (30, 100), (100, 99)] {
        for look_ahead in [1, 4] {
            let table = Table::of(1_234);
            let server = Server::start(move |seen| {
                let cut = if seen.before < 5 { before } else { after };
                Table { cut, ..table.clone() }.answer(&seen.body)
            })
            .await;
            let mut found = codes(&all(&issues(&server, 100), look_ahead).await);
            found.sort_unstable();
            found.dedup();
            assert!(found == (1..=1_234).collect::<Vec<i64>>(), "{before} to {after}: {} rows", found.len());
        }
    }
}

#[tokio::test]
async fn rows_that_drift_are_repeated_not_lost() {
    let table = Mutex::new(Table::of(100));
    let server = Server::start(move |seen| {
        let mut table = table.lock().unwrap();
        let answer = table.answer(&seen.body);
        let next = i64::try_from(table.rows.len()).unwrap() + 1;
        table.rows.insert(0, next); // newest first: every row moves down by one
        answer
    })
    .await;
    let mut found = codes(&all(&issues(&server, 10), 1).await);
    found.sort_unstable();
    found.dedup();
    assert!((1..=100).all(|code| found.contains(&code)), "{found:?}");
}

#[tokio::test]
async fn an_endless_server_ends_when_it_repeats_itself() {
    // Page numbers and totals mean nothing to it.
    let server = Server::start(|_| page(&[1, 2, 3], None, 1_000_000)).await;
    assert_eq!(codes(&all(&issues(&server, 3), 1).await), [1, 2, 3]);
    assert_eq!(server.seen().len(), 3);
    // All pages are empty though rows are said to exist.
    let server = Server::start(|_| page(&[], Some(100), 150)).await;
    let pages = all(&issues(&server, 100), 1).await;
    assert_eq!((codes(&pages).len(), pages.len(), pages[0].total), (0, 1, Some(150)));
    assert!(server.seen().len() <= 6, "{}", server.seen().len());
}

#[tokio::test]
async fn a_listing_without_total_ends_by_itself() {
    let server = Server::start(|seen| {
        let rows = if seen.body["PageNumber"].as_u64().unwrap() <= 3 { 2 } else { 0 };
        let first = seen.before * 2;
        let rows: Vec<Value> = (first..first + rows).map(|code| value!({ "Code": code })).collect();
        json(value!({ "Response": { "data": { "List": rows } } }).to_string())
    })
    .await;
    assert_eq!(codes_or_zero(&all(&issues(&server, 2), 1).await), 6);
}

fn codes_or_zero(pages: &[Page]) -> usize {
    pages.iter().map(|page| page.rows.len()).sum()
}

#[tokio::test]
async fn look_ahead_is_bounded_and_only_for_pages_that_exist() {
    let table = Table::of(950);
    let server = Server::start(move |seen| {
        // Later pages answer first.
        let number = seen.body["PageNumber"].as_u64().unwrap();
        Answer::Later(Duration::from_millis(30 - number * 2), Box::new(table.answer(&seen.body)))
    })
    .await;
    let pages = all(&issues(&server, 100), 4).await;
    assert_eq!(codes(&pages), (1..=950).collect::<Vec<i64>>());
    assert_eq!(server.seen().len(), 10, "no page beyond the last");

    // One page taken: no more than the look-ahead were asked for.
    let server = Table::of(5_000).serve().await;
    let listing = issues(&server, 100);
    let mut stream = Box::pin(listing.stream(4));
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert!(server.seen().len() <= 5);
    // And without look-ahead exactly that one.
    let server = Table::of(5_000).serve().await;
    let mut stream = Box::pin(issues(&server, 100).stream(1));
    stream.next().await.unwrap().unwrap();
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_read_goes_on_where_another_stopped() {
    let server = Table::of(1_234).serve().await;
    let pages: Vec<Page> = issues(&server, 100).stream_from(11, 2).try_collect().await.unwrap();
    assert_eq!(codes(&pages), (1_001..=1_234).collect::<Vec<i64>>());
    assert_eq!((pages[0].number, server.seen().len()), (11, 3));
    assert_eq!(codes(&[issues(&server, 100).page(13).await.unwrap()]).len(), 34);
}

#[tokio::test]
async fn an_error_ends_the_stream() {
    let table = Table::of(500);
    let server = Server::start(move |seen| match seen.body["PageNumber"].as_u64() {
        Some(3) => http(404, "text/plain", "", b""),
        _ => table.answer(&seen.body),
    })
    .await;
    let items: Vec<_> = issues(&server, 100).stream(2).collect().await;
    assert_eq!(items.iter().map(Result::is_ok).collect::<Vec<bool>>(), [true, true, false]);
}

async fn iterations(table: Table, size: u32) -> (Vec<i64>, usize) {
    let server = table.serve().await;
    let listing = server.personal().iterations("app").with_page_size(PageSize::new(size).unwrap());
    let found = codes(&all(&listing, 4).await);
    (found, server.seen().len())
}

#[tokio::test]
async fn offset_is_understood_as_page_and_as_row() {
    for rows in [0, 1, 2, 3, 19, 20, 21, 40, 45, 123] {
        for (size, cut) in [(20, 500), (20, 7), (1, 500), (2, 500), (500, 500)] {
            for by_row in [false, true] {
                for admits in [false, true] {
                    let table = Table { by_row, cut, admits, ..Table::of(rows) };
                    let (found, requests) = iterations(table, size).await;
                    let case = format!("{rows} rows, {size} asked, {cut} given, by row: {by_row}");
                    assert_eq!(found, (1..=rows).collect::<Vec<i64>>(), "{case}");
                    let pages =
                        usize::try_from(rows).unwrap().div_ceil(cut.min(usize::try_from(size).unwrap()));
                    assert!(requests <= pages + 3, "{case}: {requests} requests");
                }
            }
        }
    }
}

#[tokio::test]
async fn iterations_are_asked_for_by_project_and_filter() {
    let server = Table::of(3).serve().await;
    let query = coding_api::IterationQuery::new("app")
        .status(coding_api::IterationStatus::Waiting)
        .keywords("1.0")
        .start_date(jiff::civil::date(2026, 7, 1));
    all(&server.personal().iterations(query), 1).await;
    assert_eq!(
        server.seen()[0].body,
        value!({ "Action": "DescribeIterationList", "ProjectName": "app", "Status": ["WAIT_PROCESS"],
            "Keywords": "1.0", "StartDate": "2026-07-01", "Offset": 0, "Limit": 500 })
    );
}
