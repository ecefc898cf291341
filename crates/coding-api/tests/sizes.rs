//! Rows that cannot be read cost no other row; pages that are too large or too slow are asked for in smaller ones.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coding_api::{ErrorKind, IssueQuery, Listing, Page, PageSize, RowExt};
use futures::TryStreamExt;

use crate::server::{Answer, Seen, Server, http, json};

/// Rows of every listing here.
const ROWS: u64 = 1_234;

/// What a listing is asked for by.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Page,
    OffsetOfPages,
    OffsetOfRows,
}

/// The codes that a request asks for, and how many.
fn asked(by: By, seen: &Seen) -> (std::ops::RangeInclusive<u64>, u64) {
    let number = |name: &str| seen.body[name].as_u64();
    let size = number("PageSize").or(number("Limit")).unwrap();
    let before = match by {
        By::Page => (number("PageNumber").unwrap() - 1) * size,
        By::OffsetOfPages => number("Offset").unwrap() * size,
        By::OffsetOfRows => number("Offset").unwrap(),
    };
    (before + 1..=(before + size).min(ROWS), size)
}

/// A page of these codes; one of them looks as `spoiled` says.
fn page(codes: std::ops::RangeInclusive<u64>, spoiled: Option<(u64, &str)>) -> Answer {
    let row = |code| match spoiled {
        Some((at, row)) if at == code => row.to_owned(),
        _ => format!(r#"{{"Code":{code}}}"#),
    };
    let rows: Vec<String> = codes.map(row).collect();
    json(format!(r#"{{"Response":{{"Data":{{"TotalCount":{ROWS},"List":[{}]}}}}}}"#, rows.join(",")))
}

fn listing(server: &Server, by: By, size: u32) -> Listing {
    let client = server.personal();
    let listing = match by {
        By::Page => client.issues(IssueQuery::new("app")),
        By::OffsetOfPages | By::OffsetOfRows => client.iterations("app"),
    };
    listing.with_page_size(PageSize::new(size).unwrap()).row_by_row()
}

async fn all(listing: &Listing, look_ahead: usize) -> Result<Vec<Page>, coding_api::Error> {
    let collected = listing.stream(look_ahead).try_collect();
    tokio::time::timeout(Duration::from_secs(30), collected).await.unwrap()
}

fn codes(pages: &[Page]) -> BTreeSet<i64> {
    pages.iter().flat_map(|page| page.rows.iter().map(|row| row.code().unwrap())).collect()
}

fn all_but(codes: &[i64]) -> BTreeSet<i64> {
    (1..=i64::try_from(ROWS).unwrap()).filter(|code| !codes.contains(code)).collect()
}

/// Places and codes of what cannot be read, each once.
fn aside(pages: &[Page]) -> BTreeSet<(u64, Option<i64>)> {
    pages.iter().flat_map(|page| &page.unreadable).map(|row| (row.row, row.key("Code"))).collect()
}

fn sizes(server: &Server) -> Vec<u64> {
    let size = |seen: &Seen| seen.body["PageSize"].as_u64().or(seen.body["Limit"].as_u64()).unwrap();
    server.seen().iter().map(size).collect()
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_put_aside_by_its_place_and_code() {
    let deep = format!(r#"{{"Code":250,"Deep":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let spoiled = [
        (r#"{"Code":250,"Hours":NaN}"#.to_owned(), Some(250)),
        (r#"{"Code":250,"Hours":1e400}"#.to_owned(), Some(250)),
        (deep, Some(250)),
        (r#"{"Code":NaN}"#.to_owned(), None),
        ("null".to_owned(), None),
    ];
    for (row, code) in spoiled {
        for by in [By::Page, By::OffsetOfPages, By::OffsetOfRows] {
            let spoiled = row.clone();
            let server = Server::start(move |seen| page(asked(by, seen).0, Some((250, &spoiled)))).await;
            let pages = all(&listing(&server, by, 100), 3).await.unwrap();
            assert_eq!(codes(&pages), all_but(&[250]), "{row} {by:?}");
            assert_eq!(aside(&pages), [(250, code)].into(), "{row} {by:?}");
            assert!(sizes(&server).iter().all(|size| *size == 100), "no page is too large");
        }
    }
}

#[tokio::test]
async fn who_does_not_ask_for_it_gets_no_page_without_a_row() {
    let server = Server::start(|seen| page(asked(By::Page, seen).0, Some((250, r#"{"Code":NaN}"#)))).await;
    let listing = server.personal().issues(IssueQuery::new("app"));
    let error = all(&listing, 1).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (&ErrorKind::NotJson, 5));
}

#[tokio::test]
async fn a_page_that_was_garbled_once_is_asked_for_again() {
    let server = Server::start(|seen| match seen.before {
        1 => page(asked(By::Page, seen).0, Some((150, r#"{"Code":150,"Name":"a"b}"#))),
        _ => page(asked(By::Page, seen).0, None),
    })
    .await;
    let pages = all(&listing(&server, By::Page, 100), 1).await.unwrap();
    assert_eq!((codes(&pages), aside(&pages)), (all_but(&[]), BTreeSet::new()));
}

#[tokio::test]
async fn a_row_whose_end_cannot_be_found_is_isolated() {
    let row = r#"{"Code":250,"Name":"a " b"}"#;
    for by in [By::Page, By::OffsetOfPages, By::OffsetOfRows] {
        let server = Server::start(move |seen| page(asked(by, seen).0, Some((250, row)))).await;
        let pages = all(&listing(&server, by, 100), 3).await.unwrap();
        assert_eq!(codes(&pages), all_but(&[250]), "{by:?}");
        assert_eq!(aside(&pages), [(250, None)].into(), "{by:?}");
    }
}

#[tokio::test]
async fn pages_that_are_too_slow_are_halved_and_larger_ones_tried_later() {
    for by in [By::Page, By::OffsetOfPages, By::OffsetOfRows] {
        let most = Arc::new(AtomicU64::new(100));
        let limit = Arc::clone(&most);
        let server = Server::start(move |seen| {
            let (codes, size) = asked(by, seen);
            if size > limit.load(Ordering::SeqCst) {
                return http(504, "text/html", "", b"<html>Gateway Time-out</html>");
            }
            page(codes, None)
        })
        .await;
        let listing = listing(&server, by, 500);
        let pages = all(&listing, 3).await.unwrap();
        assert_eq!((codes(&pages), aside(&pages)), (all_but(&[]), BTreeSet::new()), "{by:?}");
        let first = sizes(&server);
        // One row beside tells that it is the size; then halves.
        assert_eq!(first.iter().filter(|size| **size == 1).count(), 1, "{by:?} {first:?}");
        assert!(first.starts_with(&[500, 500, 1, 250, 250, 125, 125, 62]), "{by:?} {first:?}");
        assert!(first.contains(&124), "{by:?} a larger size is tried: {first:?}");
        // The next reader begins where this one ended, and goes back up once that works.
        most.store(500, Ordering::SeqCst);
        for _ in 0..8 {
            assert_eq!(codes(&all(&listing, 3).await.unwrap()), all_but(&[]), "{by:?}");
        }
        let sizes = sizes(&server);
        assert_eq!(sizes[first.len()], 62, "{by:?} {sizes:?}");
        assert!(sizes.last() >= Some(&496), "{by:?} {sizes:?}");
    }
}

#[tokio::test]
async fn pages_that_are_too_large_are_halved_down_to_one_row() {
    for most in [200, 10, 1] {
        for by in [By::Page, By::OffsetOfPages, By::OffsetOfRows] {
            let server = Server::start(move |seen| {
                let (codes, size) = asked(by, seen);
                if size > most {
                    return Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90000000\r\nConnection: close\r\n\r\n{".into());
                }
                page(codes, None)
            })
            .await;
            let pages = all(&listing(&server, by, 500), 3).await.unwrap();
            assert_eq!((codes(&pages), aside(&pages)), (all_but(&[]), BTreeSet::new()), "{most} {by:?}");
        }
    }
}

#[tokio::test]
async fn one_row_that_is_too_large_alone_costs_no_other_row() {
    for by in [By::Page, By::OffsetOfPages, By::OffsetOfRows] {
        let server = Server::start(move |seen| {
            let (codes, _) = asked(by, seen);
            if codes.contains(&250) {
                return Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90000000\r\nConnection: close\r\n\r\n{".into());
            }
            page(codes, None)
        })
        .await;
        let pages = all(&listing(&server, by, 100), 3).await.unwrap();
        assert_eq!(codes(&pages), all_but(&[250]), "{by:?}");
        assert_eq!(aside(&pages), [(250, None)].into(), "{by:?}");
    }
}

#[tokio::test]
async fn a_server_that_fails_whatever_it_is_asked_for_is_not_asked_in_all_sizes() {
    let server = Server::start(|_| http(504, "text/html", "", b"<html>Gateway Time-out</html>")).await;
    let error = all(&listing(&server, By::Page, 500), 1).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Http { status: 504, .. }), "{error}");
    let sizes = sizes(&server);
    assert_eq!(sizes, [500, 500, 1, 1, 1, 1, 500, 500, 500, 500, 500], "{sizes:?}");
}

#[tokio::test]
async fn a_project_that_cannot_be_read_whole_is_still_seen() {
    let body = r#"{"Response":{"ProjectList":[{"Id":1,"Name":"a"},{"Id":2,"Name":"b","StartDate":NaN}]}}"#;
    let server = Server::start(move |_| json(body)).await;
    let projects = server.personal().user_projects(5).await.unwrap().value;
    let names: Vec<(Option<i64>, Option<&str>)> = projects.iter().map(|row| (row.id(), row.name())).collect();
    assert_eq!(names, [(Some(1), Some("a")), (Some(2), Some("b"))]);
    let body = r#"{"Response":{"ProjectList":[{"Id":1,"Name":"a"},{"Id":NaN,"Name":"b"}]}}"#;
    let server = Server::start(move |_| json(body)).await;
    assert_eq!(server.personal().user_projects(5).await.unwrap_err().kind(), &ErrorKind::NotJson);
}

#[tokio::test]
async fn a_redirect_is_for_a_person_and_says_where_it_points() {
    for (status, location, to) in [
        (
            302,
            "https://me:pw@login.example.com/sso?ticket=0123456789abcdef#x",
            Some("https://login.example.com/sso"),
        ),
        (301, "/login?next=%2F", Some("/login")),
        (308, "", None),
        (304, "https://acme.coding.net/", Some("https://acme.coding.net/")),
    ] {
        let server = Server::start(move |_| {
            let more = if location.is_empty() { String::new() } else { format!("Location: {location}\r\n") };
            http(status, "text/html", &more, b"<html>moved</html>")
        })
        .await;
        let error = server.personal().current_user().await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Redirect { to: to.map(str::to_owned) }, "{status}");
        assert_eq!(error.remedy(), coding_api::Remedy::AskHuman);
        assert_eq!(server.seen().len(), 1, "{status}");
        assert!(to.is_none_or(|to| error.to_string().contains(to)), "{error}");
        assert!(!error.to_string().contains("0123456789"), "{error}");
    }
}
