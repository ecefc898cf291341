//! TLS as the URL says: modes, authorities, and certificates that were made by hand.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use engine::target::{Target, TargetErrorKind};
use test_postgres::{Cluster, QUICK};

use super::super::config::check;
use super::Schema;
use crate::contract::{Deletes, Site, assert_kind, batch, issues, plan, ready, row};

/// Runs `openssl req` in `folder`. `false` when there is no openssl.
fn openssl(folder: &Path, arguments: &str) -> bool {
    let mut command = Command::new("openssl");
    command.arg("req").args(arguments.split_whitespace()).current_dir(folder);
    let Ok(made) = command.output() else {
        let _ =
            writeln!(std::io::stderr(), "skipped in part: there is no openssl to make a certificate with");
        return false;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    true
}

/// The folder of a server's data.
async fn data_of(site: &Schema) -> PathBuf {
    site.dump("SHOW data_directory").await.remove(0).into()
}

/// Lets the server speak TLS with `server.crt` and `server.key` in its folder.
async fn speak(site: &Schema, data: &Path) {
    let owner = std::fs::metadata(data).unwrap();
    for file in ["server.key", "server.crt"] {
        let file = data.join(file);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let mut other = site.other().await;
    for sql in ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
    }
    // The server takes the settings up in its own time.
    let (url, plan) =
        (site.url.replace("sslmode=disable", "sslmode=require"), plan("a", issues(Deletes::Hard)));
    while Schema::at(&url).target().open(&plan).await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// A certificate that is an authority's and a server's at once, and has no name but the subject's.
const BY_HAND: &str = "-x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1";

#[tokio::test]
async fn a_certificate_made_by_hand_is_trusted_when_it_is_named() {
    let cluster = Cluster::start(QUICK).await;
    let plan = plan("a", issues(Deletes::Hard));
    let at = |parameters: &str| Schema::at(&format!("{}?{parameters}", cluster.url()));
    let site = at("sslmode=disable");
    let data = data_of(&site).await;
    if !openssl(&data, &format!("{BY_HAND} -keyout server.key -out server.crt")) {
        return;
    }
    openssl(&data, &format!("{BY_HAND} -keyout other.key -out other.crt"));
    // Others may read certificates, and the server alone its key.
    std::fs::copy(data.join("server.crt"), data.join("named.crt")).unwrap();
    speak(&site, &data).await;
    let named = |file: &str| format!("sslrootcert={}", data.join(file).display());
    for mode in ["require", "verify-ca", "verify-full"] {
        let good = at(&format!("sslmode={mode}&{}", named("named.crt")));
        let items = check(&good.place(), "a", &[], &[]).await;
        assert!(items[0].detail.contains("TLSv1.3"), "{mode}: {items:?}");
        let mut target = ready(&good, &plan).await;
        let rows = (0..500).map(|code| row(&plan.tables[0], "p", code, "x")).collect();
        target.write(&batch(1, rows, vec![])).await.unwrap();
        target.close().await;
        let bad = at(&format!("sslmode={mode}&{}", named("other.crt")));
        let text = assert_kind(bad.target().open(&plan).await, TargetErrorKind::Fatal);
        assert!(text.contains("POSTGRES-TLS"), "{text}");
    }
    // It is for another name: that matters to verify-full alone.
    let elsewhere = |mode: &str| {
        let site = at(&format!("sslmode={mode}&{}", named("named.crt")));
        Schema::at(&site.url.replace("127.0.0.1", "localhost"))
    };
    elsewhere("verify-ca").target().open(&plan).await.unwrap();
    let text = assert_kind(elsewhere("verify-full").target().open(&plan).await, TargetErrorKind::Fatal);
    assert!(text.contains("POSTGRES-TLS"), "{text}");
}

#[tokio::test]
async fn tls_is_spoken_as_the_url_says() {
    let cluster = Cluster::start(QUICK).await;
    let plan = plan("a", issues(Deletes::Hard));
    let at = |parameters: &str| Schema::at(&format!("{}?{parameters}", cluster.url()));
    let text = assert_kind(at("sslmode=require").target().open(&plan).await, TargetErrorKind::Fatal);
    assert!(text.contains("POSTGRES-TLS"), "{text}");
    at("sslmode=prefer").target().open(&plan).await.unwrap();

    let site = at("sslmode=disable");
    let data = data_of(&site).await;
    let authority = "-x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt";
    let server = "-x509 -CA ca.crt -CAkey ca.key -newkey rsa:2048 -nodes -days 2 -subj /CN=server -keyout server.key \
                  -out server.crt -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    if !openssl(&data, authority) || !openssl(&data, server) {
        return;
    }
    openssl(&data, &format!("{BY_HAND} -keyout other.key -out other.crt"));
    speak(&site, &data).await;
    let ca = format!("sslrootcert={}", data.join("ca.crt").display());
    for good in [
        "sslmode=require",
        "sslmode=prefer",
        &format!("sslmode=verify-ca&{ca}"),
        &format!("sslmode=verify-full&{ca}"),
    ] {
        let items = check(&at(good).place(), "a", &[], &[]).await;
        assert!(items[0].detail.contains("TLSv1.3"), "{good}: {items:?}");
        let mut target = ready(&at(good), &plan).await;
        target.write(&batch(1, vec![row(&plan.tables[0], "p", 1, "x")], vec![])).await.unwrap();
        target.close().await;
    }
    // Nobody vouches for it, or for another name.
    let elsewhere = at(&format!("sslmode=verify-full&{ca}")).url.replace("127.0.0.1", "localhost");
    for bad in [at("sslmode=verify-full"), at("sslmode=verify-ca"), Schema::at(&elsewhere)] {
        let text = assert_kind(bad.target().open(&plan).await, TargetErrorKind::Fatal);
        assert!(text.contains("POSTGRES-TLS"), "{text}");
    }
    // With a root certificate `require` verifies as well: here against the wrong one.
    let wrong = at(&format!("sslmode=require&sslrootcert={}", data.join("other.crt").display()));
    assert_kind(wrong.target().open(&plan).await, TargetErrorKind::Fatal);
}
